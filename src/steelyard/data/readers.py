"""``read``: from what a user names to a data set."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard._checks import InputError
from steelyard.data import tables
from steelyard.data.arrays import read_arrays
from steelyard.data.builtin import BUILTIN, data_root
from steelyard.data.celeba import ATTRIBUTES, read_celeba
from steelyard.data.folders import read_folder
from steelyard.data.lists import read_list
from steelyard.data.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steelyard.data.columns import Schema
    from steelyard.data.dataset import Dataset

_FILES = (*tables.SUFFIXES, ".npz")
_log = logging.getLogger("steelyard")


def read(  # noqa: PLR0913 - each is an option of the commands
    source: str,
    *,
    target: str | None = None,
    group: str | None = None,
    metadata: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
    memory_limit: int = 2 * 2**30,
    labelled: bool = True,
    schema: Schema | None = None,
    encoding: str | None = None,
    keep: Sequence[str] = (),
) -> Dataset:
    """The data set at ``source``: a built-in name, a folder of images, a table or an ``.npz``.

    Folders hold one folder of images per class, or are laid out as CelebA is. A table that has a column with
    paths of images, relative to the table, stands for these images.

    Args:
        source: what to read; ``./digits`` is a folder, ``digits`` the built-in name.
        target: column of the class; for tables, which need it. Of a list of images also the columns of its
            labels, separated by commas; without it all columns are labels of 0 and 1.
        group: column (of the table, or of the metadata of a folder) or array whose equal values mark samples
            that belong on one side of every split.
        metadata: table that names the images of a folder; default ``metadata.csv`` or ``metadata.parquet``
            in or beside it.
        image_size: size, or (height, width), that the images of a folder or a list are brought to.
        skip_unreadable: leave out images that cannot be read, and say so, instead of refusing all.
        memory_limit: bytes; images of a folder or a list that take more are decoded batch by batch.
        labelled: False reads data to predict: no classes are expected, no column is dropped, targets are -1.
        schema: of a trained model; columns and classes are read as its training read them, and one class
            is enough.
        encoding: of a ``.csv``, by Python's names; default is told by its bytes.
        keep: columns of a table that are features though they look like identifiers.

    What was done to the data stands in the ``notes`` of the result, and is logged (level INFO).

    Raises:
        InputError: if the source is not there or not as described above; names the place and the mend.

    >>> digits = read("digits")
    >>> digits.x.shape, len(digits.classes)
    (torch.Size([1797, 1, 8, 8]), 10)
    """
    dataset = _read(
        source,
        target=target,
        group=group,
        metadata=metadata,
        image_size=image_size,
        skip_unreadable=skip_unreadable,
        memory_limit=memory_limit,
        labelled=labelled,
        schema=schema,
        encoding=encoding,
        keep=keep,
    )
    if schema is None:
        dataset.check_classes()
    elif labelled and not dataset.multilabel:
        dataset = replace(dataset, notes=(*dataset.notes, *_lacking(dataset, schema)))
    for note in dataset.notes:
        _log.info(note)
    return dataset


def _lacking(dataset: Dataset, schema: Schema) -> list[str]:
    """A note on the classes of a model of which there is no sample."""
    there = {name for name, number in zip(dataset.classes, dataset.counts(), strict=True) if number}
    absent = [name for name in schema.classes if name not in there]
    return [f"no sample of {', '.join(map(repr, absent))}: figures that need one are NaN"] if absent else []


def _read(  # noqa: PLR0913 - see read
    source: str,
    *,
    target: str | None,
    group: str | None,
    metadata: str | Path | None,
    image_size: int | tuple[int, int] | None,
    skip_unreadable: bool,
    memory_limit: int,
    labelled: bool,
    schema: Schema | None,
    encoding: str | None,
    keep: Sequence[str],
) -> Dataset:
    """The data set at ``source``, by the reader that it needs."""
    path = Path(source).expanduser()
    if path.suffix.lower() != ".csv":
        _only_for_others(source, encoding=encoding)
    if path.suffix.lower() not in tables.SUFFIXES:
        _only_for_others(source, keep=keep or None)
    how: dict[str, Any] = {
        "image_size": image_size,
        "skip_unreadable": skip_unreadable,
        "memory_limit": memory_limit,
    }
    if source in BUILTIN:
        _only_for_others(source, target=target, group=group, metadata=metadata, image_size=image_size)
        return BUILTIN[source](data_root())
    if labelled and (path / ATTRIBUTES).exists():
        _only_for_others(f"{path} (laid out as CelebA)", target=target, group=group, metadata=metadata)
        return read_celeba(path, **how)
    if path.is_dir():
        _only_for_others(f"{path} (classes are its folders)", target=target)
        beside = None if metadata is None else Path(metadata).expanduser()
        return read_folder(path, group=group, metadata=beside, with_labels=labelled, **how)
    _check_file(source, path)
    _only_for_others(str(path), metadata=metadata)
    if path.suffix.lower() == ".npz":
        _only_for_others(f"{path} (its classes are the array y)", target=target, image_size=image_size)
        return read_arrays(path, group=group, labelled=labelled)
    listed = read_list(path, target=target, group=group, labelled=labelled, encoding=encoding, **how)
    if listed is not None:
        _only_for_others(f"{path} (it names images)", keep=keep or None)
        return listed
    _only_for_others(f"{path} (it names no images)", image_size=image_size)
    return read_table(
        path, target=target, group=group, labelled=labelled, schema=schema, encoding=encoding, keep=keep
    )


def _check_file(source: str, path: Path) -> None:
    """Require a regular file of a known type."""
    if not path.exists():
        raise InputError(
            f"{source}: no such file or folder, and no built-in name (these are {', '.join(BUILTIN)})."
        )
    if not path.is_file():
        raise InputError(f"{path}: expected a folder or a regular file, got a pipe or a device.")
    if path.suffix.lower() not in _FILES:
        raise InputError(
            f"{path}: expected a folder of class folders or a file of type {', '.join(_FILES)}, "
            f"got {path.suffix or 'a file without a suffix'}."
        )


def _only_for_others(source: str, **options: object) -> None:
    """Refuse options that would be without effect, rather than drop them in silence."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{flags} has no meaning for {source}; leave it out.")
