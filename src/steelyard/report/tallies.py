"""Plots by class: its samples, what is found of them, what they are taken for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle

from steelyard.metrics import confusion_matrix
from steelyard.report.figure import ACCENT, INK, MUTED, SURFACE, Look, Plot, axes, legend, listed, short, svg
from steelyard.report.measures import called, joined
from steelyard.report.summary import LabelRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from steelyard.report.evidence import Evidence
    from steelyard.report.summary import ClassRow, Summary

MOST_CLASSES = 24  # drawn in one plot: the rarest; the CSV file holds all
MOST_CELLS = 12  # classes up to which a confusion matrix carries its figures


def class_counts(summary: Summary) -> Plot:
    """Training samples of every class, the commonest on top."""
    ordered = sorted(summary.classes, key=_size)
    drawn = ordered[:MOST_CLASSES]
    sizes = [_size(one) for one in drawn]
    rows = [(one.name, *(one.counts.get(part, 0) for part in ("train", "val", "test"))) for one in ordered]
    with axes(_height(len(drawn))) as (figure, ax):
        place = np.arange(len(drawn))
        colours = [ACCENT if one.critical else MUTED for one in drawn]
        ax.barh(place, sizes, height=0.56, color=colours)
        for y, size in zip(place, sizes, strict=True):
            ax.annotate(
                f"{size:,}", (size, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
            )
        _class_axis(ax, drawn)
        ax.set_xlabel("Training samples")
        ax.margins(x=0.12)
        drawing = svg(figure, "class_counts")
    few, many = ordered[0], ordered[-1]
    ratio = _size(many) / max(_size(few), 1)
    of_first = " in the first run; other runs have other rare classes" if summary.by_rarity else ""
    finding = (
        f"From {_size(many):,} training samples of {called(many.name)} to {_size(few):,} "
        f"of {called(few.name)}{of_first}: 1 to {ratio:.3g}.{_rest(ordered)}"
    )
    return Plot(
        "class_counts",
        f"Training samples per {'label' if summary.multilabel else 'class'}",
        finding,
        drawing,
        ("class", "train", "val", "test"),
        rows,
    )


def recall(summary: Summary, looks: Mapping[str, Look]) -> Plot:
    """Recall of every class by every method, with 95 % intervals; by rarity where it differs between runs."""
    ordered = sorted(summary.by_rarity or summary.classes, key=_size)
    drawn = ordered[:MOST_CLASSES]
    methods = [one.method for one in drawn[0].recall]
    keys = ("value", "low", "high")
    with axes(_height(len(drawn), each=0.16 + 0.09 * len(methods))) as (figure, ax):
        for n, method in enumerate(methods):
            found = [one.recall[n] for one in drawn]
            value, low, high = (np.array([100 * getattr(one, key) for one in found]) for key in keys)
            _marks(ax, method, looks[method], (n + 0.5) / len(methods), value, (value - low, high - value))
        _class_axis(ax, drawn)
        ax.set(xlim=(-2, 102), xlabel="Recall, % of the class's test samples")
        legend(ax, len(methods))
        drawing = svg(figure, "recall")
    every = (*summary.by_rarity, *sorted(summary.classes, key=_size))
    rows = [(c.name, r.method, r.value, r.low, r.high) for c in every for r in c.recall]
    rare = ordered[0]
    finding = (
        f"Of {'the' if summary.by_rarity else 'the rarest class,'} {rare.name}, "
        + listed([f"{one.method} finds {100 * one.value:.1f} %" for one in rare.recall])
        + _rest(ordered)
    )
    return Plot(
        "recall", "Recall per class", finding, drawing, ("class", "method", "recall", "low", "high"), rows
    )


def labels(summary: Summary, looks: Mapping[str, Look]) -> Plot:
    """Balanced accuracy of every label by every method, the worst at the bottom."""
    ordered = sorted((one for one in summary.classes if isinstance(one, LabelRow)), key=_over_methods)
    drawn = ordered[:MOST_CLASSES]
    methods = [one.method for one in drawn[0].figures]
    with axes(_height(len(drawn), each=0.16 + 0.09 * len(methods))) as (figure, ax):
        for n, method in enumerate(methods):
            found = [one.figures[n].balanced_accuracy for one in drawn]
            mean, sd = (np.array([100 * getattr(one, key) for one in found]) for key in ("mean", "sd"))
            _marks(ax, method, looks[method], (n + 0.5) / len(methods), mean, np.nan_to_num(sd))
        _class_axis(ax, drawn)
        ax.axvline(50, color=MUTED, linewidth=0.9)  # of any answer that does not look at the sample
        ax.set_xlabel("Balanced accuracy, % (bars: standard deviation between runs)")
        legend(ax, len(methods))
        drawing = svg(figure, "labels")
    rows = [
        (one.name, each.method, cell.mean, cell.sd, each.auc.mean, each.average_precision.mean)
        for one in ordered
        for each in one.figures
        for cell in (each.balanced_accuracy,)
    ]
    means = {one.name: 100 * _over_methods(one) for one in ordered[:3]}
    worst = [f"{called(name)} ({mean:.1f} %)" for name, mean in means.items() if np.isfinite(mean)]
    left = len(ordered) - MOST_CLASSES
    rest = f" The {MOST_CLASSES} worst of {len(ordered)} labels are drawn." if left > 0 else ""
    lowest = f"The lowest means over the methods are those of {joined(worst)}." if worst else ""
    finding = f"{lowest}{rest}"
    columns = ("label", "method", "balanced_accuracy", "sd", "auc", "average_precision")
    return Plot("labels", "Balanced accuracy per label", finding, drawing, columns, rows)


def _over_methods(one: LabelRow) -> float:
    """Mean balanced accuracy over methods; infinite, so that it comes last, where it is not known."""
    means = [each.balanced_accuracy.mean for each in one.figures]
    return float(np.nan_to_num(np.mean(means), nan=np.inf))


def confusion(evidence: Evidence, name: str, number: int) -> Plot:
    """What a method takes each class for: shares of each true class, over all runs."""
    classes = evidence.classes
    runs = evidence.finished[name]
    counts = np.sum([confusion_matrix(run.test.target, run.decision, len(classes)) for run in runs], axis=0)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    small = len(classes) <= MOST_CELLS
    side = 2.2 + 0.34 * len(classes) if small else 4.6
    with axes(side * 0.94, side) as (figure, ax):
        _matrix(ax, share, raster=not small)
        names = [short(one, 14) for one in classes] if small else []
        ax.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
        ax.set(xlabel="Decided class", ylabel="True class")
        drawing = svg(figure, f"confusion_{number}")
    rows = [
        (name, classes[t], classes[d], int(counts[t, d]), float(share[t, d]))
        for t in range(len(classes))
        for d in range(len(classes))
    ]
    columns = ("method", "true", "decided", "samples", "share_of_true")
    return Plot(f"confusion_{number}", name, _worst_mistake(classes, share), drawing, columns, rows)


def _matrix(ax: Axes, share: np.ndarray, *, raster: bool) -> None:
    """Shares as depth of one colour, so that the page's own background shines through."""
    ax.grid(visible=False)
    classes = len(share)
    ax.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5), aspect="equal")
    if raster:
        picture = np.zeros((*share.shape, 4))
        picture[..., :3] = (0.0, 0.45, 0.70)
        picture[..., 3] = np.sqrt(share)  # so that rare mistakes show
        ax.imshow(picture, interpolation="nearest")
        return
    for (t, d), value in np.ndenumerate(share):
        ax.add_patch(_cell(t, d, value))
        if value >= 0.005:
            ax.text(d, t, f"{100 * value:.0f}", ha="center", va="center", fontsize=9, color=INK)


