"""Folders of images: one folder per class, these optionally under train/, val/ and test/."""

from __future__ import annotations

import os
from collections import Counter
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np
import torch

from steelyard._checks import InputError, one_of
from steelyard.data import tables
from steelyard.data.dataset import Dataset
from steelyard.data.identifiers import repeated
from steelyard.data.images import Form, ImageFiles, form, in_threads
from steelyard.data.labels import group_numbers
from steelyard.data.layout import File, labelled, unlabelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from steelyard.data.dataset import Rows
    from steelyard.data.labels import Values


_LARGEST = 2048 * 2048  # pixels of an image, unless a size is asked for


def read_folder(
    folder: Path,
    *,
    group: str | None = None,
    metadata: Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
    memory_limit: int,
    with_labels: bool = True,
) -> Dataset:
    """The images in ``folder``, decoded if they take at most ``memory_limit`` bytes.

    Without labels (``with_labels=False``) every image below ``folder`` is taken, wherever it lies.

    Raises:
        InputError: if there are no images, one cannot be read, or a group is not found.
    """
    found = labelled(folder) if with_labels else unlabelled(folder)
    classes = tuple(sorted({file.label for file in found.files})) if with_labels else ()
    if not found.files:
        said = "".join(f"; {note}" for note in found.said())
        raise InputError(f"{folder}: expected images, got none{said}.")
    files, x, notes = images_of(
        found.files, image_size=image_size, skip_unreadable=skip_unreadable, memory_limit=memory_limit
    )
    number = {name: c for c, name in enumerate(classes)}
    sample = [printable(file.path.relative_to(folder)) for file in files]
    return Dataset(
        name_of(folder),
        x,
        torch.tensor([number.get(file.label, -1) for file in files]),
        classes,
        group=_groups(folder, files, group, metadata),
        part=np.array([file.part for file in files], dtype="<U5"),
        sample=sample,
        notes=(*found.said(), *notes, *(_offered(folder) if with_labels and group is None else ())),
    )


def name_of(folder: Path) -> str:
    """What the user calls ``folder``: its last part, though it be a link; ``.`` and ``..`` name none."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def printable(path: Path) -> str:
    """``path`` as text; bytes in it that are not UTF-8 are written as escapes."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def images_of(
    files: list[File],
    *,
    image_size: int | tuple[int, int] | None,
    skip_unreadable: bool,
    memory_limit: int,
) -> tuple[list[File], Tensor | ImageFiles, tuple[str, ...]]:
    """The readable ones of ``files``, their images brought to one size, and notes on what that did.

    Images that take at most ``memory_limit`` bytes are decoded.

    Raises:
        InputError: if a file cannot be read, or none can.
    """
    kept, forms, skipped = _readable(files, skip_unreadable=skip_unreadable)
    if not kept:
        raise InputError(f"{files[0].path.parent}: expected readable images, got none.")
    deep = _one_depth(kept, forms)
    size, resized = _common_size(forms, image_size)
    channels = 1 if all(form.grey for form in forms) else 3
    x = ImageFiles(np.array([file.path for file in kept], dtype=object), channels, size, deep=deep)
    decoded = x.decoded(np.arange(len(x))) if x.nbytes <= memory_limit else x
    lost = Counter(form.lost for form in forms if form.lost)
    notes = [f"{number} of {len(forms)} images {what}" for what, number in lost.items()]
    if deep:
        notes.append("images of more than 8 bits: their values are kept, and scaled by the training part")
    return kept, decoded, (*skipped, *resized, *notes)


def _one_depth(files: list[File], forms: Sequence[Form]) -> bool:
    """Whether all images are of more than 8 bits; of two depths it is not known how their values compare."""
    deep = [file.path for file, form in zip(files, forms, strict=True) if form.deep]
    if deep and len(deep) < len(files):
        raise InputError(
            f"expected images of one depth, got {len(deep)} of more than 8 bits (as {printable(deep[0])}) "
            f"beside {len(files) - len(deep)} of 8 bits; convert them to one, so that their values compare."
        )
    return bool(deep)


