"""The audit of labels in words, pictures and rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.report.figure import ACCENT, MUTED, Plot, axes, legend, svg
from steelyard.report.gallery import PER_ROW, Strip, Tile
from steelyard.report.measures import called, count, joined, number, percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steelyard.report.audit import Audit, Suspect

COLUMNS = (
    "rank", "index", "name", "given_label", "predicted_label", "given_class", "predicted_class",
    "is_label_issue", "label_quality", "probability", "margin", "loss", "weight", "runs",
)  # fmt: skip
_BINS = 40
_PAIRS = 3  # of classes that the answer names
_FIGURES = {"margin": "Mean margin", "loss": "Mean loss", "weight": "Mean weight"}


def csv_row(found: Audit, one: Suspect) -> dict[str, Any]:
    """One row of ``audit.csv``, by :data:`COLUMNS`; four of them are those of cleanlab's label issues."""
    return {
        "rank": one.rank,
        "index": one.row,
        "name": one.name,
        "given_label": one.given,
        "predicted_label": one.suggested,
        "given_class": found.classes[one.given],
        "predicted_class": found.classes[one.suggested],
        "is_label_issue": one.issue,
        "label_quality": f"{one.quality:.6f}",
        "probability": f"{one.probability:.4f}",
        "margin": f"{one.margin:.6g}",
        "loss": f"{one.loss:.6g}",
        "weight": "" if one.weight is None else f"{one.weight:.6g}",
        "runs": one.runs,
    }


def shown(found: Audit, top: int) -> NDArray[np.int64]:
    """Rows of the data set that the page shows, rising."""
    tiles = [tile.row for strip in strips(found, top) for tile in strip.tiles]
    return np.unique([*tiles, *(one.row for one in found.ranking[:top])])


def strips(found: Audit, top: int) -> list[Strip]:
    """The ``top`` of the ranking, then the first suspected ones of every class."""
    every = [Strip("All classes", tuple(_tile(found, one) for one in found.ranking[:top]))]
    for given, name in enumerate(found.classes):
        tiles = [_tile(found, one) for one in found.issues if one.given == given][:PER_ROW]
        every.append(Strip(f"Labelled {name}", tuple(tiles)))
    return [strip for strip in every if strip.tiles]


def pairs(found: Audit) -> list[tuple[str, str, int]]:
    """Given class, suggested class and number of suspected samples, the commonest first."""
    seen = Counter((one.given, one.suggested) for one in found.issues)
    return [(found.classes[a], found.classes[b], often) for (a, b), often in seen.most_common()]


def headline(found: Audit) -> str:
    """The answer in one sentence."""
    every, issues = len(found.ranking), len(found.issues)
    if not issues:
        return f"None of {every:,} training labels is suspected to be wrong."
    verb = "is" if issues == 1 else "are"
    return f"{issues:,} of {every:,} training labels ({_share(issues, every)}) {verb} suspected to be wrong."


def details(found: Audit) -> list[str]:
    """What the answer rests on."""
    runs = count(found.runs, "run")
    commonest = [
        f"{called(given)} that looks like {called(suggested)} ({often:,})"
        for given, suggested, often in pairs(found)[:_PAIRS]
    ]
    within = ", within each class" if found.per_class else ""
    rule = "on average over training, another class had the largest probability"
    return [
        f"Suspected: in {runs} of {found.method}, {rule}.",
        *([f"The commonest: {joined(commonest)}."] if commonest else []),
        f"Ranked by {_FIGURES[found.by].lower()} in training{within}.",
        "Look at a sample before you change its label: rare and hard samples are suspected too.",
    ]


def distribution(found: Audit) -> Plot:
    """Histogram of the figure that ranks, of suspected and of other samples."""
    value = np.array([getattr(one, found.by) for one in found.ranking])
    issue = np.array([one.issue for one in found.ranking])
    edges = np.histogram_bin_edges(value, _BINS)
    parts = {"others": value[~issue], "suspected": value[issue]}
    heights = {name: np.histogram(part, edges)[0] for name, part in parts.items()}
    title = _FIGURES[found.by]
    with axes(3.2) as (figure, ax):
        for name, colour in (("others", MUTED), ("suspected", ACCENT)):
            ax.hist(
                parts[name], edges.tolist(), color=colour, alpha=0.75, label=f"{name} ({len(parts[name]):,})"
            )
        ax.set(xlabel=f"{title} in training", ylabel="Training samples", yscale="symlog", ylim=(0, None))
        ax.yaxis.set_major_formatter("{x:,.0f}")
        legend(ax, len(parts))
        drawing = svg(figure, "audit")
    centres = " and ".join(
        f"{number(float(np.median(parts[name])))} for {of}"
        for name, of in (("suspected", "suspected samples"), ("others", "the others"))
        if len(parts[name])
    )
    finding = f"The median {title.lower()} is {centres}. The upright axis is logarithmic above 1."
    low, high = edges[:-1].tolist(), edges[1:].tolist()
    rows = list(zip(low, high, *(one.tolist() for one in heights.values()), strict=True))
    return Plot("audit", f"{title} of the samples", finding, drawing, ("from", "to", *heights), rows)


def _tile(found: Audit, one: Suspect) -> Tile:
    given, suggested = found.classes[one.given], found.classes[one.suggested]
    sure = percent(round(one.probability, 2))
    return Tile(one.row, f"given {given}; looks like {suggested}, {sure}" if one.issue else f"given {given}")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2g} %"
