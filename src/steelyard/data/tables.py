"""Tables: ``.csv`` and ``.parquet`` files with a column that holds the class."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pyarrow import parquet, types

from steelyard._checks import InputError, one_of
from steelyard.data.columns import FEW, TEXT, Cells, Column, padding, raw_values, read_column
from steelyard.data.dataset import Dataset, Table
from steelyard.data.delimited import NAMELESS, RawTable, check_names, read_delimited
from steelyard.data.identifiers import identifier, repeated
from steelyard.data.labels import (
    class_numbers,
    group_numbers,
    known_class_numbers,
    missing,
    numbers_of_texts,
    part_names,
)
from steelyard.data.numerals import decimal_mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from steelyard.data.columns import Schema
    from steelyard.data.dataset import Rows
    from steelyard.data.labels import Values

SUFFIXES = (".csv", ".parquet")
_NAMED = 5  # columns that one note names

Columns = dict[str, pa.ChunkedArray]
Said = tuple[str, str]  # a column and a note on it


def read_table(
    path: Path,
    *,
    target: str | None,
    group: str | None = None,
    labelled: bool = True,
    schema: Schema | None = None,
    encoding: str | None = None,
    keep: Sequence[str] = (),
) -> Dataset:
    """The table at ``path``: ``target`` is the column of classes, a column ``split`` may name the parts.

    A table for prediction (``labelled=False``) needs no target and keeps every column. With the ``schema`` of
    a trained model, its columns and classes are read as training read them. ``encoding`` is that of a
    ``.csv``; default is told by its bytes. Columns to ``keep`` are features though they look like
    identifiers.

    Raises:
        InputError: if the file cannot be read, lacks a column or a class, holds an infinite number, or it is
            unclear what a column means.
    """
    raw = _raw_table(path, encoding)
    columns, rows = dict(zip(raw.names, raw.columns, strict=True)), len(raw.columns[0])
    numbers: Rows = np.full(rows, -1)
    classes: tuple[str, ...] = ()
    notes = list(raw.notes)
    if labelled:
        numbers, classes, said = _classes(path, columns, target, raw, schema)
        notes += said
    else:
        columns.pop(str(target), None)
    group_of = None
    if group is not None:
        one_of("group column", group, columns)
        where = f"{path}, column {group}"
        group_of = group_numbers(raw_values(columns.pop(group), where), where)
    part = _parts(path, columns, schema)
    read, said_of = _read_columns(path, columns, raw, schema)
    learning = labelled and schema is None
    if learning:
        for name in keep:
            one_of("column to keep", name, read)
        dropped = _drop_useless(read, keep)
        said_of = [(name, note) for name, note in said_of if name in read] + dropped
    if not read and schema is None:
        raise InputError(f"{path}: expected columns besides the target to learn from, got none.")
    table = _features(path, read, rows)
    said_of += _said_missing(table) if learning else []
    return Dataset(
        path.stem,
        table,
        torch.from_numpy(numbers),
        classes,
        group=group_of,
        part=np.full(rows, "", dtype="<U5") if part is None else part,
        notes=(*notes, *_joined(said_of)),
    )


def read_columns(path: Path, encoding: str | None = None) -> dict[str, Values]:
    """The columns at ``path`` by name, as labels of something: texts as they stand, numbers as numbers.

    Raises:
        InputError: if the file cannot be read, has no rows, or has a column of a type that is no feature.
    """
    raw = _raw_table(path, encoding)
    return {
        name: raw_values(column, f"{path}, column {name}")
        for name, column in zip(raw.names, raw.columns, strict=True)
    }


def _raw_table(path: Path, encoding: str | None = None) -> RawTable:
    if path.suffix.lower() == ".parquet":
        try:
            source = parquet.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"cannot read the table {path}: {' '.join(str(error).split())}") from None
        raw = RawTable(source.column_names, [_undictionaried(one) for one in source.columns], None, ())
    else:
        raw = read_delimited(path, encoding)
    if not raw.columns or not len(raw.columns[0]):
        raise InputError(f"{path}: expected rows below the column names, got none.")
    check_names(path, raw.names)
    return raw


def _classes(
    path: Path, columns: Columns, target: str | None, raw: RawTable, schema: Schema | None
) -> tuple[Rows, tuple[str, ...], tuple[str, ...]]:
    """The class of each row, the names of all classes, and notes; takes the target out of ``columns``."""
    if target is None:
        raise InputError(f"{path}: expected --target COLUMN, one of {', '.join(columns)}.")
    one_of("target column", target, columns)
    column, where = columns.pop(target), f"{path}, column {target}"
    values = raw_values(column, where)
    said = padding(Cells.of(column)) if _is_text(column) else ()
    notes = tuple(f"column {target}: {note}" for note in said)
    if schema is not None:
        numbers, taken = known_class_numbers(values, schema.classes, where)
        return numbers, schema.classes, (*notes, *taken)
    is_text = raw.delimiter is not None
    numbers, classes = class_numbers(numbers_of_texts(values) if is_text else values, where)
    return numbers, classes, notes


def _parts(path: Path, columns: Columns, schema: Schema | None) -> NDArray[np.str_] | None:
    """The part of each row by a column ``split``, which is taken out; None if there is no such column."""
    if "split" not in columns or (schema is not None and "split" in schema.columns):
        return None
    where = f"{path}, column split"
    part = part_names(raw_values(columns["split"], where), where)
    if part is not None:
        del columns["split"]
    return part


def _read_columns(
    path: Path, columns: Columns, raw: RawTable, schema: Schema | None
) -> tuple[dict[str, Column], list[Said]]:
    """Every column by its meaning, or with a ``schema`` those that it has; and what is to be said of them.

    A column is let go once it is read, for a long table takes as much memory as text as it does as numbers.
    """
    if schema is not None:
        columns = {name: columns[name] for name in schema.columns if name in columns}
    texts = [column for column in columns.values() if _is_text(column)]
    mark = decimal_mark(texts, raw.delimiter)
    raw.columns.clear()
    texts.clear()
    read: dict[str, Column] = {}
    said: list[Said] = []
    for name in list(columns):
        column, where = columns.pop(name), f"{path}, column {name}"
        if schema is not None:
            known = schema.categories.get(name)
            read[name] = read_column(column, where, mark=mark, like=schema.columns[name], known=known)
        else:
            codes = raw.delimiter is None and _is_text(column) and pc.count_distinct(column).as_py() <= FEW
            read[name] = read_column(column, where, mark=mark, like=TEXT if codes else None)
        said += [(name, note) for note in read[name].notes]
    return read, said


def _undictionaried(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as such, where a file keeps them by number or all of them are missing."""
    if types.is_null(column.type):
        return column.cast(pa.string())
    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


