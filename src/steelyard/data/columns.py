"""What the cells of a column mean: numbers, truth values, dates or texts, whatever their notation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from steelyard._checks import InputError
from steelyard.data.dates import FORMS, read_dates
from steelyard.data.delimited import MISSING
from steelyard.data.numerals import MARKS, any_grouped, read_numbers, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

FEW = 20  # values; so few may be codes of categories, though they are numbers
_NEARLY_ALL = 0.95  # share of the cells that makes a column numbers, the others missing
_SHOWN = 5  # texts of a column that a note names
_TRUTH = {"true": 1.0, "false": 0.0}
_UNKNOWN = (  # marks of a missing number; between texts they are texts
    *(
        "-",
        "--",
        "---",
        "\u2013",
        "\u2014",
        ".",
        "..",
        "...",
        "*",
        "nil",
        "none",
        "empty",
        "blank",
        "missing",
    ),
    *("unknown", "unk", "not known", "unspecified", "undefined", "not available", "not applicable"),
    *("not done", "not measured", "n.a.", "n.a", "n/d", "n.d.", "nd", "nat", "<na>"),
    *("#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!"),
)


@dataclass(frozen=True, slots=True)
class ColumnType:
    """How the cells of a column are read; a model keeps it, so that new data is read as training was."""

    kind: str = "number"  # or truth, date, text
    decimal: str = "."  # of numbers: what stands before their decimals
    unit: str = ""  # of numbers: the sign that each one bears
    order: str = ""  # of dates: a key of ``dates.FORMS``


NUMBER, TRUTH, TEXT = (ColumnType(kind) for kind in ("number", "truth", "text"))


@dataclass(frozen=True, slots=True)
class Column:
    """One column as it was read: (N,) float64 with NaN for missing, or texts with None."""

    values: NDArray[Any]
    type: ColumnType
    notes: tuple[str, ...] = ()  # what reading did, to follow "column NAME: "


@dataclass(frozen=True, slots=True)
class Schema:
    """What a trained model knows of the data that it reads."""

    classes: tuple[str, ...]
    columns: Mapping[str, ColumnType] = field(default_factory=dict)  # of a table
    categories: Mapping[str, Sequence[str | None]] = field(default_factory=dict)  # of its columns of texts


@dataclass(frozen=True, slots=True)
class Cells:
    """The texts of a column without blanks around them: the different ones, and which of them is where."""

    texts: pa.Array  # (U,)
    place: NDArray[np.int64]  # (N,) in ``texts``; -1 is missing
    padded: int  # cells that had blanks around them

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Cells:
        """The cells of ``column``; what is empty or ``MISSING`` without its blanks is missing."""
        encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
        written = encoded.dictionary.cast(pa.string())
        bare = pc.utf8_trim_whitespace(written)
        padded = np.asarray(pc.and_(pc.not_equal(bare, written), pc.not_equal(bare, "")))
        nothing = pc.is_in(bare, value_set=pa.array(MISSING))
        again = pc.if_else(nothing, pa.scalar(None, bare.type), bare).dictionary_encode()
        first = _places(encoded.indices)
        place = np.append(_places(again.indices), -1)[first]
        return cls(again.dictionary, place, int(np.append(padded, 0)[first].sum()))

    @property
    def counts(self) -> NDArray[np.int64]:
        """(U,) cells that hold each text."""
        return np.bincount(self.place[self.place >= 0], minlength=len(self.texts))

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) of the ``values`` (U,) of the different texts."""
        return np.append(values, np.nan)[self.place]

    def as_texts(self) -> NDArray[np.object_]:
        """(N,) texts, None where missing."""
        return np.array([*self.texts.to_pylist(), None], dtype=object)[self.place]

    def unknown(self) -> NDArray[np.bool_]:
        """(U,) whether a text is a mark of a missing number."""
        return np.asarray(pc.is_in(pc.utf8_lower(self.texts), value_set=pa.array(_UNKNOWN)))

    def row(self, text: int) -> int:
        """The first row that holds a text; counted as a spreadsheet does, where the names are row 1."""
        return int((self.place == text).argmax()) + 2

    def example(self, which: NDArray[np.bool_]) -> str:
        """The first of the texts that are marked, with its row."""
        text = int(which.argmax())
        return f"{self.texts[text].as_py()!r} (row {self.row(text)})"

    def said(self, which: NDArray[np.bool_]) -> str:
        """The texts that are marked, the most frequent first, with their number of cells and first row."""
        counts = np.where(which, self.counts, 0)
        order = (-counts).argsort(kind="stable")[: min(_SHOWN, int(which.sum()))]
        shown = [
            f"{self.texts[text].as_py()!r} "
            f"({f'{counts[text]}, first in ' if counts[text] > 1 else ''}row {self.row(text)})"
            for text in order.tolist()
        ]
        more = int(which.sum()) - len(shown)
        return ", ".join(shown) + (f" and {more} other texts" if more else "")


