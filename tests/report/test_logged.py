"""What parts of objectives logged, drawn by the titles that the runs keep: the page knows no loss."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from steelyard.report import curves
from steelyard.report.figure import Look


def run(logged: dict[str, tuple[str, str]], **history: list[float]) -> Any:
    rows = [dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)]
    titles = {name: {"title": title, "unit": unit} for name, (title, unit) in logged.items()}
    return SimpleNamespace(history=rows, facts={"logged": titles})


def plots(**methods: list[Any]) -> Any:
    return curves.logged(
        SimpleNamespace(finished=methods), {name: Look(place) for place, name in enumerate(methods)}
    )


PLAIN = run({}, train_accuracy=[0.4, 0.7])


def test_a_value_is_drawn_by_epoch_under_its_title_and_unit() -> None:
    about = {"made/up [1]": ("A new value", "volts"), "quiet": ("", "")}
    told = {"train_accuracy": [0.5, 0.6], "made/up [1]": [-3.0, -4.0], "quiet": [1.0, 1.0]}
    accuracy, value = plots(plain=[PLAIN], ours=[run(about, **told)])
    assert [row[:3] for row in accuracy.rows] == [
        ("plain", 1, 0.4), ("plain", 2, 0.7), ("ours", 1, 0.5), ("ours", 2, 0.6),
    ]  # fmt: skip
    assert (value.name, value.title) == ("made_up_1_", "A new value")
    assert "volts" in value.svg
    assert value.rows == [("ours", 1, -3.0, 0.0), ("ours", 2, -4.0, 0.0)]


def test_one_column_of_two_meanings_is_drawn_twice() -> None:
    a, b = (run({"violation": (f"Of {name}", "")}, violation=[1.0]) for name in "ab")
    drawn = [plot for plot in plots(a=[a], b=[b, b]) if plot.rows]
    assert [(plot.name, plot.title, plot.rows) for plot in drawn] == [
        ("violation", "Of a", [("a", 1, 1.0, 0.0)]),
        ("violation_2", "Of b", [("b", 1, 1.0, 0.0)]),
    ]


def test_where_nothing_is_logged_nothing_is_drawn() -> None:
    assert plots(plain=[PLAIN], older=[SimpleNamespace(history=[{"mu": 1.0}], facts={})]) == []
