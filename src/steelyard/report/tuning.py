"""The page of a search for parameters: what was tried, what it reached on validation, what was chosen."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import NullFormatter

from steelyard._checks import InputError
from steelyard.report.figure import ACCENT, INK, MUTED, SURFACE, Plot, axes, short, svg
from steelyard.report.measures import count, joined, measures, number
from steelyard.words import Word, split, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial as the page shows it."""

    number: int
    word: str
    value: float  # NaN: the training failed
    chosen: bool


@dataclass(frozen=True, slots=True)
class Searched:
    """The search of one method."""

    method: str
    space: Mapping[str, str]  # ranges by parameter
    trials: tuple[Tried, ...]

    @property
    def chosen(self) -> Tried:
        """The trial whose word was chosen."""
        return next(trial for trial in self.trials if trial.chosen)

    @property
    def failed(self) -> int:
        """Trials whose training failed."""
        return sum(math.isnan(trial.value) for trial in self.trials)


@dataclass(frozen=True, slots=True)
class TuningSummary:
    """All that the page says."""

    title: str
    monitor: str
    headline: str
    details: tuple[str, ...]
    methods: tuple[Searched, ...]
    command: str  # that made the search
    following: str  # that compares the chosen words


def read_tuning(folder: Path) -> TuningSummary:
    """The search in ``folder``, from its files.

    Raises:
        InputError: if it has not come to its end there.
    """
    path = folder / "tuning.json"
    if not path.exists():
        raise InputError(f"{folder} holds no finished search (no tuning.json); give its command again.")
    return _summary(json.loads(path.read_text(encoding="utf-8")))


def tuning_plots(summary: TuningSummary) -> dict[str, list[Plot]]:
    """The plots of each method's parameters."""
    return {one.method: _plots(one, place, summary.monitor) for place, one in enumerate(summary.methods)}


def _summary(found: dict[str, Any]) -> TuningSummary:
    methods = tuple(
        Searched(method, space, tuple(_tried(row) for row in found["trials"] if row["method"] == method))
        for method, space in found["spaces"].items()
    )
    monitor = _label(found["monitor"].removeprefix("val_"))
    best = max(_known(one.chosen.value) for one in methods)
    leaders = [one.method for one in methods if one.chosen.value == best]
    headline = (
        f"{monitor} on validation: {number(best, 3)} at best, by {joined(leaders) if leaders else 'none'}. "
        "Whether that is better is for the test samples to say, which no trial has seen."
    )
    return TuningSummary(
        title=f"{found['facts']['name']}: parameters of {count(len(methods), 'method')}",
        monitor=monitor,
        headline=headline,
        details=_details(found, methods, monitor),
        methods=methods,
        command=found["facts"]["command"],
        following=found["next"],
    )


def _tried(row: dict[str, Any]) -> Tried:
    value = math.nan if row["value"] is None else float(row["value"])
    return Tried(row["number"], row["word"], value, row["chosen"])


def _label(measure: str) -> str:
    """What the pages call ``measure``, where they know it."""
    known = {one.key: one.label for one in measures(critical=True, at_tpr=0.95)}
    return known.get(measure, measure.replace("_", " "))


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _details(found: dict[str, Any], methods: tuple[Searched, ...], monitor: str) -> tuple[str, ...]:
    seeds, numbers = found["how"]["seeds"], [len(one.trials) for one in methods]
    equal = len(set(numbers)) == 1
    each = count(numbers[0], "trial") if equal else f"{min(numbers)} to {max(numbers)} trials"
    budget = f"Each method had {each} of {count(seeds, 'training')} and {found['epochs']} epochs at most."
    if not equal:
        fewest = [one.method for one in methods if len(one.trials) == min(numbers)]
        budget += f" Budgets differ: fewest points were to be tried for {joined(fewest)}."
    untuned = [one.method for one in methods if not one.space]
    failed = sum(one.failed for one in methods)
    return (
        budget,
        f"{monitor} on the validation samples of the same splits decides; of equals the first is taken.",
        *([f"Nothing was there to search for {joined(untuned)}."] if untuned else []),
        *([f"{count(failed, 'trial')} failed in training, and could not be chosen."] if failed else []),
    )


def _plots(one: Searched, place: int, monitor: str) -> list[Plot]:
    """For each parameter what its values reached."""
    found = []
    for name, where in one.space.items():
        points = [(value, trial) for trial in one.trials if (value := _value(trial.word, name)) is not None]
        points = [(value, trial) for value, trial in points if not math.isnan(trial.value)]
        if points:
            found.append(_plot(one.method, f"tuning_{place}_{name}", name, where, points, monitor))
    return found


def _plot(
    method: str, key: str, name: str, where: str, points: list[tuple[Any, Tried]], monitor: str
) -> Plot:
    chosen = next((value for value, trial in points if trial.chosen), None)
    with axes(2.6) as (figure, ax):
        xs = _placed(ax, [value for value, _ in points], where)
        for x, (_, trial) in sorted(zip(xs, points, strict=True), key=lambda each: each[1][1].chosen):
            colour, size = (ACCENT, 10) if trial.chosen else (MUTED, 6)
            ax.plot(x, trial.value, "o", color=colour, markersize=size, markeredgecolor=SURFACE)
            if trial.chosen:
                ax.annotate(
                    "chosen", (x, trial.value), (0, -15), textcoords="offset points", ha="center", color=INK
                )
        ax.margins(y=0.25)
        ax.set(xlabel=name, ylabel=monitor)
        drawing = svg(figure, key.replace(".", "_"))
    values = [trial.value for _, trial in points]
    finding = f"{count(len(points), 'trial')} from {number(min(values), 3)} to {number(max(values), 3)}" + (
        f"; chosen is {text_of(chosen)}." if chosen is not None else "."
    )
    rows = [(text_of(value), trial.value, trial.chosen) for value, trial in points]
    title = f"{short(method)}: {name} in {where}"
    return Plot(key.replace(".", "_"), title, finding, drawing, (name, "value", "chosen"), rows)


def _placed(ax: Axes, values: list[Any], where: str) -> list[float]:
    """Where the values stand on the axis: as numbers, or those of a list side by side in its order."""
    if where.startswith("["):
        names = split(where[1:-1])
        ax.set_xticks(range(len(names)), [short(name) for name in names])
        ax.margins(x=0.2)
        return [float(names.index(text_of(value))) for value in values]
    if where.startswith("log"):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    return values


def _value(word: str, name: str) -> Any:
    """The value of the parameter ``name``, such as ``loss.gamma``, in ``word``; None where it has none."""
    value: Any = Word.parse(word)
    for part in name.split("."):
        value = value.params.get(part) if isinstance(value, Word) else None
    return value
