"""The table of the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from steelyard import report
from steelyard.report import evidence
from steelyard.report.summary import summarise

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


def test_brackets_in_a_name_are_no_markup(build: Callable[..., Store], tmp_path: Path) -> None:
    store = build(tmp_path / "out", methods=("ce", "counts(sizes=[1, 2])"), seeds=1, failed=())
    assert "counts(sizes=[1, 2])" in printed(summarise(evidence.read(store)), width=140)
