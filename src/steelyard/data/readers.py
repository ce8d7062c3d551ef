"""``read``: from what a user names to a data set."""

from __future__ import annotations

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
    from steelyard.data.dataset import Dataset

_FILES = (*tables.SUFFIXES, ".npz")


def read(
    source: str,
    *,
    target: str | None = None,
    group: str | None = None,
    metadata: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
    memory_limit: int = 2 * 2**30,
    labelled: bool = True,
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

    Raises:
        InputError: if the source is not there or not as described above; names the place and the mend.

    >>> digits = read("digits")
    >>> digits.x.shape, len(digits.classes)
    (torch.Size([1797, 1, 8, 8]), 10)
    """
    path = Path(source).expanduser()
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
    listed = read_list(path, target=target, group=group, labelled=labelled, **how)
    if listed is not None:
        return listed
    _only_for_others(f"{path} (it names no images)", image_size=image_size)
    return read_table(path, target=target, group=group, labelled=labelled)


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
