"""Numbers as people write them: decimal commas, thousands separators, percent and currency signs."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MARKS = (".", ",")  # that may stand before the decimals; the other one groups thousands
UNITS = ("%", "‰", "$", "€", "£", "¥")
_SPACES = " '\u2019\u00a0\u202f"  # that group thousands as well
_MINUS = "\u2212"
_SOME = 1000  # rows that show which mark a file uses


def read_numbers(texts: pa.Array, decimal: str = ".", unit: str = "") -> NDArray[np.float64]:
    """The number that each of ``texts`` is if ``decimal`` stands before the decimals; NaN if it is none.

    With a ``unit`` every number must bear that sign, before or after; it does not change the number.

    >>> texts = pa.array(["1.234,5", "0,56", "1,234", "1 234", "ten"])
    >>> read_numbers(texts, ",").tolist()
    [1234.5, 0.56, 1.234, 1234.0, nan]
    >>> read_numbers(texts, ".").tolist()
    [nan, nan, 1234.0, 1234.0, nan]
    """
    mark, other = re.escape(decimal), re.escape(MARKS[decimal == "."])
    grouped = "|".join(rf"[1-9]\d{{0,2}}(?:{sign}\d{{3}})+" for sign in (other, *_SPACES))
    digits = rf"(?:(?:\d+|{grouped})(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?"
    before = rf"(?:{re.escape(unit)}\s*[+\-{_MINUS}]?)?" if unit else ""
    after = rf"(?:\s*{re.escape(unit)})?" if unit else ""
    matched = pc.match_substring_regex(texts, rf"^[+\-{_MINUS}]?{before}{digits}{after}$")
    if unit:
        matched = pc.and_(matched, pc.match_substring(texts, unit))
    bare = pc.if_else(matched, texts, pa.scalar(None, pa.string()))
    bare = pc.replace_substring(bare, _MINUS, "-")
    bare = pc.replace_substring_regex(bare, rf"[^0-9eE+\-{mark}]", "")
    bare = pc.replace_substring(bare, decimal, ".")
    return np.asarray(pc.cast(bare, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def any_grouped(texts: pa.Array, decimal: str) -> bool:
    """Whether any of the numbers has separators between its thousands."""
    signs = MARKS[decimal == "."] + _SPACES
    return bool(pc.any(pc.match_substring_regex(texts, rf"\d[{signs}]\d")).as_py())


def unit_of(texts: pa.Array, counts: NDArray[np.int64]) -> str:
    """The sign that most cells bear, of different ``texts`` that stand in ``counts`` cells each; "" if none.

    >>> unit_of(pa.array(["5 %", "12%", "?"]), np.array([3, 1, 2]))
    '%'
    """
    for unit in UNITS:
        there = np.asarray(pc.fill_null(pc.match_substring(texts, unit), fill_value=False))
        if 2 * counts[there].sum() > counts.sum():
            return unit
    return ""


def decimal_mark(columns: Iterable[pa.ChunkedArray], delimiter: str | None) -> str | None:
    """The mark that a file's numbers have before their decimals; None if its cells do not tell.

    1,234 may be either; 0,56 and 1,5 and 1,234.5 tell. Where no cell tells, a file that is separated by
    commas has points before decimals, and so has one with no commas in its cells.
    """
    sure, unsure = Counter[str](), set[str]()
    for column in columns:
        texts = column.slice(0, _SOME)
        if not pc.any(pc.match_substring(texts, ",")).as_py() and delimiter != ";":
            continue
        texts = pc.utf8_trim_whitespace(texts.unique())
        unit = unit_of(texts, np.ones(len(texts), dtype=np.int64))
        point, comma = (read_numbers(texts, mark, unit) for mark in MARKS)
        more = int((~np.isnan(comma)).sum() - (~np.isnan(point)).sum())
        if more:
            sure[MARKS[more > 0]] += 1
        elif not np.array_equal(point, comma, equal_nan=True):
            unsure.add(MARKS[pc.any(pc.match_substring(texts, ",")).as_py()])
    if sure:
        return sure.most_common(1)[0][0]
    return "." if delimiter == "," or unsure <= {"."} else None
