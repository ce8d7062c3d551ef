"""What a column means: numbers in any notation, dates, truth values, texts; or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from steelyard._checks import InputError
from steelyard.data.columns import NUMBER, TEXT, TRUTH, Column, ColumnType, read_column

if TYPE_CHECKING:
    from collections.abc import Sequence

VALUES = np.random.default_rng(0).normal(size=40).round(2)
PLAIN = [f"{value:.2f}" for value in VALUES]
DATE = "day/month/year"


def column(texts: Sequence[str | None], **how: object) -> Column:
    return read_column(pa.chunked_array([pa.array(texts, pa.string())]), "column a", **how)  # type: ignore[arg-type]


def with_cells(cells: dict[int, str]) -> list[str]:
    return [cells.get(row, text) for row, text in enumerate(PLAIN)]


def refusal(texts: Sequence[str | None], **how: object) -> str:
    with pytest.raises(InputError) as caught:
        column(texts, **how)
    return str(caught.value)


def test_numbers_are_numbers() -> None:
    found = column(PLAIN)
    assert found.values.tolist() == VALUES.tolist()
    assert (found.type, found.notes) == (NUMBER, ())


@pytest.mark.parametrize(
    "cell", ["unknown", "-", "n.d.", "<0.1", "#DIV/0!", "#VALUE!", "see above", "Missing"]
)
def test_a_stray_cell_is_missing_and_said(cell: str) -> None:
    found = column(with_cells({3: cell, 9: f" {cell} "}))
    assert np.flatnonzero(np.isnan(found.values)).tolist() == [3, 9]
    assert np.delete(found.values, [3, 9]).tolist() == np.delete(VALUES, [3, 9]).tolist()
    assert found.type == NUMBER
    assert found.notes == (f"2 cells of 40 read as missing: '{cell}' (2, first in row 5)",)


def test_blanks_are_missing_without_a_word_of_their_own() -> None:
    found = column(with_cells({3: "  ", 4: " NA ", 5: "\u00a0"}))
    assert np.flatnonzero(np.isnan(found.values)).tolist() == [3, 4, 5]
    assert found.notes == ()


def test_marks_of_missing_values_may_be_many_but_other_texts_not() -> None:
    found = column(with_cells(dict.fromkeys(range(30), "unknown")))
    assert found.type == NUMBER
    assert np.isnan(found.values[:30]).all()
    said = refusal(with_cells(dict.fromkeys(range(10), "<0.1")))
    assert said.startswith(
        "column a: expected numbers or texts, got both: 30 of 40 cells can be read as numbers"
    )
    assert "as '<0.1' (row 2)" in said
    percent = [text + "%" * (row % 2) for row, text in enumerate(PLAIN)]
    assert f"'{percent[1]}' (row 3)" in refusal(percent)


def test_few_codes_stay_categories_and_it_is_said() -> None:
    codes = [("1", "2", "3", "X")[row % 4] for row in range(40)]
    found = column(codes)
    assert found.type == TEXT
    assert found.values.tolist() == codes
    assert found.notes == ("numbers beside 'X' (10, first in row 5), all read as categories",)


def test_texts_with_some_numbers_are_texts() -> None:
    texts = [f"{row} High Street" if row % 3 else str(row) for row in range(40)]
    assert column(texts).type == TEXT
    assert column(["unknown"] * 40).type == TEXT


def test_codes_that_begin_with_zeros_stay_as_they_are() -> None:
    codes = ["01234", "94105", "10001"] * 10
    found = column(codes)
    assert found.values.tolist() == codes
    assert found.notes == ("read as texts, for some begin with zeros, as '01234' (row 2)",)
    assert column(["0", "0.5", "-0.25"]).type == NUMBER


@pytest.mark.parametrize(
    ("form", "mark", "kept", "said"),
    [
        (lambda v: f"{v:.2f}".replace(".", ","), None, (",", ""), ["numbers with a decimal comma"]),
        (lambda v: f"{v * 1e5:,.0f}", ".", (".", ""), ["thousands separators taken out"]),
        (lambda v: f"{v:.2f} %", ".", (".", "%"), ["numbers with %, which is taken off"]),
        (
            lambda v: f"{v * 1e5:,.1f} \u20ac".translate(str.maketrans(",.", ".,")),
            None,
            (",", "\u20ac"),
            [
                "thousands separators taken out",
                "numbers with a decimal comma",
                "numbers with \u20ac, which is taken off",
            ],
        ),
    ],
)
def test_notations_are_kept_and_said(
    form: object, mark: str | None, kept: tuple[str, str], said: list[str]
) -> None:
    found = column([form(value) for value in VALUES], mark=mark)  # type: ignore[operator]
    scale = 1e5 if "thousands separators taken out" in said else 1
    np.testing.assert_allclose(found.values, VALUES * scale, rtol=1e-12, atol=1e-9)
    assert found.type == ColumnType("number", *kept)
    assert list(found.notes) == said


def test_decimals_and_thousands_are_told_apart_or_it_is_refused() -> None:
    texts = ["1,234", "2,500", "850"]
    assert column(texts, mark=".").values.tolist() == [1234, 2500, 850]
    assert column(texts, mark=",").values.tolist() == [1.234, 2.5, 850]
    assert "column a: cannot tell decimals from thousands in '1,234' (row 2)" in refusal(texts, mark=None)
    assert column(["1.234", "850"], mark=",").values.tolist() == [1234, 850]
    assert column(["1.234", "850"], mark=".").values.tolist() == [1.234, 850]
    assert column(["0.562", "1.234"], mark=",").values.tolist() == [0.562, 1.234]  # no thousands begin with 0
    alike = column(
        ["1,234", "2,500"], mark=None
    ).values  # one is 1,000 times the other: it makes no difference
    assert alike.tolist() == [1.234, 2.5]


def test_dates_in_the_order_that_their_cells_show() -> None:
    found = column([*["3.1.1970"] * 30, "unknown"])
    assert found.values.tolist()[:30] == [2.0] * 30
    assert found.type == ColumnType("date", order=DATE)
    assert found.notes == (f"read as {DATE}", "1 cell of 31 read as missing: 'unknown' (row 32)")
    assert column(["01/02/1970", "01/13/1970"]).values.tolist() == [1, 12]
    assert column(["02/01/1970", "13/01/1970"]).values.tolist() == [1, 12]
    assert column(["1970-01-02"]).notes == ()
    said = refusal(["01/02/1970", "03/04/1970"])
    assert said.startswith("column a: cannot tell day from month in '01/02/1970' (row 2)")
    assert column(["01/01/1970", "02/02/1970"]).values.tolist() == [0, 32]  # either way


def test_truth_values_in_any_case() -> None:
    found = column(["True", "false", "TRUE", None, "unknown"])
    np.testing.assert_array_equal(found.values, [1, 0, 1, np.nan, np.nan])
    assert found.type == TRUTH


def test_texts_lose_their_blanks_and_it_is_said() -> None:
    found = column(["x", " x", "y\u00a0", None, "?"])
    assert found.values.tolist() == ["x", "x", "y", None, None]
    assert found.notes == ("2 cells stripped of blanks",)


def test_new_cells_are_read_as_training_read_them() -> None:
    comma, percent = ColumnType("number", ","), ColumnType("number", ".", "%")
    assert column(["1,234", "850"], like=comma, mark=None).values.tolist() == [1.234, 850]
    assert column(["1.5", "2.25"], like=comma).values.tolist() == [1.5, 2.25]  # a file in another notation
    assert column(["1,234", "0,5"], like=NUMBER, mark=",").values.tolist() == [1.234, 0.5]
    assert column(["5%"], like=percent).values.tolist() == [5]
    assert column(["1", "True", "false"], like=NUMBER).values.tolist() == [1, 1, 0]
    assert column(["1", "0", "0.0", "TRUE"], like=TRUTH).values.tolist() == [1, 0, 0, 1]
    assert column(["01", "1"], like=TEXT).values.tolist() == ["01", "1"]
    assert column(["03/04/1970"], like=ColumnType("date", order=DATE)).values.tolist() == [92]


def test_new_cells_that_training_could_not_have_read_are_counted() -> None:
    found = column(["1", "unknown", "ten", "3"], like=NUMBER)
    np.testing.assert_array_equal(found.values, [1, np.nan, np.nan, 3])
    assert found.notes == ("2 cells of 4 read as missing: 'unknown' (row 3), 'ten' (row 4)",)
    assert np.isnan(column(["ten"], like=NUMBER).values).all()
    found = column(["arm", "elbow", None, "elbow"], like=TEXT, known=["arm", "leg"])
    assert found.values.tolist() == ["arm", "elbow", None, "elbow"]
    assert found.notes == (
        "categories that training had not, read as none of those it had: missing (1), 'elbow' (2)",
    )
    assert column(["arm", None], like=TEXT, known=["arm", None]).notes == ()


def test_new_columns_of_another_kind_are_refused() -> None:
    assert "expected numbers, as in training; 2 of 3 cells are none, as 'x' (row 2)" in refusal(
        ["x", "y", "1"], like=NUMBER
    )
    assert "expected numbers with %" in refusal(["5", "6"], like=ColumnType("number", ".", "%"))
    assert "expected truth values" in refusal(["2", "3"], like=TRUTH)
    assert f"expected dates ({DATE})" in refusal(["1970-01-01"] * 2, like=ColumnType("date", order=DATE))
    with pytest.raises(InputError, match="column a: expected dates, as in training, got numbers"):
        read_column(pa.chunked_array([[1, 2]]), "column a", like=ColumnType("date", order=DATE))


def test_columns_that_bring_their_type_are_taken_at_their_word() -> None:
    numbers = pa.chunked_array([[1, 2, None]])
    assert read_column(numbers, "a", like=TEXT, known=["1", "2", None]).values.tolist() == ["1", "2", None]
    assert read_column(pa.chunked_array([[0.5]]), "a", like=TEXT, known=["0.5"]).notes == ()
    assert read_column(pa.chunked_array([[True, False]]), "a", like=NUMBER).values.tolist() == [1, 0]
