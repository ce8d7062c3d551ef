"""Writes ``summary.json``, ``report.html`` and the data of every plot beside a study's runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard._files import write_text
from steelyard.report import evidence as reading
from steelyard.report.html import page
from steelyard.report.plots import plots
from steelyard.report.summary import Summary, summarise
from steelyard.studies.store import write_rows

if TYPE_CHECKING:
    from steelyard.studies.store import Store


def write(store: Store) -> Summary:
    """Work out the summary of ``store`` and write the page; the same store always gives the same files.

    Reads the store only. Each file is whole or absent.

    Raises:
        InputError: if the comparison has written no results yet.
    """
    evidence = reading.read(store)
    summary = summarise(evidence)
    drawn = plots(evidence, summary)
    write_text(store.folder / "summary.json", summary.as_json())
    for plot in (plot for section in drawn.values() for plot in section):
        rows = (dict(zip(plot.columns, row, strict=True)) for row in plot.rows)
        write_rows(store.folder / "plots" / f"{plot.name}.csv", plot.columns, rows)
    write_text(store.folder / "report.html", page(evidence, summary, drawn))
    return summary