def read_column(
    column: pa.ChunkedArray,
    where: str,
    *,
    mark: str | None = ".",
    like: ColumnType | None = None,
    known: Sequence[str | None] | None = None,
) -> Column:
    """The meaning of the cells of ``column``, found from them or, with ``like``, known from training.

    Args:
        column: as Arrow has it; texts may stand for anything.
        where: the column in words, for messages.
        mark: of the file, before decimals; decides on numbers that are such with either mark. None: unknown.
        like: how training read the column; what cannot be read so is missing, and noted.
        known: the categories that training had, if ``like`` is text; others are noted.

    Raises:
        InputError: if it is unclear what the cells mean, or, with ``like``, most of them mean something else.
    """
    if not (types.is_string(column.type) or types.is_large_string(column.type)):
        found = _typed(column, where)
        return found if like is None else _typed_like(found, where, like, known)
    if like is not None:
        return _read_like(Cells.of(column), where, like, mark, known)
    plain = _plain_numbers(column, mark)
    return _guessed(Cells.of(column), where, mark) if plain is None else Column(plain, NUMBER)


def raw_values(column: pa.ChunkedArray, where: str) -> NDArray[Any]:
    """The cells as they are, for labels and groups: numbers as numbers, texts without blanks around them."""
    if types.is_string(column.type) or types.is_large_string(column.type):
        return Cells.of(column).as_texts()
    if (types.is_integer(column.type) or types.is_boolean(column.type)) and not column.null_count:
        return np.asarray(column.to_numpy())
    return _typed(column, where).values


def _plain_numbers(column: pa.ChunkedArray, mark: str | None) -> NDArray[np.float64] | None:
    """The quick way for most columns: the numbers that all cells are to anybody, if so."""
    try:
        numbers = pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        return None
    if numbers.null_count == len(numbers) or pc.any(pc.match_substring_regex(column, r"^[+-]?0\d")).as_py():
        return None
    if mark == "," and pc.any(pc.match_substring(column, ".")).as_py():
        return None
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def _candidates(
    cells: Cells, mark: str | None, ask: NDArray[np.int64]
) -> Iterator[tuple[ColumnType, NDArray[np.float64]]]:
    """Types that the texts may have, and the value of each text as such; of equals the first is likelier."""
    yield TRUTH, _truth(cells.texts)
    unit = unit_of(cells.texts, ask)
    for decimal in sorted(MARKS, key=(mark or ",").__ne__):
        yield ColumnType("number", decimal, unit), read_numbers(cells.texts, decimal, unit)
    for order in FORMS:
        yield ColumnType("date", order=order), read_dates(cells.texts, order)