def _cell(t: int, d: int, value: float) -> Any:
    return Rectangle(
        (d - 0.47, t - 0.47), 0.94, 0.94, facecolor=ACCENT, alpha=0.04 + 0.6 * value, linewidth=0
    )


def _worst_mistake(classes: Sequence[str], share: np.ndarray) -> str:
    wrong = share * (1 - np.eye(len(classes)))
    t, d = divmod(int(wrong.argmax()), len(classes))
    if not wrong[t, d] > 0:
        return "No mistakes on the test samples."
    often = f"{100 * wrong[t, d]:.0f} % of its test samples"
    return f"Most often {called(classes[t])} is taken for {called(classes[d])}: {often}."


def _size(one: ClassRow) -> int:
    return one.counts.get("train", 0)


def _height(rows: int, each: float = 0.3) -> float:
    return max(2.2, 1.0 + each * rows)


def _class_axis(ax: Axes, drawn: Sequence[ClassRow]) -> None:
    ax.set_yticks(range(len(drawn)), [short(one.name, 18) for one in drawn], color=INK)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)


def _marks(ax: Axes, method: str, look: Look, place: float, value: np.ndarray, error: Any) -> None:
    """One method's mark in every row; ``place`` in 0..1 says where, from the row's top to its bottom."""
    ax.errorbar(
        value,
        np.arange(len(value)) - 0.62 * (place - 0.5),
        xerr=error,
        fmt=look.marker,
        color=look.colour,
        label=short(method),
        elinewidth=1.1,
        mec=SURFACE,
        mew=0.6,
        ms=6.5,
    )


def _rest(ordered: Sequence[ClassRow]) -> str:
    left = len(ordered) - MOST_CLASSES
    return f" The {MOST_CLASSES} rarest of {len(ordered)} classes are drawn." if left > 0 else ""
