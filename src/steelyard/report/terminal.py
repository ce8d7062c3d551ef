"""The table of methods for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from steelyard.report.measures import Measure
    from steelyard.report.summary import Cell, Row, Summary

SHOWN = ("fpr_at_tpr", "auc", "balanced_accuracy", "mean_auc", "mean_f1")
MOST_COLUMNS = 3  # what eighty signs hold beside the names; the page has them all


def terminal_table(summary: Summary) -> Table:
    """Mean ± standard deviation over runs of the leading measures, the best marked."""
    columns = tuple(one for one in summary.measures if one.key in SHOWN)[:MOST_COLUMNS]
    caption = "test samples, mean ± sd over runs; * best, ~ a paired test cannot tell it from the best"
    table = Table(
        title=Text(summary.name),
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("method", overflow="fold")
    for column in columns:
        unit = ", %" if column.percent else ""
        table.add_column(Text(f"{column.label}{unit}"), justify="right", min_width=14)
    table.add_column("runs", justify="right", no_wrap=True)
    trained = [row for row in summary.methods if row.trained]
    for row in summary.methods:
        style = "" if row.trained else "dim"
        table.add_row(*_cells(row, columns), end_section=row is trained[-1], style=style)
    return table


def _cells(row: Row, columns: tuple[Measure, ...]) -> list[Text]:
    # Text, not str: a name with square brackets is no markup.
    figures = [_figure(column, row.cells[column.key]) for column in columns]
    runs = f"{row.runs} of {row.runs + row.failed}" if row.failed else str(row.runs)
    return [Text(row.method), *figures, Text(runs)]


def _figure(column: Measure, cell: Cell) -> Text:
    spread = f" ±{column.text(cell.sd)}" if cell.runs > 1 else ""
    sign = "*" if cell.best else "~" if cell.tied else " "
    return Text(f"{column.text(cell.mean)}{spread} {sign}", style="bold" if cell.best else "")
