"""Plots of how far wrong decisions are from right ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.metrics import close_enough_accuracy, top_k_accuracy
from steelyard.report.figure import Look, Plot, axes, legend, listed, short, svg

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from steelyard.records import Predictions
    from steelyard.report.evidence import Evidence

    Values = NDArray[np.float64]

MANY = 10  # classes from which on it matters how near a wrong decision was
_LARGEST_K = 20
_DISTANCES = np.linspace(0, 0.1, 21)
_BINS = 40


@dataclass(frozen=True, slots=True)
class _Curve:
    """What is drawn of each run: a value at each ``x``, averaged over runs."""

    name: str
    title: str
    x: Values
    x_label: str
    y_label: str
    of: Callable[[Predictions], Values]
    columns: tuple[str, str]


def plots(evidence: Evidence, looks: Mapping[str, Look]) -> list[Plot]:
    """Top-k and close-enough curves and histograms of probabilities; none for a few classes."""
    if len(evidence.classes) < MANY:
        return []
    every = [_top_k(len(evidence.classes)), _close_enough("close_enough", "class", _probability)]
    above = evidence.facts.get("superclass")
    if above:
        member = np.eye(max(above) + 1)[list(above)]  # (C, superclasses)
        grouped = _close_enough(
            "close_enough_superclass",
            "superclass",
            lambda p: (np.asarray(above)[p.target], p.probability @ member),
        )
        every.append(grouped)
    every += [
        _histogram("max_probability", "Probability of the decision", (0, 1), lambda p: p.probability.max(1)),
        _histogram("own_probability", "Probability of the true class", (0, 1), _own),
        _histogram(
            "missing_probability",
            "Probability of the true class minus that of the decision, wrong decisions",
            (-1, 0),
            lambda p: (_own(p) - p.probability.max(1))[p.decision != p.target],
        ),
    ]
    return [_draw(curve, evidence, looks) for curve in every]


def _top_k(classes: int) -> _Curve:
    k = np.arange(1, min(classes, _LARGEST_K) + 1)
    return _Curve(
        "top_k",
        "Top-k accuracy",
        k.astype(np.float64),
        "k",
        "True class among the first k, %",
        lambda p: 100 * np.array([top_k_accuracy(p.target, p.logits, int(one)) for one in k]),
        ("k", "percent"),
    )


def _close_enough(name: str, what: str, of: Callable[[Predictions], tuple[Any, Values]]) -> _Curve:
    def curve(predictions: Predictions) -> Values:
        target, probability = of(predictions)
        return 100 * np.array([close_enough_accuracy(target, probability, a) for a in _DISTANCES])

    return _Curve(
        name,
        f"Close-enough accuracy: true {what} within a of the top",
        _DISTANCES,
        "Allowed distance a from the largest probability",
        f"True {what} within a, %",
        curve,
        ("a", "percent"),
    )


def _histogram(name: str, what: str, span: tuple[int, int], of: Callable[[Predictions], Values]) -> _Curve:
    edges = np.linspace(*span, _BINS + 1)

    def shares(predictions: Predictions) -> Values:
        counts, _ = np.histogram(of(predictions), edges)
        return np.asarray(100 * counts / max(counts.sum(), 1), dtype=np.float64)

    middle = (edges[1:] + edges[:-1]) / 2
    return _Curve(name, what, middle, what, "Test samples, %", shares, ("probability", "percent"))


def _draw(curve: _Curve, evidence: Evidence, looks: Mapping[str, Look]) -> Plot:
    rows: list[tuple[Any, ...]] = []
    findings = []
    with axes() as (figure, ax):
        for name, runs in evidence.finished.items():
            values = np.array([curve.of(run.test) for run in runs])
            mean, sd = values.mean(axis=0), values.std(axis=0)
            look = looks[name]
            ax.plot(curve.x, mean, color=look.colour, linestyle=look.dash, label=short(name))
            ax.fill_between(
                curve.x, np.maximum(mean - sd, 0), mean + sd, color=look.colour, alpha=0.13, linewidth=0
            )
            rows += [(name, *map(float, point)) for point in zip(curve.x.round(6), mean, sd, strict=True)]
            findings.append(_finding(name, curve.x, mean))
        ax.set(xlabel=curve.x_label, ylabel=curve.y_label)
        ax.margins(x=0.02)
        legend(ax, len(findings))
        drawing = svg(figure, curve.name)
    return Plot(curve.name, curve.title, listed(findings), drawing, ("method", *curve.columns, "sd"), rows)


def _finding(name: str, x: Values, mean: Values) -> str:
    return f"{name} {mean[0]:.1f} % at {x[0]:.3g}, {mean[-1]:.1f} % at {x[-1]:.3g}"


def _probability(predictions: Predictions) -> tuple[Any, Values]:
    return predictions.target, predictions.probability


def _own(predictions: Predictions) -> Values:
    return predictions.probability[np.arange(len(predictions.target)), predictions.target]
