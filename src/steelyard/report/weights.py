"""Plots of the sample weights of the methods that weigh: per class, and how they are spread, by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.report.figure import MUTED, Look, Plot, axes, legend, short, svg
from steelyard.report.measures import called, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Scored

    Stored = Sequence[Mapping[str, NDArray[Any]]]  # of training.recorder, run by run

MOST_LINES = 8
_PLAIN = "1 is the weight of plain training."
_DRAWN = (
    "A weight is that of one draw: samples that are drawn more often than once an epoch weigh less each "
    "time, so that on average all count for the same."
)


def of_runs(runs: Sequence[Scored]) -> Stored:
    """The recorded weights of the runs that have some."""
    return [found for run in runs if (found := run.stored.weights()) is not None]


def drawn(stored: Stored) -> bool:
    """Whether samples were drawn: only then is one seen more often than there are epochs."""
    return any(one["count"].max() > len(one["class_mean"]) for one in stored)


def plots(evidence: Evidence, looks: Mapping[str, Look]) -> list[Plot]:
    """For every method that weighs samples its weights per class, and their spread where it was recorded."""
    found = []
    for number, (name, runs) in enumerate(evidence.finished.items()):
        stored = of_runs(runs)
        if stored:
            found.append(per_class(evidence, name, number, stored))
        if stored and all("percentile" in one for one in stored):
            found.append(spread(name, number, stored, looks[name]))
    return found


def per_class(evidence: Evidence, name: str, number: int, stored: Stored) -> Plot:
    """Mean weight of each class by epoch: the mean over runs and one standard deviation between them."""
    by_run = _together(stored, "class_mean")  # (R, E, C)
    mean, sd = by_run.mean(axis=0).filled(np.nan), by_run.std(axis=0).filled(np.nan)
    sizes = np.array(evidence.facts["counts"]["train"])
    rarest = np.argsort(sizes, kind="stable")[:MOST_LINES]
    epoch = np.arange(1, len(mean) + 1)
    with axes(3.6) as (figure, ax):
        ax.axhline(1, color=MUTED, linewidth=0.9)
        for place, c in enumerate(rarest):
            look = Look(place)
            style = {"color": look.colour, "linestyle": look.dash, "marker": look.marker}
            label = f"{short(evidence.classes[c], 16)} ({sizes[c]:,})"
            ax.plot(epoch, mean[:, c], markevery=max(1, len(epoch) // 8), label=label, **style)
            low, high = np.maximum(mean[:, c] - sd[:, c], 0), mean[:, c] + sd[:, c]
            ax.fill_between(epoch, low, high, color=look.colour, alpha=0.13, linewidth=0)
        ax.set(xlabel="Epoch", ylabel="Mean weight")
        ax.ticklabel_format(axis="y", useOffset=False)  # where all weights are 1.0000 the digits tell
        ax.locator_params(axis="x", integer=True)
        legend(ax, len(rarest))
        drawing = svg(figure, f"class_weights_{number}")
    few = f" The {MOST_LINES} rarest of {len(sizes)} classes are shown." if len(sizes) > MOST_LINES else ""
    finding = f"{_extremes(evidence, mean[-1], sd[-1], stored)} {_DRAWN if drawn(stored) else _PLAIN}{few}"
    rows = [
        (name, e, evidence.classes[c], float(mean[e - 1, c]), float(sd[e - 1, c]))
        for e in epoch.tolist()
        for c in range(len(sizes))
    ]
    columns = ("method", "epoch", "class", "mean_weight", "sd")
    noun = "label" if evidence.multilabel else "class"
    return Plot(f"class_weights_{number}", f"Mean weight per {noun}: {name}", finding, drawing, columns, rows)


def _extremes(evidence: Evidence, mean: NDArray[np.float64], sd: NDArray[np.float64], stored: Stored) -> str:
    """The classes of the heaviest and of the lightest weights, in words."""
    heavy, light = int(np.nanargmax(mean)), int(np.nanargmin(mean))
    about = {c: f"{mean[c]:.2f}" + (f" ± {sd[c]:.2f}" if len(stored) > 1 else "") for c in (heavy, light)}
    one = "a draw" if drawn(stored) else "a sample"
    if mean[heavy] == mean[light]:
        noun = "label" if evidence.multilabel else "class"
        return f"In the last epoch {one} of every {noun} weighs {about[heavy]} on average."
    return (
        f"In the last epoch {one} of {called(evidence.classes[heavy])} weighs {about[heavy]} on average and "
        f"one of {called(evidence.classes[light])} {about[light]}."
    )


def spread(name: str, number: int, stored: Stored, look: Look) -> Plot:
    """How unequal the weights of an epoch are: percentiles and the share of zeros, averaged over runs."""
    percentile = _together(stored, "percentile").mean(axis=0).filled(np.nan)  # (E, P)
    zero = _together(stored, "share_zero").mean(axis=0).filled(np.nan)  # (E,)
    of = dict(zip(stored[0]["percent"].tolist(), percentile.T, strict=True))
    epoch = np.arange(1, len(zero) + 1)
    with axes(3.6) as (figure, ax):
        ax.axhline(1, color=MUTED, linewidth=0.9)
        for low, high, alpha, label in ((5, 95, 0.16, "90 % of the weights"), (25, 75, 0.3, "half of them")):
            style: dict[str, Any] = {"color": look.colour, "alpha": alpha, "linewidth": 0, "label": label}
            ax.fill_between(epoch, of[low], of[high], **style)
        ax.plot(epoch, of[50], color=look.colour, label="median")
        ax.plot(epoch, of[100], color=look.colour, linestyle=(0, (1.2, 1.4)), label="largest")
        _above_one_by_factors(ax, float(np.nanmax(of[100])))
        ax.set(xlabel="Epoch", ylabel="Weight, above 1 by factors")
        ax.locator_params(axis="x", integer=True)
        legend(ax, 4)
        drawing = svg(figure, f"weights_{number}")
    finding = (
        f"In the last epoch half of the weights lie between {of[25][-1]:.2f} and {of[75][-1]:.2f}, "
        f"one in twenty is at least {of[95][-1]:.2f}, the largest is {of[100][-1]:.3g}; "
        f"{percent(round(float(zero[-1]), 3))} are 0."
    )
    figures = np.column_stack([zero, percentile]).tolist()
    rows = [(name, e, *row) for e, row in zip(epoch.tolist(), figures, strict=True)]
    columns = ("method", "epoch", "share_zero", *(f"percentile_{share}" for share in of))
    return Plot(f"weights_{number}", f"Spread of the weights: {name}", finding, drawing, columns, rows)


def _together(stored: Stored, key: str) -> np.ma.MaskedArray[Any, Any]:
    """(runs, epochs that all have, ...), what is unknown masked: a class may have no sample in an epoch."""
    epochs = min(len(one[key]) for one in stored)
    return np.ma.masked_invalid(np.stack([one[key][:epochs] for one in stored]))


def _above_one_by_factors(ax: Axes, most: float) -> None:
    """Linear up to 1 and logarithmic above, so that weights of 0 and of 100 can be read in one plot."""
    ax.set_yscale("symlog", linthresh=1)
    steps = [0, 0.5, 1, *(factor * 10**power for power in range(9) for factor in (2, 5, 10))]
    shown = [step for step in steps if step <= max(most, 1)]
    ax.set_yticks(shown, [f"{step:,g}" for step in shown], minor=False)
    ax.yaxis.minorticks_off()
    ax.set_ylim(0, max(1.1, 1.25 * most))
