"""The tables of methods and of ranks for a terminal: as many columns as fit, every figure whole."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from steelyard.report import suspects
from steelyard.report.measures import count, joined, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steelyard.report.audit import Audit
    from steelyard.report.confirmed import Confirmed
    from steelyard.report.measures import Measure
    from steelyard.report.ranking import Place, Ranking
    from steelyard.report.summary import Cell, Row, Summary

SHOWN = ("fpr_at_tpr", "auc", "balanced_accuracy", "mean_auc", "mean_average_precision", "mean_f1")
WIDTH = 80
_NAME = 26  # signs that names are given before further columns are; longer names fold
_BETWEEN = 3  # signs between two columns


@dataclass(frozen=True, slots=True)
class _Column:
    """A heading, which may break between words, and its figures, which may not."""

    heading: str
    figures: list[Text]

    @property
    def width(self) -> int:
        words = re.findall(r"\S+(?: %)?", self.heading)  # a sign of percent stays with what is before it
        return max(map(len, [*words, *(text.plain for text in self.figures)]))


def terminal_table(summary: Summary) -> Table:
    """Mean ± standard deviation over runs of the leading measures, the best of the trained methods marked."""
    rows = [row for row in summary.methods if row.trained]
    measures = [
        _Column(_heading(one), [_figure(one, row.cells[one.key]) for row in rows])
        for one in summary.measures
        if one.key in SHOWN
    ]
    names = [Text(row.method) for row in rows]  # Text, not str: a name with square brackets is no markup
    runs = _Column("runs", [_runs(row) for row in rows])
    shown = _fitting(names, measures, runs)
    left = len(summary.measures) - len(shown)
    more = [count(left, "more measure")] if left else []
    if len(rows) < len(summary.methods):
        more.append("the rows that are made after training without cost")
    caption = [
        "test samples, mean ± sd over runs; * best, ~ not shown to differ from the best",
        *([f"the page also has {joined(more)}"] if more else []),
    ]
    return _table(summary.name, caption, names, [*shown, runs])


def ranks_table(ranking: Ranking) -> Table:
    """Average rank of each method, best first, with its mean and rank on the data sets."""
    rows = ranking.best_first
    data_sets = [
        _Column(one.name, [_place(ranking.measure, row.places[d], ranking.best_ranks[d]) for row in rows])
        for d, one in enumerate(ranking.data_sets)
    ]
    names = [Text(row.method) for row in rows]
    average = _Column("average rank", [Text(f"{row.average_rank:.2f}") for row in rows])
    shown = _fitting(names, data_sets, average)
    left = len(data_sets) - len(shown)
    caption = [
        f"{_heading(ranking.measure)}: mean over runs, with the rank in brackets; 1 is best",
        f"average ranks less than {ranking.critical_difference:.2f} apart tell no two methods apart",
        *([f"the page also has {count(left, 'more data set')}"] if left else []),
    ]
    return _table(f"{len(rows)} methods over {len(data_sets)} data sets", caption, names, [*shown, average])


def audit_table(found: Audit, rows: int) -> Table:
    """The most suspect samples."""
    caption = [suspects.headline(found), *suspects.details(found)[1:-1]]
    top = found.ranking[:rows]
    columns = {
        "rank": [f"{one.rank}" for one in top],
        "given": [found.classes[one.given] for one in top],
        "looks like": [suspects.looks_like(found, one) for one in top],
        "label's probability" if found.by == "probability" else found.by: [
            f"{suspects.ranked_value(found, one):.2f}" for one in top
        ],
    }
    table = _frame(f"Labels audited: {found.method}", caption)
    table.add_column("sample", overflow="fold")
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for one, *cells in zip(top, *columns.values(), strict=True):
        table.add_row(*map(Text, (one.name, *cells)))
    return table


def confirmed_table(found: Sequence[Confirmed]) -> Table:
    """Every figure of one or more models on new samples, with its interval where there is one."""
    first = found[0]
    unit = "groups of samples" if first.groups is not None else "samples"
    caption = [
        f"{first.data}: {first.counts()}",
        f"in brackets: 95 % interval over other {unit}, the model as it is",
        *(f"{_whose(found, one)}{one.promise}" for one in found if one.promise),
        *dict.fromkeys(note for one in found for note in one.notes),
    ]
    table = _frame(f"{joined([one.method for one in found])} on {first.data}", caption)
    table.add_column("measure", overflow="fold")
    for one in found:
        table.add_column("value" if len(found) == 1 else Path(one.model).name, overflow="fold")
    for name in dict.fromkeys(name for one in found for name in one.figures):
        table.add_row(*map(Text, (name, *(_with_interval(one, name) for one in found))))
    return table


def _whose(found: Sequence[Confirmed], one: Confirmed) -> str:
    return "" if len(found) == 1 else f"{Path(one.model).name}: "


def _with_interval(one: Confirmed, name: str) -> str:
    value, interval = one.figures.get(name, math.nan), one.intervals.get(name)
    text = number(value, 4)
    return text if interval is None else f"{text} ({interval.low:.4f} to {interval.high:.4f})"


def _fitting(names: Sequence[Text], columns: Sequence[_Column], last: _Column) -> list[_Column]:
    """The first of ``columns`` that have room between the names and ``last``; one in any case."""
    room = WIDTH - 2 - min(_NAME, max(map(len, names))) - _BETWEEN - last.width
    ends = accumulate(_BETWEEN + column.width for column in columns)
    return [
        column
        for place, (column, end) in enumerate(zip(columns, ends, strict=True))
        if not place or end <= room
    ]


def _table(title: str, caption: Sequence[str], names: Sequence[Text], columns: Sequence[_Column]) -> Table:
    table = _frame(title, caption)
    table.add_column("method", overflow="fold")
    for column in columns:
        table.add_column(Text(column.heading), justify="right", width=column.width, overflow="fold")
    for name, *figures in zip(names, *(column.figures for column in columns), strict=True):
        table.add_row(name, *figures)
    return table


def _frame(title: str, caption: Sequence[str]) -> Table:
    return Table(
        title=Text(title),
        caption=Text("\n".join(caption)),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )


def _heading(one: Measure) -> str:
    return f"{one.label}, %" if one.percent else one.label


def _runs(row: Row) -> Text:
    return Text(f"{row.runs} of {row.runs + row.failed}" if row.failed else str(row.runs))


def _figure(column: Measure, cell: Cell) -> Text:
    spread = f" ±{column.text(cell.sd)}" if cell.runs > 1 else ""
    sign = "*" if cell.best else "~" if cell.tied else " "
    return Text(f"{column.text(cell.mean)}{spread} {sign}", style="bold" if cell.best else "")


def _place(measure: Measure, place: Place, best: float) -> Text:
    text = f"{measure.text(place.value)} ({place.rank:g})"
    return Text(text, style="bold" if place.rank == best else "")