def _is_text(column: pa.ChunkedArray) -> bool:
    return bool(types.is_string(column.type) or types.is_large_string(column.type))


def _drop_useless(columns: dict[str, Column], keep: Sequence[str]) -> list[Said]:
    """Remove the columns that nothing can be learnt from; say which and why."""
    said = []
    bearers = repeated({name: column.values for name, column in columns.items()})
    for name, column in list(columns.items()):
        values = column.values
        if name in keep:
            continue
        if NAMELESS.fullmatch(name):
            reason = "it has no name"
        elif missing(values).all():
            reason = "all its values are missing"
        elif name in bearers:
            reason = f"{bearers[name]}; --group {quote(name)} keeps its rows on one side of every split"
        elif column.type.kind in {"number", "text"} and (why := identifier(name, values)):
            reason = f"{why}; --keep {quote(name)} keeps it"
        else:
            continue
        said.append((name, f"dropped, {reason}"))
        del columns[name]
    return said


def _features(path: Path, columns: dict[str, Column], rows: int) -> Table:
    texts = [name for name, column in columns.items() if column.type == TEXT]
    numbers = [name for name, column in columns.items() if column.type != TEXT]
    for name in numbers:
        infinite = np.flatnonzero(np.isinf(columns[name].values))
        if len(infinite):
            raise InputError(
                f"{path}, column {name}: expected finite numbers, got {len(infinite)} infinite ones, "
                f"the first in row {infinite[0] + 2}; replace or empty them."
            )
    return Table(
        _stacked([columns[name] for name in numbers], np.dtype(np.float64), rows),
        tuple(numbers),
        _stacked([columns[name] for name in texts], np.dtype(object), rows),
        tuple(texts),
        {name: columns[name].type for name in numbers},
    )


def _stacked(columns: Sequence[Column], dtype: np.dtype[Any], rows: int) -> NDArray[Any]:
    """(N, D) of D columns, kept column by column, as they are used."""
    stacked = np.empty((rows, len(columns)), dtype, order="F")
    for place, column in enumerate(columns):
        stacked[:, place] = column.values
    return stacked


def _said_missing(table: Table) -> list[Said]:
    said = []
    for names, columns, remedy in (
        (table.numeric_names, table.numeric.T, "filled with the training median"),
        (table.categorical_names, table.categorical.T, "kept as a category of their own"),
    ):
        for name, values in zip(names, columns, strict=True):
            gaps = int(missing(values).sum())
            if gaps:
                said.append((name, f"{gaps} of {len(table)} values missing, {remedy}"))
    return said


def _joined(said: Iterable[Said]) -> list[str]:
    """A note on each column, but one for all where the same is said of many."""
    names: dict[str, list[str]] = {}
    for name, note in said:
        names.setdefault(note, []).append(name or "(no name)")
    notes = []
    for note, those in names.items():
        if len(those) <= _NAMED:
            notes += [f"column {name}: {note}" for name in those]
        else:
            notes.append(f"columns {', '.join(those[:_NAMED])} and {len(those) - _NAMED} more: {note}")
    return notes
