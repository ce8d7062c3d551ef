"""Every plot of the page, from the evidence and its summary."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from steelyard.report import confidence, curves, tallies, uncertainty, weights
from steelyard.report.benefit import net_benefit
from steelyard.report.figure import AFTER_TRAINING, INK, SURFACE, Look, Plot, axes, listed, short, svg
from steelyard.report.headline import lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from steelyard.report.evidence import Evidence
    from steelyard.report.measures import Measure
    from steelyard.report.summary import Cell, Summary


def plots(evidence: Evidence, summary: Summary) -> dict[str, list[Plot]]:
    """The plots of each section of the page."""
    looks = {name: Look(place) for place, name in enumerate(evidence.methods)}
    if not evidence.finished:
        return {"classes": [tallies.class_counts(summary)]}
    found = {
        "answer": [differences(summary, looks), spread(evidence, summary, looks)],
        "training": [*curves.training(evidence, looks), *curves.logged(evidence, looks)],
        "weights": weights.plots(evidence, looks),
    }
    per_class = tallies.labels if evidence.multilabel else tallies.recall
    found["classes"] = [
        tallies.class_counts(summary),
        per_class(summary, looks),
        *uncertainty.plots(evidence, looks),
    ]
    if not evidence.multilabel:
        found["confusion"] = [
            tallies.confusion(evidence, name, n) for n, name in enumerate(evidence.finished)
        ]
        found["calibration"] = [curves.calibration(evidence, looks), *confidence.plots(evidence, looks)]
    runs = [run for each in evidence.finished.values() for run in each]
    if any(0 < run.positive.mean() < 1 for run in runs):  # else there is nothing to tell apart
        found["operating"] = [
            curves.roc(evidence, looks),
            curves.precision_recall(evidence, looks),
            net_benefit(evidence, looks),
        ]
    return {section: [plot for plot in every if plot.rows] for section, every in found.items()}


def differences(summary: Summary, looks: dict[str, Look]) -> Plot:
    """Each method's difference to the baseline in the deciding measure, with its interval."""
    column = summary.deciding
    every = [one for one in summary.comparisons if one.measure == column.key]
    columns = ("method", "difference", "corrected_low", "corrected_high", "p_holm", "low", "high", "p_value")
    rows = [tuple(getattr(one, name) for name in columns) for one in every]
    named = (*looks, lead(summary), summary.leader)
    found = [one for one in every if one.method in named]
    scale = 100 if column.percent else 1
    with axes(1.25 + 0.42 * len(found)) as (figure, ax):
        ax.axvline(0, color=INK, linewidth=0.9)
        for y, one in enumerate(reversed(found)):
            look = looks.get(one.method, AFTER_TRAINING)
            for low, high, width in (
                (one.corrected_low, one.corrected_high, 1.0),
                (one.low, one.high, 2.8),
            ):
                ax.plot([scale * low, scale * high], [y, y], color=look.colour, linewidth=width)
            ax.plot(
                scale * one.difference,
                y,
                look.marker,
                color=look.colour,
                markersize=9,
                markeredgecolor=SURFACE,
            )
        ax.set_yticks(range(len(found)), [short(one.method) for one in reversed(found)], color=INK)
        ax.set(
            ylim=(-0.6, len(found) - 0.4),
            xlabel=f"{column.label}: {'points' if column.percent else 'difference'} against "
            f"{short(summary.baseline)}",
        )
        _rows_alone(ax)
        drawing = svg(figure, "differences")
    better = "left" if column.better == "lower" else "right"
    tests = f" Thin lines are corrected for {len(every)} comparisons." if len(every) > 1 else ""
    finding = f"To the {better} of zero is better.{tests} " + listed(
        [
            f"{one.method} {column.change(one.difference)} "
            f"({column.change(one.low)} to {column.change(one.high)})"
            for one in found
        ]
    )
    title = f"Difference to {summary.baseline}, 95 % intervals over trainings and test samples"
    return Plot("differences", title, finding, drawing, columns, rows)


def spread(evidence: Evidence, summary: Summary, looks: dict[str, Look]) -> Plot:
    """The deciding measure of every single run."""
    column = summary.deciding
    names = list(evidence.finished)
    rows = []
    with axes(1.25 + 0.42 * len(names)) as (figure, ax):
        for y, name in enumerate(reversed(names)):
            values = evidence.figures.get(name, {}).get(column.key, {})
            rows += [(name, seed, fold, value) for (seed, fold, *_), value in sorted(values.items())]
            there = (100 if column.percent else 1) * np.array(
                [value for value in values.values() if math.isfinite(value)]
            )
            if there.size:
                ax.plot([there.mean()] * 2, [y - 0.28, y + 0.28], color=INK, linewidth=1.4)
                place, look = np.full(there.size, y), looks[name]
                ax.plot(there, place, look.marker, color=look.colour, ms=7, alpha=0.75, mec=SURFACE)
        ax.set_yticks(range(len(names)), [short(name) for name in reversed(names)], color=INK)
        ax.set(ylim=(-0.6, len(names) - 0.4), xlabel=f"{column.label}{', %' if column.percent else ''}")
        _rows_alone(ax)
        drawing = svg(figure, "runs")
    cells = {row.method: row.cells[column.key] for row in summary.methods}
    finding = "A mark is one run, the bar their mean. " + listed(
        [f"{name} {_with_spread(column, cells[name])}" for name in names]
    )
    return Plot(
        "runs", f"{column.label}, run by run", finding, drawing, ("method", "seed", "fold", "value"), rows
    )


def _with_spread(column: Measure, cell: Cell) -> str:
    spread = f" ± {column.text(cell.sd)}" if cell.runs > 1 else ""
    return f"{column.text(cell.mean)}{spread}"


def _rows_alone(ax: Axes) -> None:
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
