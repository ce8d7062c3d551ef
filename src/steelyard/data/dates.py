"""Dates and times of day, in the forms in which people write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DAY, _MONTH, _YEAR = r"(?P<d>\d{1,2})(?:st|nd|rd|th)?", r"(?P<m>M?\d{1,2})", r"(?P<y>\d{4}|\d{2})"
_TIME = r"(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{2}(?:[.,]\d+)?))?\s*(?P<half>[AaPp])?(?:\.?[Mm]\.?)?"
_ZONE = r"\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?"
_AFTER = rf"(?:[T, ]+{_TIME}{_ZONE})?$"
_SEPARATOR = r"\s?[./ -],?\s?"
FORMS = {  # by the order of day, month and year
    "year-month-day": rf"^(?P<y>\d{{4}}){_SEPARATOR}{_MONTH}{_SEPARATOR}{_DAY}{_AFTER}",
    "day/month/year": rf"^{_DAY}{_SEPARATOR}{_MONTH}{_SEPARATOR}{_YEAR}{_AFTER}",
    "month/day/year": rf"^{_MONTH}[/ -]{_DAY}(?:[/ -]|, ?){_YEAR}{_AFTER}",  # points are never so ordered
    "hours:minutes": rf"^{_TIME}$",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PIVOT = 70  # years of two digits are 1970 to 2069


def read_dates(texts: pa.Array, order: str) -> NDArray[np.float64]:
    """Days since 1970 of each of ``texts``, read in the ``order`` (a key of ``FORMS``); NaN if it is no date.

    A time of day alone is its share of the day. English names of months are understood in any order.

    >>> read_dates(pa.array(["2.1.1970", "1 Jan 1970 12:00", "31.2.2020"]), "day/month/year").tolist()
    [1.0, 0.5, nan]
    """
    for number, name in enumerate(_MONTHS, start=1):
        texts = pc.replace_substring_regex(texts, rf"(?i)\b{name}[a-z]*\.?", f"M{number}")
    parts = pc.extract_regex(texts, FORMS[order])
    known = {field.name for field in parts.type}
    none = np.where(np.asarray(pc.is_valid(parts)), 0.0, np.nan)

    def number_of(name: str) -> NDArray[np.float64]:
        return _number(pc.struct_field(parts, name)) if name in known else none

    hours = number_of("h")
    if "half" in known:
        half = pc.struct_field(parts, "half")
        hours = np.where(_one_of(half, "aApP"), hours % 12, hours) + 12 * _one_of(half, "pP")
    days = (hours + number_of("min") / 60 + number_of("s") / 3600) / 24
    days = np.where((hours < 25) & (number_of("min") < 60), days, np.nan)
    if "zone" in known:
        days = days - _zone(pc.struct_field(parts, "zone"))
    return days if "y" not in known else days + _days(number_of("y"), number_of("m"), number_of("d"))


def _days(year: Any, month: Any, day: Any) -> NDArray[np.float64]:
    """Days from 1970 to a date; NaN if there is no such day."""
    year = np.where(year >= 100, year, np.where(year < _PIVOT, year + 2000, year + 1900))
    there = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    whole = [np.where(there, part, 1).astype(np.int64) for part in (year, month, day)]
    first = (whole[0] - 1970).astype("M8[Y]").astype("M8[M]") + (whole[1] - 1)
    date = first.astype("M8[D]") + (whole[2] - 1)
    there &= date.astype("M8[M]") == first  # the 31st of a month that has 30 days is in the next
    return np.where(there, date.astype(np.int64).astype(np.float64), np.nan)


def _number(texts: pa.Array) -> NDArray[np.float64]:
    """What stands in a part of a date, 0 where it was left out, NaN where there is no date."""
    plain = pc.replace_substring(pc.replace_substring(texts, "M", ""), ",", ".")
    plain = pc.if_else(pc.equal(plain, ""), "0", plain)
    return np.asarray(pc.cast(plain, pa.float64()).to_numpy(zero_copy_only=False))


def _zone(texts: pa.Array) -> NDArray[np.float64]:
    """Days that a zone is ahead of universal time."""
    parts = pc.extract_regex(texts, r"(?P<sign>[+-])(?P<h>\d{2}):?(?P<min>\d{2})")
    sign = np.where(_one_of(pc.struct_field(parts, "sign"), "-"), -1, 1)
    hours, minutes = (np.nan_to_num(_number(pc.struct_field(parts, name))) for name in ("h", "min"))
    return np.asarray(sign * (hours / 24 + minutes / 1440), dtype=np.float64)


def _one_of(texts: pa.Array, letters: str) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(texts, pa.array(list(letters))))