def _guessed(cells: Cells, where: str, mark: str | None) -> Column:
    """The column in the type that reads the most cells; the rest is missing if it is little enough."""
    unknown = cells.unknown()
    ask = np.where(unknown, 0, cells.counts)
    scored = [
        (int(ask[~np.isnan(values)].sum()), of_type, values)
        for of_type, values in _candidates(cells, mark, ask)
    ]
    most, found, values = max(scored, key=lambda one: one[0])
    if 2 * most < ask.sum() or not most:
        return Column(cells.as_texts(), TEXT, padding(cells))
    odd = np.isnan(values) & ~unknown
    coded = np.asarray(pc.match_substring_regex(cells.texts, r"^0\d+$"))
    if found.kind == "number" and coded.any():
        said = f"read as texts, for some begin with zeros, as {cells.example(coded)}"
        return Column(cells.as_texts(), TEXT, (*padding(cells), said))
    if most < _NEARLY_ALL * ask.sum():
        return _mixed(cells, where, values, odd)
    for others in [each for number, other, each in scored if (number, other.kind) == (most, found.kind)]:
        differ = ~np.isnan(values) & ~np.isnan(others) & (values != others)
        told = found.kind == "number" and mark is not None
        if differ.any() and not told and not np.allclose(others, 1000 * values, equal_nan=True):
            raise _unclear(cells, where, found, differ)
    return Column(cells.spread(values), found, _said_reading(cells, found, values))


def _mixed(cells: Cells, where: str, values: NDArray[np.float64], odd: NDArray[np.bool_]) -> Column:
    """A column of numbers and of texts: categories if they are few, or codes; else nobody knows."""
    whole = (values[~np.isnan(values)] % 1 == 0).all()
    if len(cells.texts) > FEW and not (whole and 2 * len(cells.texts) > len(cells.place)):
        counts = cells.counts
        raise InputError(
            f"{where}: expected numbers or texts, got both: {counts[~np.isnan(values)].sum()} of "
            f"{counts.sum()} cells can be read as numbers, others not, as {cells.example(odd)}; "
            "mend or empty those, or remove the column."
        )
    said = f"numbers beside {cells.said(odd)}, all read as categories"
    return Column(cells.as_texts(), TEXT, (*padding(cells), said))


def _unclear(cells: Cells, where: str, found: ColumnType, differ: NDArray[np.bool_]) -> InputError:
    """That cells can be read in two ways, and how to write them in one."""
    example = cells.example(differ)
    if found.kind == "date":
        return InputError(
            f"{where}: cannot tell day from month in {example}, nor in any other cell; "
            "write dates as 2021-12-31, year first."
        )
    return InputError(
        f"{where}: cannot tell decimals from thousands in {example}, nor in any other cell; "
        "write numbers without thousands separators."
    )


def _read_like(
    cells: Cells, where: str, like: ColumnType, mark: str | None, known: Sequence[str | None] | None
) -> Column:
    """The column in the type that training found."""
    if like.kind == "text":
        column = _known_texts(cells.as_texts(), known)
        return replace(column, notes=(*padding(cells), *column.notes))
    readings = [(like, _values(cells.texts, like))]
    if like.kind == "number":
        other = ColumnType("number", MARKS[like.decimal == "."], like.unit)
        readings.append((other, _values(cells.texts, other)))
    counts = cells.counts
    found, values = max(readings, key=lambda one: (counts[~np.isnan(one[1])].sum(), one[0].decimal == mark))
    odd = np.isnan(values) & ~cells.unknown()
    number, total = int(counts[odd].sum()), int(counts.sum())
    if number > 1 and 2 * number > total:
        called = f"dates ({like.order})" if like.kind == "date" else f"{like.kind}s"
        called += f" with {like.unit}" if like.unit else ""
        raise InputError(
            f"{where}: expected {called.replace('truths', 'truth values')}, as in training; "
            f"{number} of {total} cells are none, as {cells.example(odd)}."
        )
    return Column(cells.spread(values), like, _said_reading(cells, found, values, like))


def _values(texts: pa.Array, of_type: ColumnType) -> NDArray[np.float64]:
    """The value of each text; numbers may be truth values and the reverse, for 1 is true."""
    if of_type.kind == "date":
        return read_dates(texts, of_type.order)
    truth, numbers = _truth(texts), read_numbers(texts, of_type.decimal, of_type.unit)
    if of_type.kind == "truth":
        numbers = np.where(np.isin(numbers, (0, 1)), numbers, np.nan)
    return np.where(np.isnan(truth), numbers, truth)


