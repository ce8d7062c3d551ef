"""How unsure methods that measure it are of each class, against the number of its training samples.

Of labels: of each side of a label, the samples with it and those without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.stats import spearmanr

from steelyard.report.figure import SURFACE, Look, Plot, axes, legend, listed, short, svg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Scored


def plots(evidence: Evidence, looks: Mapping[str, Look]) -> list[Plot]:
    """A mark for each class and run, in the last epoch; none where no method measures uncertainty."""
    rows, findings = [], []
    names, noun = _names(evidence), "side" if evidence.multilabel else "class"
    with axes() as (figure, ax):
        for name, runs in evidence.finished.items():
            measured = [(run, *found) for run in runs if (found := _of_classes(run)) is not None]
            if not measured:
                continue
            for run, count, value in measured:
                points = zip(names, count.tolist(), value.tolist(), strict=True)
                rows += [(name, *run.key, *point) for point in points]
            count, value = (np.concatenate([one[place] for one in measured]) for place in (1, 2))
            without = np.arange(len(count)) % len(names) < len(names) - len(evidence.classes)
            look = looks[name]
            style: dict[str, Any] = {"color": look.colour, "ms": 6, "alpha": 0.7}
            ax.plot(count[~without], value[~without], look.marker, mec=SURFACE, label=short(name), **style)
            ax.plot(count[without], value[without], look.marker, mfc="none", **style)
            findings.append(_finding(name, [_correlation(count, value) for _, count, value in measured]))
        if not findings:
            return []
        ax.set(xscale="log", xlabel=f"Training samples of the {noun}", ylabel=f"Uncertainty of the {noun}")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")  # its own writes formulas
        ax.xaxis.set_minor_formatter(NullFormatter())
        legend(ax, len(findings))
        drawing = svg(figure, "class_uncertainty")
    mark = "one side of a label, with it or (hollow) without it," if evidence.multilabel else "one class"
    about = (
        f"A mark is {mark} in one run. Rank correlation of uncertainty with size (-1: the rarer the less "
        f"sure; mean over runs): {listed(findings)}"
    )
    title = f"Uncertainty of {'the sides of labels' if evidence.multilabel else 'classes'} against their size"
    key = ("seed", "fold", "member")[: len(rows[0]) - 4]  # the member only where there are ensembles
    columns = ("method", *key, noun, "training_samples", "uncertainty")
    return [Plot("class_uncertainty", title, about, drawing, columns, rows)]


def _names(evidence: Evidence) -> list[str]:
    """Of the classes; of labels those of all sides, in the order of the figures."""
    if not evidence.multilabel:
        return evidence.classes
    return [f"{side} {label}" for side in ("without", "with") for label in evidence.classes]


def _of_classes(run: Scored) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Training samples and last uncertainty of each class or side; None where the run measured none."""
    present = run.facts["counts"]["train"]
    absent = run.stored.absent_counts()
    kinds = ("uncertainty_without", "uncertainty_with") if absent else ("class_uncertainty",)
    last = run.history[-1]
    count = np.array([*absent, *present], dtype=np.float64)
    value = np.array([last.get(f"{kind}[{c}]", np.nan) for kind in kinds for c in range(len(present))])
    return (count, value) if np.isfinite(value).any() else None


def _correlation(count: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """Spearman's, over the classes or sides; NaN where all have as many samples."""
    there = np.isfinite(value)
    if len(np.unique(count[there])) < 2 or len(np.unique(value[there])) < 2:
        return float("nan")
    return float(spearmanr(count[there], value[there]).statistic)


def _finding(name: str, correlations: list[float]) -> str:
    known = [one for one in correlations if np.isfinite(one)]
    if not known:
        return f"{name}: none, since all have as many samples"
    spread = f" ({min(known):.2f} to {max(known):.2f})" if len(known) > 1 else ""
    return f"{name} {np.mean(known):.2f}{spread}"
