"""Plots of curves: ROC, precision-recall, calibration and training, each a mean over runs with its spread."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.metrics import average_precision, precision_recall_curve, reliability_curve, roc_curve
from steelyard.report.figure import MUTED, SURFACE, Look, Plot, axes, legend, listed, short, svg
from steelyard.report.measures import measures, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Scored

    Curve = NDArray[np.float64]

GRID = np.linspace(0, 1, 201)
_BINS = 10
_FEW = 10  # samples below which a bin of the calibration plot says nothing


def roc(evidence: Evidence, looks: Mapping[str, Look]) -> Plot:
    """Mean ROC curve of each method, with the operating point that validation chose."""
    critical = ", ".join(evidence.classes[c] for c in evidence.critical)
    wanted = evidence.store.study.at_tpr
    rows: list[tuple[Any, ...]] = []
    findings = []
    with axes(4.3) as (figure, ax):
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, dashes=(2, 3))
        ax.axhline(wanted, color=MUTED, linewidth=0.9)
        ax.annotate(f"{percent(wanted)} wanted", (0.995, wanted), xytext=(0, -11), ha="right", color=MUTED,
                    textcoords="offset points", fontsize=8.5)  # fmt: skip
        for name, runs in evidence.finished.items():
            rows += _band(ax, name, looks[name], [_roc_on_grid(run) for run in runs])
            point = [_mean(evidence, name, key) for key in ("false_alarm_rate", "sensitivity")]
            ax.plot(
                *point, looks[name].marker, markersize=9, color=looks[name].colour, markeredgecolor=SURFACE
            )
            findings.append(f"{name}: AUC {_mean(evidence, name, 'auc'):.3f}{_operating(point)}")
        _share_axes(ax, "False alarms (share of the other classes)", "Sensitivity (share found)")
        legend(ax, len(evidence.finished))
        drawing = svg(figure, "roc")
    marks = "Larger marks are the operating points in use. " if "val" in evidence.store.study.parts else ""
    title = f"ROC curve for {critical}"
    columns = ("method", "false_alarms", "sensitivity", "sd")
    return Plot(
        "roc",
        title,
        marks + listed(findings),
        drawing,
        columns,
        rows,
    )


def precision_recall(evidence: Evidence, looks: Mapping[str, Look]) -> Plot:
    """Mean precision at each recall."""
    critical = ", ".join(evidence.classes[c] for c in evidence.critical)
    rows: list[tuple[Any, ...]] = []
    findings = []
    with axes(4.3) as (figure, ax):
        shares = [float(run.positive.mean()) for runs in evidence.finished.values() for run in runs]
        ax.axhline(float(np.mean(shares)), color=MUTED, linewidth=0.8, dashes=(2, 3))
        for name, runs in evidence.finished.items():
            rows += _band(ax, name, looks[name], [_precision_on_grid(run) for run in runs])
            area = float(np.mean([average_precision(run.positive, run.score) for run in runs]))
            findings.append(f"{name}: average precision {area:.3f}")
        _share_axes(ax, "Recall (share found)", "Precision (share of alarms that are right)")
        legend(ax, len(evidence.finished))
        drawing = svg(figure, "precision_recall")
    chance = percent(float(np.mean(shares)))
    finding = f"The dotted line is chance, {chance} of the test samples. {listed(findings)}"
    columns = ("method", "recall", "precision", "sd")
    return Plot("precision_recall", f"Precision and recall for {critical}", finding, drawing, columns, rows)


def calibration(evidence: Evidence, looks: Mapping[str, Look]) -> Plot:
    """How often a decision of a given confidence is right, over all runs."""
    rows: list[tuple[Any, ...]] = []
    findings = []
    with axes(4.3) as (figure, ax):
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, dashes=(2, 3))
        for name, runs in evidence.finished.items():
            target = np.concatenate([run.test.target for run in runs])
            curve = reliability_curve(target, np.concatenate([run.test.probability for run in runs]), _BINS)
            there = curve.count >= _FEW
            look = looks[name]
            ax.plot(curve.confidence[there], curve.accuracy[there], color=look.colour, marker=look.marker,
                    linestyle=look.dash, label=short(name))  # fmt: skip
            rows += [
                (name, bin_, *values)
                for bin_, *values in zip(
                    range(_BINS), curve.confidence, curve.accuracy, curve.count, strict=True
                )
            ]
            gap = float(np.nansum((curve.confidence - curve.accuracy) * curve.count) / curve.count.sum())
            findings.append(
                f"{name} is {'over' if gap > 0 else 'under'}confident by {100 * abs(gap):.1f} points"
            )
        _share_axes(ax, "Confidence of the decision", "Share of decisions that are right")
        legend(ax, len(evidence.finished))
        drawing = svg(figure, "calibration")
    columns = ("method", "bin", "confidence", "accuracy", "samples")
    return Plot(
        "calibration", "Confidence and truth", f"On average {listed(findings)}", drawing, columns, rows
    )


def training(evidence: Evidence, looks: Mapping[str, Look]) -> list[Plot]:
    """Training loss, validation loss and the validation measures that matter by epoch."""
    study = evidence.store.study
    known = measures(bool(evidence.critical), study.at_tpr, multilabel=evidence.multilabel)
    titles = {f"val_{one.key}": one.label for one in known}
    wanted = ("val_fpr_at_tpr", "val_auc", "val_balanced_accuracy", study.training.monitor)
    drawn = {"train_loss": "Loss on training samples", "val_loss": "Loss on validation samples"}
    drawn |= {column: f"{titles[column]} on validation samples" for column in wanted if column in titles}
    return [by_epoch(evidence.finished, looks, column, title) for column, title in drawn.items()]


def logged(evidence: Evidence, looks: Mapping[str, Look]) -> list[Plot]:
    """By epoch, what the parts of objectives logged, under the titles that the runs keep in their facts.

    Accuracy on training samples comes first, to read the others by. A column to which two methods give
    different titles is drawn twice.
    """
    methods: dict[tuple[str, str, str], dict[str, tuple[Scored, ...]]] = {}
    for name, runs in evidence.finished.items():
        for column, about in {k: v for run in runs for k, v in run.facts.get("logged", {}).items()}.items():
            if about["title"]:
                methods.setdefault((column, about["title"], about["unit"]), {})[name] = runs
    if not methods:
        return []
    plots = [by_epoch(evidence.finished, looks, "train_accuracy", "Accuracy on training samples", "share")]
    files: Counter[str] = Counter()
    for (column, title, unit), finished in methods.items():
        file = re.sub(r"\W+", "_", column)
        files[file] += 1
        name = file if files[file] == 1 else f"{file}_{files[file]}"
        plots.append(by_epoch(finished, looks, column, title, unit, name))
    return plots


def by_epoch(
    finished: Mapping[str, tuple[Scored, ...]],
    looks: Mapping[str, Look],
    column: str,
    title: str,
    unit: str = "",
    plot: str = "",
) -> Plot:
    """One column of the histories, averaged over runs; ``plot`` is another name for it than the column's."""
    rows: list[tuple[Any, ...]] = []
    findings = []
    with axes(3.4) as (figure, ax):
        for name, runs in finished.items():
            table = _by_run([[row.get(column, np.nan) for row in run.history] for run in runs])
            there = np.isfinite(table).any(axis=0)
            epoch, values = np.flatnonzero(there) + 1, table[:, there]
            if not epoch.size:
                continue
            mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
            look = looks[name]
            ax.plot(epoch, mean, color=look.colour, linestyle=look.dash, label=short(name),
                    marker=look.marker, markevery=max(1, len(epoch) // 8))  # fmt: skip
            share = column.startswith("val_") and mean.max() <= 1 and not column.endswith("loss")
            most = 1.0 if share or unit == "share" else np.inf
            ax.fill_between(
                epoch,
                np.maximum(mean - sd, np.minimum(mean, 0)),
                np.minimum(mean + sd, most),
                color=look.colour,
                alpha=0.15,
                linewidth=0,
            )
            rows += [(name, int(e), float(m), float(s)) for e, m, s in zip(epoch, mean, sd, strict=True)]
            begins = _second_phase(runs)
            if begins:
                ax.axvline(begins - 0.5, color=look.colour, linewidth=0.9, dashes=(2, 3))
            phase = f", its second phase begins with epoch {begins:.3g}" if begins else ""
            findings.append(f"{name} ends at {mean[-1]:.3g}{phase}")
        ax.set(xlabel="Epoch", ylabel=unit)
        ax.locator_params(axis="x", integer=True)
        ax.margins(x=0.02)
        legend(ax, len(findings))
        drawing = svg(figure, plot or column)
    return Plot(plot or column, title, listed(findings), drawing, ("method", "epoch", "mean", "sd"), rows)


def _second_phase(runs: Sequence[Scored]) -> float:
    """Mean number of the epoch with which the second phase begins; 0 for a method of one phase."""
    first = [sum(row.get("phase") == 1 for row in run.history) for run in runs]
    return float(np.mean(first)) + 1 if any(first) else 0.0


def _by_run(values: list[list[float]]) -> Curve:
    """(runs, epochs), NaN after a run that stopped early."""
    longest = max(map(len, values))
    return np.array([[*row, *[np.nan] * (longest - len(row))] for row in values])


def _band(ax: Axes, name: str, look: Look, curves: list[Curve]) -> list[tuple[Any, ...]]:
    """Draw the mean of ``curves`` on the grid with one standard deviation; give the rows of its data."""
    mean, sd = np.mean(curves, axis=0), np.std(curves, axis=0)
    ax.plot(GRID, mean, color=look.colour, linestyle=look.dash, label=short(name))
    ax.fill_between(
        GRID, np.clip(mean - sd, 0, 1), np.clip(mean + sd, 0, 1), color=look.colour, alpha=0.13, linewidth=0
    )
    return [(name, float(x), float(y), float(s)) for x, y, s in zip(GRID, mean, sd, strict=True)]


def _roc_on_grid(run: Scored) -> Curve:
    """Largest sensitivity with no more false alarms than each grid value."""
    curve = roc_curve(run.positive, run.score)
    return curve.tpr[np.searchsorted(curve.fpr, GRID, side="right") - 1]


def _precision_on_grid(run: Scored) -> Curve:
    """Best precision of any threshold that finds at least the share of each grid value."""
    curve = precision_recall_curve(run.positive, run.score)
    best_from = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return best_from[np.minimum(np.searchsorted(curve.recall, GRID, side="left"), len(curve.recall) - 1)]


def _mean(evidence: Evidence, name: str, measure: str) -> float:
    values = list(evidence.figures.get(name, {}).get(measure, {}).values())
    return float(np.mean(values)) if values else float("nan")


def _operating(point: list[float]) -> str:
    alarms, found = point
    if np.isnan(found):
        return ""
    return f", finds {100 * found:.1f} % at {100 * alarms:.1f} % false alarms"


def _share_axes(ax: Axes, x: str, y: str) -> None:
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), xlabel=x, ylabel=y)
    ax.xaxis.set_major_formatter(_percents)
    ax.yaxis.set_major_formatter(_percents)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.set_yticks(np.linspace(0, 1, 6))


def _percents(value: float, _: float) -> str:
    return f"{100 * value:.0f} %"
