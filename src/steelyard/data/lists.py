"""Tables that list images: a column of paths, and columns that say of each its class or labels."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from steelyard._checks import InputError, one_of
from steelyard.data import tables
from steelyard.data.dataset import Dataset
from steelyard.data.folders import images_of
from steelyard.data.images import SUFFIXES
from steelyard.data.labels import class_numbers, group_numbers, numbers_of_texts, part_names
from steelyard.data.layout import File

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from steelyard.data.labels import Values

Columns = dict[str, "Values"]
_HEAD, _LOOKED_FOR = 2**16, 1000  # bytes, and images, that tell a list from another table
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "False": 0, "True": 1}


def read_list(
    table: Path,
    *,
    target: str | None = None,
    group: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
    memory_limit: int,
    labelled: bool = True,
    encoding: str | None = None,
) -> Dataset | None:
    """The images that a column of ``table`` names, decoded as those of folders are; None if none does.

    Paths are relative to the folder of the table. ``target`` is the column of classes, or the columns of
    labels of 0 and 1, separated by commas; without it all columns have to be such labels. A column ``split``
    may name the parts. Other columns are not used.

    Raises:
        InputError: if an image is named twice, is not there or is unreadable, or a column is not as above.
    """
    columns = tables.read_columns(table, encoding) if _may_list_images(table) else {}
    paths = _column_of_paths(table, columns, besides=(target, group, "split"))
    if paths is None:
        return None
    names = _named(table, paths, columns.pop(paths))
    if group is not None:
        one_of("group column", group, columns)
    group_of = None if group is None else group_numbers(columns.pop(group), f"{table}, column {group}")
    part = part_names(columns.pop("split"), f"{table}, column split") if "split" in columns else None
    numbers, classes, unused = (
        _targets(table, columns, target) if labelled else (np.full(len(names), -1), (), list(columns))
    )
    row = {name: number for number, name in enumerate(names)}
    files = [File(_place(table, name), "" if part is None else part[row[name]], name) for name in names]
    kept, x, notes = images_of(
        files, image_size=image_size, skip_unreadable=skip_unreadable, memory_limit=memory_limit
    )
    rows = np.array([row[file.label] for file in kept])
    said = [f"not used beside the images: {', '.join(unused)}"] if unused and labelled else []
    return Dataset(
        table.stem,
        x,
        torch.from_numpy(numbers[rows]),
        classes,
        group=None if group_of is None else group_of[rows],
        part=np.array([file.part for file in kept], dtype="<U5"),
        sample=[file.label for file in kept],
        notes=(f"images named by the column {paths}", *said, *notes),
    )


def _may_list_images(table: Path) -> bool:
    """Whether the first rows hold what looks like the file name of an image; quick also of a long table."""
    if table.suffix.lower() == ".csv":
        with table.open("rb") as file:
            head = file.read(_HEAD).replace(b"\0", b"")  # of UTF-16, every other byte
        return any(suffix.encode() in head.lower() for suffix in SUFFIXES)
    try:
        first = next(parquet.ParquetFile(table).iter_batches(batch_size=10), None)
    except (pa.ArrowException, OSError):
        return False  # the reader of tables tells what is wrong with it
    cells = [] if first is None else [cell for row in first.to_pylist() for cell in row.values()]
    return any(map(_is_image_name, cells))


def _column_of_paths(table: Path, columns: Columns, *, besides: Collection[str | None]) -> str | None:
    """The column whose entries are paths of images that exist, relative to ``table``; None if none is.

    One image that is there makes a list, so that others that are not there are told of.

    Raises:
        InputError: if images are named, none is there, and there are no columns ``besides`` to learn from.
    """
    for name, values in columns.items():
        named = [value for value in values.tolist() if isinstance(value, str)]
        if not named or not _is_image_name(named[0]):
            continue
        if any(os.path.isfile(_place(table, value)) for value in named[:_LOOKED_FOR]):  # noqa: PTH113 - of any text
            return name
        if not set(columns) - {name, *besides}:
            raise InputError(
                f"{table}, column {name}: expected paths of images, relative to the folder of the table, "
                f"found no {_place(table, named[0])}."
            )
    return None


def _is_image_name(cell: object) -> bool:
    return isinstance(cell, str) and Path(cell.strip()).suffix.lower() in SUFFIXES


def _place(table: Path, name: str) -> Path:
    return table.parent / Path(name.strip().replace("\\", "/")).expanduser()


def _named(table: Path, column: str, values: Values) -> list[str]:
    """The paths as they are written: one per row, each of its own."""
    names = [value if isinstance(value, str) else "" for value in values.tolist()]
    empty = names.count("")
    if empty:
        raise InputError(
            f"{table}, column {column}: {empty} of {len(names)} rows name no image; fill or remove them."
        )
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise InputError(
            f"{table}, column {column}: expected each image once, got {twice!r} more than once; if it has "
            "several labels, give each label a column of 0 and 1."
        )
    return names


def _targets(
    table: Path, columns: Columns, target: str | None
) -> tuple[NDArray[np.int64], tuple[str, ...], list[str]]:
    """Class numbers (N,) or labels (N, L), their names, and the columns that are left."""
    if target is not None and (target in columns or "," not in target):
        one_of("target column", target, columns)
        numbers, classes = class_numbers(numbers_of_texts(columns[target]), f"{table}, column {target}")
        return numbers, classes, [name for name in columns if name != target]
    labels = {name: _labels(values) for name, values in columns.items()}
    if target is None:
        if not labels or any(values is None for values in labels.values()):
            raise InputError(f"{table}: expected --target COLUMN, one of {', '.join(columns) or 'none'}.")
        wanted = list(labels)
    else:
        wanted = [one_of("target column", name.strip(), columns) for name in target.split(",")]
    found = []
    for name in wanted:
        values = labels[name]
        if values is None:
            raise InputError(f"{table}, column {name}: expected labels of 0 and 1, got other values.")
        found.append(values)
    return np.stack(found, axis=1), tuple(wanted), [name for name in columns if name not in wanted]


def _labels(values: Values) -> NDArray[np.int64] | None:
    """(N,) of 0 and 1, or None if there are other values."""
    different, place = np.unique(numbers_of_texts(values).astype(str), return_inverse=True)
    if not set(different.tolist()) <= set(_LABELS):
        return None
    return np.array([_LABELS[value] for value in different.tolist()])[place]