def _readable(files: list[File], *, skip_unreadable: bool) -> tuple[list[File], list[Form], list[str]]:
    """The files that are images, what their headers say, and how many were left out."""

    def attempt(file: File) -> Form | None:
        try:
            return form(file.path, whole=skip_unreadable)
        except InputError:
            if not skip_unreadable:
                raise
            return None

    forms = in_threads(attempt, files)
    skipped = [file.path for file, found in zip(files, forms, strict=True) if found is None]
    notes = []
    if skipped:
        named = ", ".join(map(str, skipped[:3])) + (", ..." if len(skipped) > 3 else "")
        notes = [f"{len(skipped)} of {len(files)} images unreadable and skipped: {named}"]
    kept = [(file, found) for file, found in zip(files, forms, strict=True) if found is not None]
    return [file for file, _ in kept], [found for _, found in kept], notes


def _common_size(
    forms: Sequence[Form], image_size: int | tuple[int, int] | None
) -> tuple[tuple[int, int], list[str]]:
    """The size (H, W) that all images are brought to: the one asked for, else the most frequent."""
    sizes = Counter(form.size for form in forms)
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    if image_size is not None and min(image_size) < 1:
        raise InputError(f"image_size must be at least 1, got {image_size}.")
    size = image_size or max(sizes, key=lambda size: (sizes[size], size))
    if image_size is None and size[0] * size[1] > _LARGEST:
        raise InputError(
            f"the most frequent size of the images is {size[0]} x {size[1]}, too much for a network unless "
            "it is asked for; give --image-size, such as 224."
        )
    changed = len(forms) - sizes[size]
    if not changed:
        return size, []
    why = "as asked" if image_size else "the most frequent size; --image-size sets another"
    return size, [
        f"{changed} of {len(forms)} images resized to {size[0]} x {size[1]} (height x width), {why}"
    ]


def _groups(folder: Path, files: list[File], group: str | None, metadata: Path | None) -> Rows | None:
    """The group of each file, from the metadata table; None if no group was asked for."""
    if group is None:
        if metadata is not None:
            raise InputError(f"{metadata}: metadata tells the groups; add --group COLUMN.")
        return None
    beside = _beside(folder)
    path = metadata or next((path for path in beside if path.exists()), None)
    if path is None or not path.exists():
        raise InputError(
            f"expected a table that gives the column {group!r} for each image, "
            f"found no {path or ' or '.join(map(str, beside[:2]))}; give --metadata FILE."
        )
    columns = tables.read_columns(path)
    one_of("group column", group, columns)
    found = _looked_up(folder, files, path, columns.pop(group), columns)
    return group_numbers(found, f"{path}, column {group}")


def _beside(folder: Path) -> list[Path]:
    """Where metadata of ``folder`` may lie."""
    return [place / f"metadata{suffix}" for place in (folder, folder.parent) for suffix in tables.SUFFIXES]


def _offered(folder: Path) -> list[str]:
    """Notes on columns of the metadata that tell whose the images are; none of what cannot be read."""
    path = next((path for path in _beside(folder) if path.exists()), None)
    try:
        columns = tables.read_columns(path) if path else {}
    except InputError:
        return []
    return [
        f"{path}, column {name}: {why}; --group {quote(name)} keeps its images on one side of every split"
        for name, why in repeated(columns).items()
    ]


def _looked_up(
    folder: Path, files: list[File], path: Path, values: Values, columns: dict[str, Values]
) -> Values:
    """The one of ``values`` for each file, by the column whose entries name the most files."""
    naming: tuple[Callable[[Path], str], ...] = (
        lambda file: file.relative_to(folder).as_posix(),
        lambda file: "/".join(file.parts[-2:]),
        lambda file: file.name,
        lambda file: file.stem,
    )
    best: tuple[int, list[str], list[str]] = (0, [], [])
    for entries in ([str(entry) for entry in column.tolist()] for column in columns.values()):
        known = set(entries)
        for name_of in naming:
            names = [name_of(file.path) for file in files]
            hits = sum(name in known for name in names)
            best = max(best, (hits, names, entries), key=lambda candidate: candidate[0])
    hits, names, entries = best
    row = {entry: place for place, entry in enumerate(entries)}
    if hits < len(files):
        absent = next((name for name in names if name not in row), files[0].path.name)
        raise InputError(
            f"{path}: expected a row for each of the {len(files)} images, found {hits}; "
            f"no row names {absent!r}."
        )
    named = set(names)
    ambiguous = [name for name, times in Counter(names).items() if times > 1]
    ambiguous += [entry for entry, times in Counter(entries).items() if times > 1 and entry in named]
    if ambiguous:
        raise InputError(
            f"{path}: {ambiguous[0]!r} does not tell one image from another; give paths relative to {folder}."
        )
    return values[[row[name] for name in names]]
