"""Writes ``summary.json``, ``report.html`` and the data of every plot: of one study, or over several."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from steelyard._checks import InputError
from steelyard._files import write_text
from steelyard.report import evidence as reading
from steelyard.report import suspects
from steelyard.report.diagram import critical_difference_diagram
from steelyard.report.html import audit_page, page, ranks_page, tuning_page
from steelyard.report.plots import plots
from steelyard.report.ranks import rank
from steelyard.report.summarise import summarise
from steelyard.report.tuning import read_tuning, tuning_plots
from steelyard.studies.store import write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from steelyard.report.audit import Audit
    from steelyard.report.evidence import Evidence
    from steelyard.report.figure import Plot
    from steelyard.report.ranking import Ranking
    from steelyard.report.summary import Summary
    from steelyard.report.tuning import TuningSummary
    from steelyard.studies.store import Store


def write(store: Store) -> Summary:
    """Work out the summary of ``store`` and write the page; the same store always gives the same files.

    Reads the store only. Each file is whole or absent.

    Raises:
        InputError: if the comparison has written no results yet.
    """
    evidence = reading.read(store)
    summary = summarise(evidence)
    _write_page(evidence, summary)
    return summary


def write_ranks(stores: Sequence[Store], folder: Path) -> Ranking:
    """Write the page of every study, and in ``folder`` one that ranks the methods over all of them.

    Nothing is written where the studies are refused.

    Raises:
        InputError: if a study has no results yet, the studies cannot be ranked together, or ``folder`` holds
            a study, whose page this one would replace.
    """
    if (folder / "study.yaml").exists():
        raise InputError(f"{folder} holds a study and has a page of its own; give --out another folder.")
    studies = [reading.read(store) for store in stores]
    summaries = [summarise(evidence) for evidence in studies]
    ranking = rank(list(zip(stores, summaries, strict=True)), folder)
    for evidence, summary in zip(studies, summaries, strict=True):
        _write_page(evidence, summary)
    diagram = critical_difference_diagram(ranking)
    write_text(folder / "summary.json", ranking.as_json())
    _write_data(folder, [diagram])
    write_text(folder / "report.html", ranks_page(ranking, {"answer": [diagram]}))
    return ranking


def write_audit(store: Store, found: Audit, top: int) -> None:
    """Write ``audit.csv``, of all samples, and ``audit.html``, which shows the ``top`` most suspect ones."""
    rows = (suspects.csv_row(found, one) for one in found.ranking)
    write_rows(store.folder / "audit.csv", suspects.COLUMNS, rows)
    plot = suspects.distribution(found)
    _write_data(store.folder, [plot])
    write_text(store.folder / "audit.html", audit_page(store, found, top, plot))


def write_tuning(folder: Path) -> TuningSummary:
    """Write the page of the search for parameters in ``folder`` from its files.

    Raises:
        InputError: if the search has not come to its end there.
    """
    summary = read_tuning(folder)
    drawn = tuning_plots(summary)
    _write_data(folder, chain.from_iterable(drawn.values()))
    write_text(folder / "report.html", tuning_page(summary, drawn))
    return summary


def _write_page(evidence: Evidence, summary: Summary) -> None:
    folder, drawn = evidence.store.folder, plots(evidence, summary)
    write_text(folder / "summary.json", summary.as_json())
    _write_data(folder, chain.from_iterable(drawn.values()))
    write_text(folder / "report.html", page(evidence, summary, drawn))


def _write_data(folder: Path, drawn: Iterable[Plot]) -> None:
    for plot in drawn:
        rows = (dict(zip(plot.columns, row, strict=True)) for row in plot.rows)
        write_rows(folder / "plots" / f"{plot.name}.csv", plot.columns, rows)
