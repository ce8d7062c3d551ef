"""The audit of labels in words, pictures and rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.report.doubt import TIMES
from steelyard.report.figure import ACCENT, MUTED, Look, Plot, axes, legend, svg
from steelyard.report.gallery import PER_ROW, Strip, Tile
from steelyard.report.measures import called, count, joined, number, percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steelyard.report.audit import Audit, Suspect
    from steelyard.report.doubt import Known

COLUMNS = (
    "rank", "index", "name", "given_label", "predicted_label", "given_class", "predicted_class",
    "is_label_issue", "is_judged", "label_quality", "given_probability", "probability",
    "margin", "loss", "weight", "runs", "held_out",
)  # fmt: skip
_BINS = 40
_PAIRS = 3  # of classes that the answer names
_UNKNOWN = 3  # likewise, of those that are not judged
_COLOURS = {"others": MUTED, "not judged": Look(1).colour, "suspected": ACCENT}
_GROUPS = {"suspected": "suspected samples", "others": "the others", "not judged": "those not judged"}
_FIGURES = {
    "probability": "Mean probability of the given class",
    "margin": "Mean margin in training",
    "loss": "Mean loss in training",
    "weight": "Mean weight in training",
}


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
        "is_judged": one.judged,
        "label_quality": f"{one.quality:.6f}" if one.judged else "",
        "given_probability": f"{one.own:.4f}",
        "probability": f"{one.probability:.4f}",
        "margin": f"{one.margin:.6g}",
        "loss": f"{one.loss:.6g}",
        "weight": "" if one.weight is None else f"{one.weight:.6g}",
        "runs": one.runs,
        "held_out": one.held_out,
    }


def ranked_value(found: Audit, one: Suspect) -> float:
    """The figure of ``one`` that the ranking goes by."""
    return one.own if found.by == "probability" else float(getattr(one, found.by))


def looks_like(found: Audit, one: Suspect) -> str:
    """What the models say of a label, in a word or two."""
    if not one.judged:
        return "not judged"
    if one.issue:
        return found.classes[one.suggested]
    return "the same" if one.suggested == one.given else "unclear"


def shown(found: Audit, top: int) -> NDArray[np.int64]:
    """Rows of the data set that the page shows, rising."""
    tiles = [tile.row for strip in strips(found, top) for tile in strip.tiles]
    return np.unique([*tiles, *(one.row for one in found.ranking[:top])])


def strips(found: Audit, top: int) -> list[Strip]:
    """The ``top`` of the ranking, then the first suspected ones of every class."""
    every = [Strip("All classes", tuple(_tile(found, one) for one in found.ranking[:top] if one.judged))]
    for given, name in enumerate(found.classes):
        tiles = [_tile(found, one) for one in found.issues if one.given == given][:PER_ROW]
        every.append(Strip(f"Labelled {name}", tuple(tiles)))
    return [strip for strip in every if strip.tiles]


def by_class(found: Audit) -> list[tuple[str, Known, int, int]]:
    """Name of each class, how well it is known, its labels and how many of them are suspected."""
    labels, issues = (Counter(one.given for one in some) for some in (found.ranking, found.issues))
    return [
        (name, one, labels[c], issues[c])
        for c, (name, one) in enumerate(zip(found.classes, found.known, strict=True))
    ]


def pairs(found: Audit) -> list[tuple[str, str, int]]:
    """Given class, suggested class and number of suspected samples, the commonest first."""
    seen = Counter((one.given, one.suggested) for one in found.issues)
    return [(found.classes[a], found.classes[b], often) for (a, b), often in seen.most_common()]


def headline(found: Audit) -> str:
    """The answer in one sentence, or two where labels are not judged."""
    every, issues = len(found.ranking), len(found.issues)
    judged = sum(one.judged for one in found.ranking)
    if not judged:
        return f"None of {every:,} training labels can be judged: the models have not learned the classes."
    verb = "is" if issues <= 1 else "are"
    named = f"{issues:,} of {judged:,}" if issues else f"None of {judged:,}"
    share = f" ({_share(issues, judged)})" if issues else ""
    answer = f"{named} training labels{share} {verb} suspected to be wrong."
    return answer if judged == every else f"{answer} {every - judged:,} more labels are not judged."


def details(found: Audit) -> list[str]:
    """What the answer rests on."""
    runs = count(found.runs, "run") if found.runs == found.asked else f"{found.runs} of {found.asked} runs"
    commonest = [
        f"{called(given)} that looks like {called(suggested)} ({often:,})"
        for given, suggested, often in pairs(found)[:_PAIRS]
    ]
    fair = ", the sizes of the classes allowed for" if found.per_class else ""
    rule = f"another class was on average at least {TIMES:g} times as probable as the given one{fair}"
    return [
        f"Suspected: in {runs} of {found.method}, {rule}.",
        *_not_judged(found),
        _held_out(found),
        *([f"The commonest: {joined(commonest)}."] if commonest else []),
        f"Ranked by {_ranked_by(found)}.",
        "Look at a sample before you change its label: rare and hard samples are suspected too.",
    ]


def _not_judged(found: Audit) -> list[str]:
    """Which classes are not judged, and why; the first few by name."""
    unknown = [
        f"{called(name)} ({_recognised(one)})"
        for name, one in zip(found.classes, found.known, strict=True)
        if not one.judged and one.samples
    ]
    if not unknown:
        return []
    more = len(unknown) - _UNKNOWN
    named = joined([*unknown[:_UNKNOWN], *([f"{more} more"] if more > 0 else [])])
    return [f"Not judged: {named}. The models know too little of such a class to doubt its labels."]


def _recognised(one: Known) -> str:
    outside = "held-out " if one.held_out else ""
    return f"{percent(round(one.recall, 2))} of {count(one.samples, f'{outside}sample')} recognised"


def _held_out(found: Audit) -> str:
    outside = sum(one.held_out > 0 for one in found.ranking)
    if outside == len(found.ranking):
        return "Every sample was also predicted by models that had not trained on it."
    some = f"{outside:,} of {len(found.ranking):,} samples were" if outside else "No sample was"
    return f"{some} predicted by a model that had not trained on it; a study with --folds does so with all."


def _ranked_by(found: Audit) -> str:
    if found.by == "probability":
        return "how many times as probable as the given class the other one is"
    within = ", within each class" if found.per_class else ""
    return f"{_FIGURES[found.by].lower()}{within}"


def distribution(found: Audit) -> Plot:
    """Histogram of the figure that ranks, of suspected and of other samples."""
    value = np.array([ranked_value(found, one) for one in found.ranking])
    issue, judged = (np.array([getattr(one, key) for one in found.ranking]) for key in ("issue", "judged"))
    edges = np.histogram_bin_edges(value, _BINS)
    parts = {"others": value[judged & ~issue], "not judged": value[~judged], "suspected": value[issue]}
    if judged.all():
        del parts["not judged"]
    heights = {name: np.histogram(part, edges)[0] for name, part in parts.items()}
    title = _FIGURES[found.by]
    with axes(3.2) as (figure, ax):
        for name, part in parts.items():
            label = f"{name} ({len(part):,})"
            ax.hist(part, edges.tolist(), color=_COLOURS[name], alpha=0.75, label=label)
        ax.set(xlabel=title, ylabel="Training samples", yscale="symlog", ylim=(0, None))
        ax.yaxis.set_major_formatter("{x:,.0f}")
        legend(ax, len(parts))
        drawing = svg(figure, "audit")
    centres = [
        f"{number(float(np.median(parts[name])))} for {of}"
        for name, of in _GROUPS.items()
        if len(parts.get(name, ()))
    ]
    finding = f"The median {title.lower()} is {joined(centres)}. The upright axis is logarithmic above 1."
    low, high = edges[:-1].tolist(), edges[1:].tolist()
    rows = list(zip(low, high, *(one.tolist() for one in heights.values()), strict=True))
    return Plot("audit", title, finding, drawing, ("from", "to", *heights), rows)


def _tile(found: Audit, one: Suspect) -> Tile:
    given, suggested = found.classes[one.given], found.classes[one.suggested]
    sure = percent(round(one.probability, 2))
    return Tile(one.row, f"given {given}; looks like {suggested}, {sure}" if one.issue else f"given {given}")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2g} %"
