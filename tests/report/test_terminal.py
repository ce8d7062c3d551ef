"""The table of the terminal."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from steelyard import report
from steelyard.report import evidence
from steelyard.report.ranks import DataSet, Place, Ranked, Ranking
from steelyard.report.summary import Cell, Row, summarise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from steelyard.studies.store import Store


def printed(summary: report.Summary, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(report.terminal_table(summary))
    return capture.get()


def test_figures_of_the_summary_at_eighty_signs(store: Store) -> None:
    summary = summarise(evidence.read(store))
    text = printed(summary)
    assert max(map(len, text.splitlines())) <= 80
    assert "skin" in text
    for row in summary.methods[:3]:
        line = next(line for line in text.splitlines() if line.strip().startswith(row.method))
        for key in ("fpr_at_tpr", "auc", "balanced_accuracy"):
            column = next(one for one in summary.measures if one.key == key)
            cell = row.cells[key]
            sign = " *" if cell.best else " ~" if cell.tied else ""
            assert f"{column.text(cell.mean)} ±{column.text(cell.sd)}{sign}" in line
    assert "2 of 3" in text
    assert "+ logit adjustment" not in text
    assert "rows that are made after training without cost" in " ".join(text.split())


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["ce", "low(lam=0.1, loss=focal(gamma=1.5))", "x" * 70])
def test_no_figure_is_ever_cut(store: Store, name: str, value: float) -> None:
    summary = summarise(evidence.read(store))
    cells = {one.key: Cell(value, value, 12, best=True) for one in summary.measures}
    long = dataclasses.replace(summary, methods=(Row(name, True, 12, 3, cells), *summary.methods[1:]))
    text = printed(long)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert f"{100 * value:.1f} ±{100 * value:.1f} *" in text
    assert "12 of 15" in text
    folded = "".join(line.split("  ")[1] for line in text.splitlines() if line.startswith("  "))
    assert name.replace(" ", "") in folded.replace(" ", "")


@pytest.mark.parametrize("data_sets", [2, 30])
def test_ranks_at_eighty_signs(store: Store, data_sets: int) -> None:
    measure = summarise(evidence.read(store)).deciding
    places = {
        "ce": (Place(0.5, 1.5),) * data_sets,
        "low": (Place(0.5, 1.5),) * data_sets,
        "ldam": (Place(0.6, 3.0),) * data_sets,
    }
    one = DataSet("[bold]skin", "skin", "skin/report.html", ("mel",), 10, 10, 1, 0, 0)
    ranking = Ranking(
        headline="",
        details=(),
        measure=measure,
        data_sets=(one,) * data_sets,
        methods=tuple(Ranked(name, each[0].rank, each) for name, each in places.items()),
        left_out=(),
        friedman_statistic=2.0,
        friedman_p=0.1,
        least_p=0.01,
        critical_difference=2.34,
        groups=(("ce", "low", "ldam"),),
    )
    console = Console(width=80)
    with console.capture() as capture:
        console.print(report.ranks_table(ranking))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 80
    assert "[bold]skin" in text
    assert re.search(r"^ *ldam +(60\.0 \(3\) +)+3\.00 *$", text, re.MULTILINE)
    assert re.search(r"^ *ce +(50\.0 \(1\.5\) +)+1\.50 *$", text, re.MULTILINE)
    assert ("more data sets" in text) == (data_sets == 30)


def test_brackets_in_a_name_are_no_markup(build: Callable[..., Store], tmp_path: Path) -> None:
    store = build(tmp_path / "out", methods=("ce", "counts(sizes=[1, 2])"), seeds=1, failed=())
    assert "counts(sizes=[1, 2])" in printed(summarise(evidence.read(store)), width=140)