def _truth(texts: pa.Array) -> NDArray[np.float64]:
    places = np.asarray(
        pc.fill_null(pc.index_in(pc.utf8_lower(texts), value_set=pa.array(list(_TRUTH))), len(_TRUTH))
    )
    return np.asarray(np.array([*_TRUTH.values(), np.nan])[places])


def _known_texts(values: NDArray[np.object_], known: Sequence[str | None] | None) -> Column:
    """Texts, with a note on those that training had not."""
    if known is None:
        return Column(values, TEXT)
    different, counts = np.unique(["" if v is None else v for v in values.tolist()], return_counts=True)
    new = [
        f"{text!r} ({number})" if text else f"missing ({number})"
        for text, number in zip(different.tolist(), counts.tolist(), strict=True)
        if (text or None) not in known
    ]
    if not new:
        return Column(values, TEXT)
    more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
    said = f"categories that training had not, read as none of those it had: {', '.join(new[:_SHOWN])}{more}"
    return Column(values, TEXT, (said,))


def _said_reading(
    cells: Cells, found: ColumnType, values: NDArray[np.float64], usual: ColumnType = NUMBER
) -> tuple[str, ...]:
    """In what notation the cells are written, if not the ``usual`` one, and which of them say nothing."""
    notes = []
    written = pc.filter(cells.texts, pa.array(~np.isnan(values)))
    if found.kind == "number":
        if any_grouped(written, found.decimal):
            notes.append("thousands separators taken out")
        if found.decimal == "," and pc.any(pc.match_substring(written, ",")).as_py() and usual.decimal != ",":
            notes.append("numbers with a decimal comma")
        if found.unit and not usual.unit:
            notes.append(f"numbers with {found.unit}, which is taken off")
    elif found.kind == "date" and found.order != "year-month-day" and usual.kind != "date":
        notes.append(f"read as {found.order}")
    gone = np.isnan(values)
    if gone.any():
        number = int(cells.counts[gone].sum())
        cell = "1 cell" if number == 1 else f"{number} cells"
        notes.append(f"{cell} of {len(cells.place)} read as missing: {cells.said(gone)}")
    return tuple(notes)


def padding(cells: Cells) -> tuple[str, ...]:
    """That cells had blanks around them, if so."""
    cell = "1 cell" if cells.padded == 1 else f"{cells.padded} cells"
    return (f"{cell} stripped of blanks",) if cells.padded else ()


def _typed(column: pa.ChunkedArray, where: str) -> Column:
    """A column whose file gives its type."""
    kind = column.type
    if types.is_timestamp(kind) or types.is_date(kind):
        micros = column.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy()
        return Column(micros / 86_400e6, ColumnType("date", order="year-month-day"))
    if types.is_boolean(kind):
        return Column(column.cast(pa.int8()).cast(pa.float64()).to_numpy(), TRUTH)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return Column(column.cast(pa.float64(), safe=False).to_numpy(), NUMBER)
    raise InputError(
        f"{where}: expected numbers, truth values, dates or texts, got {kind}; convert or remove it."
    )


def _typed_like(found: Column, where: str, like: ColumnType, known: Sequence[str | None] | None) -> Column:
    """A column whose file gives its type, in the type that training found."""
    if like.kind == "text":
        return _known_texts(np.array([_text(value) for value in found.values.tolist()], dtype=object), known)
    if (like.kind == "date") != (found.type.kind == "date"):
        raise InputError(f"{where}: expected {like.kind}s, as in training, got {found.type.kind}s.")
    return Column(found.values, like)


def _text(number: float) -> str | None:
    """A number as people write it in a column of codes."""
    return None if np.isnan(number) else f"{number:.0f}" if number % 1 == 0 else repr(number)


def _places(indices: pa.Array) -> NDArray[np.int64]:
    return np.asarray(pc.fill_null(indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
