"""Tables: ``.csv`` and ``.parquet`` files with a column that holds the class."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from pyarrow import csv, parquet, types

from steelyard._checks import InputError, one_of
from steelyard.data.dataset import Dataset, Table
from steelyard.data.labels import Values, class_numbers, group_numbers, missing, part_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".csv", ".parquet")
_FEW = 20  # rows; in so few, texts may differ everywhere and yet be categories
_NAMELESS = re.compile(r"\s*|Unnamed: \d+|__index_level_\d+__")  # the row index that pandas writes along


def read_table(path: Path, *, target: str | None, group: str | None = None, labelled: bool = True) -> Dataset:
    """The table at ``path``: ``target`` is the column of classes, a column ``split`` may name the parts.

    A table for prediction (``labelled=False``) needs no target and keeps every column.

    Raises:
        InputError: if the file cannot be read, lacks a column or a class, or holds an infinite number.
    """
    columns = read_columns(path)
    rows = len(next(iter(columns.values())))
    if labelled:
        numbers, classes = class_numbers(_target(path, columns, target), f"{path}, column {target}")
    else:
        columns.pop(str(target), None)
        numbers, classes = np.full(rows, -1), ()
    if group is not None:
        one_of("group column", group, columns)
    group_of = None if group is None else group_numbers(columns.pop(group), f"{path}, column {group}")
    part = part_names(columns["split"], f"{path}, column split") if "split" in columns else None
    if part is not None:
        del columns["split"]
    dropped = _drop_useless(columns) if labelled else []
    table = _features(path, columns)
    return Dataset(
        path.stem,
        table,
        torch.from_numpy(numbers),
        classes,
        group=group_of,
        part=np.full(rows, "", dtype="<U5") if part is None else part,
        notes=(*dropped, *(_said_missing(table) if labelled else ())),
    )


def read_columns(path: Path) -> dict[str, Values]:
    """The columns at ``path`` by name: numbers as they are, dates in days since 1970, texts as objects.

    Raises:
        InputError: if the file cannot be read, has no rows, or has a column of a type that is no feature.
    """
    try:
        if path.suffix.lower() == ".parquet":
            source = parquet.read_table(path)
        else:
            null = [*csv.ConvertOptions().null_values, "?"]
            convert = csv.ConvertOptions(null_values=null, strings_can_be_null=True)
            source = csv.read_csv(
                path,
                parse_options=csv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True),
                convert_options=convert,
            )
        names = source.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the table {path}: {' '.join(str(error).split())}") from None
    if source.num_rows == 0:
        raise InputError(f"{path}: expected rows below the column names, got none.")
    twice = sorted({name for name in names if names.count(name) > 1 and not _NAMELESS.fullmatch(name)})
    if twice:
        raise InputError(
            f"{path}: the column {twice[0]!r} is there {names.count(twice[0])} times; rename one."
        )
    return {
        name: _values(path, name, column) for name, column in zip(names, source.itercolumns(), strict=True)
    }


def _values(path: Path, name: str, column: Any) -> Values:
    """One Arrow column as NumPy values, by the kind of its type."""
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_null(kind) or types.is_string(kind) or types.is_large_string(kind):
        return np.array(column.to_pylist(), dtype=object)
    if types.is_timestamp(kind) or types.is_date(kind):
        seconds = column.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy()
        return np.asarray(seconds, dtype=np.float64) / 86_400e6
    if types.is_boolean(kind):
        values = np.array(column.to_pylist(), dtype=object)
        return values if column.null_count else values.astype(bool)
    if types.is_integer(kind) and not column.null_count:
        return np.asarray(column.to_numpy())
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    raise InputError(
        f"{path}, column {name}: expected numbers, truth values, dates or texts, "
        f"got {kind}; convert or remove it."
    )


def _delimiter(path: Path) -> str:
    """The likeliest of the usual signs, from the line of column names."""
    with path.open(encoding="utf-8", errors="replace") as file:
        head = file.readline()
    return max(",;\t|", key=head.count)


def _target(path: Path, columns: dict[str, Values], target: str | None) -> Values:
    if target is None:
        raise InputError(f"{path}: expected --target COLUMN, one of {', '.join(columns)}.")
    one_of("target column", target, columns)
    return columns.pop(target)


def _drop_useless(columns: dict[str, Values]) -> list[str]:
    """Remove the columns that nothing can be learnt from; say which and why."""
    notes = []
    for name, values in list(columns.items()):
        gaps = missing(values)
        if _NAMELESS.fullmatch(name):
            reason = "it has no name"
        elif gaps.all():
            reason = "all its values are missing"
        elif _is_text(values) and len(set(values.tolist())) == len(values) > _FEW:
            reason = "its text differs in every row, like an identifier"
        else:
            continue
        notes.append(f"column {name or '(no name)'}: dropped, {reason}")
        del columns[name]
    return notes


def _features(path: Path, columns: dict[str, Values]) -> Table:
    if not columns:
        raise InputError(f"{path}: expected columns besides the target to learn from, got none.")
    texts = [name for name, values in columns.items() if _is_text(values)]
    numbers = [name for name in columns if name not in texts]
    for name in numbers:
        infinite = np.flatnonzero(np.isinf(columns[name].astype(np.float64)))
        if len(infinite):
            raise InputError(
                f"{path}, column {name}: expected finite numbers, got {len(infinite)} infinite ones, "
                f"the first in row {infinite[0]}; replace or empty them."
            )
    return Table(
        _stacked([columns[name] for name in numbers], np.dtype(np.float64), columns),
        tuple(numbers),
        _stacked([columns[name] for name in texts], np.dtype(object), columns),
        tuple(texts),
    )


def _stacked(columns: list[Values], dtype: np.dtype[Any], all_columns: dict[str, Values]) -> NDArray[Any]:
    rows = len(next(iter(all_columns.values())))
    return np.stack([c.astype(dtype) for c in columns], axis=1) if columns else np.empty((rows, 0), dtype)


def _is_text(values: Values) -> bool:
    """Whether a column holds texts; truth values with gaps are objects as well, but count as numbers."""
    return values.dtype == object and not any(isinstance(v, bool) for v in values.tolist())


def _said_missing(table: Table) -> Sequence[str]:
    notes = []
    for names, gaps, remedy in (
        (table.numeric_names, np.isnan(table.numeric), "filled with the training median"),
        (
            table.categorical_names,
            np.array([missing(column) for column in table.categorical.T]).T,
            "kept as a category of their own",
        ),
    ):
        counts = gaps.sum(axis=0).tolist() if names else []
        notes += [
            f"column {name}: {count} of {len(table)} values missing, {remedy}"
            for name, count in zip(names, counts, strict=True)
            if count
        ]
    return notes
