"""Numbers and dates in other notations: written here by Python's own formatting, and read back."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.data.dates import read_dates
from steelyard.data.numerals import decimal_mark, read_numbers

SWAPPED = str.maketrans(",.", ".,")
NUMBERS = st.lists(st.decimals(-(10**9), 10**9, places=4).map(float), min_size=1, max_size=20)
MOMENTS = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2069, 12, 31))  # noqa: DTZ001  as in a file


@settings(deadline=None, max_examples=50)
@given(NUMBERS, st.sampled_from([",", " ", "'", "\u2019", "\u00a0", "\u202f", ""]))
def test_numbers_are_read_back_from_groups_of_thousands(values: list[float], group: str) -> None:
    english = [f"{value:,.4f}".replace(",", group) for value in values]
    assert read_numbers(pa.array(english), ".").tolist() == values
    if group != ",":
        comma = [text.replace(".", ",") for text in english]
        assert read_numbers(pa.array(comma), ",").tolist() == values


@settings(deadline=None, max_examples=50)
@given(NUMBERS, st.sampled_from(["{} %", "{}%", "$ {}", "\u20ac{}", "{} \u20ac"]))
def test_numbers_are_read_back_beside_a_sign(values: list[float], form: str) -> None:
    german = [form.format(f"{value:,.4f}".translate(SWAPPED)) for value in values]
    (unit,) = set(form) - set("{} ")
    assert read_numbers(pa.array(german), ",", unit).tolist() == values
    assert np.isnan(read_numbers(pa.array(german), ",")).all()
    assert np.isnan(read_numbers(pa.array([repr(value) for value in values]), ".", unit)).all()


@pytest.mark.parametrize(
    "text", ["", "-", "1,2345", "1,23,456", "0,123.4", "1.2.3", "12a", "1e", "--5", ".", "1 23", "1,234,56"]
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert np.isnan(read_numbers(pa.array([text]), ".")).all()


def test_signs_of_all_kinds_are_understood() -> None:
    found = read_numbers(pa.array(["+1", "\u22122", "-.5", "5.", "1.5e-3", "-$3", "$-3"][:5]), ".")
    assert found.tolist() == [1, -2, -0.5, 5, 0.0015]
    assert read_numbers(pa.array(["-$3", "$-3"]), ".", "$").tolist() == [-3, -3]


@pytest.mark.parametrize(
    ("columns", "delimiter", "mark"),
    [
        ([["0,5", "1,25"]], ";", ","),
        ([["1,234", "5"], ["0,5", "7"]], ";", ","),
        ([["1,234", "5"], ["0.5", "7"]], ";", "."),
        ([["1,234", "5"]], ",", "."),
        ([["1,234", "5"]], ";", None),
        ([["1.234", "5"]], ";", "."),
        ([["1.234", "5"], ["1,234", "2"]], ";", None),
        ([["x", "y"]], ";", "."),
        ([["5,1 %", "7,25 %"]], "\t", ","),
    ],
)
def test_a_file_has_one_mark(columns: list[list[str]], delimiter: str, mark: str | None) -> None:
    assert decimal_mark([pa.chunked_array([column]) for column in columns], delimiter) == mark


@settings(deadline=None, max_examples=50)
@given(st.lists(MOMENTS, min_size=1, max_size=10))
def test_dates_are_read_back_in_every_order(moments: list[dt.datetime]) -> None:
    days = [(moment - dt.datetime(1970, 1, 1)) // dt.timedelta(days=1) for moment in moments]  # noqa: DTZ001
    for form, order in (
        ("%Y-%m-%d", "year-month-day"),
        ("%Y/%m/%d", "year-month-day"),
        ("%d.%m.%Y", "day/month/year"),
        ("%d/%m/%y", "day/month/year"),
        ("%d-%b-%Y", "day/month/year"),
        ("%d %B %Y", "day/month/year"),
        ("%m/%d/%Y", "month/day/year"),
        ("%B %d, %Y", "month/day/year"),
    ):
        texts = pa.array([moment.strftime(form) for moment in moments])
        assert read_dates(texts, order).tolist() == days, form


@settings(deadline=None, max_examples=50)
@given(st.lists(MOMENTS, min_size=1, max_size=10))
def test_times_are_shares_of_a_day(moments: list[dt.datetime]) -> None:
    seconds = np.array([moment.hour * 3600 + moment.minute * 60 + moment.second for moment in moments])
    days = np.array([(moment - dt.datetime(1970, 1, 1)).days for moment in moments])  # noqa: DTZ001
    for form, order in (
        ("%Y-%m-%dT%H:%M:%S", "year-month-day"),
        ("%d/%m/%Y %I:%M:%S %p", "day/month/year"),
    ):
        texts = pa.array([moment.strftime(form) for moment in moments])
        np.testing.assert_allclose(read_dates(texts, order), days + seconds / 86400, rtol=0, atol=1e-8)
    clock = pa.array([moment.strftime("%H:%M:%S") for moment in moments])
    np.testing.assert_allclose(read_dates(clock, "hours:minutes"), seconds / 86400, rtol=0, atol=1e-12)


def test_zones_are_taken_off() -> None:
    texts = pa.array(["1970-01-02 00:00Z", "1970-01-02T06:00:00+06:00", "1970-01-01 18:00 -0600"])
    np.testing.assert_allclose(read_dates(texts, "year-month-day"), [1, 1, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", ["31.2.2020", "0.1.2020", "1.13.2020", "1.1.2020 25:00", "May", "1.5", None])
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert np.isnan(read_dates(pa.array([text], pa.string()), "day/month/year")).all()
