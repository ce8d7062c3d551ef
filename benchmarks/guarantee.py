"""Does a threshold with a guarantee keep its sensitivity on new samples, and what false alarms does it cost?

n positives are drawn, the threshold is chosen on them, and its true sensitivity follows from the population:
normal scores, scores of few distinct values, scores of an easy and a hard half, and groups of 1 to 8 samples
whose scores hang together (n groups; a group is found where all its samples are). Goal: kept in at least 95 %
of the draws at confidence 0.95, up to three standard errors of that share (0.015). For scores without ties
the probability is known in closed form and stands beside.

    python benchmarks/guarantee.py [--save]
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from _bench import machine, save
from scipy.special import ndtr
from scipy.stats import binom

from steelyard.metrics import threshold_at_tpr
from steelyard.metrics.guarantee import promising_rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TPR, CONFIDENCE, DRAWS, SIZES = 0.95, 0.95, 2_000, (59, 100, 300, 1000)
GROUP_SIZES = np.arange(1, 9)
SHARED = 0.7  # share of a score's variance that the samples of a group have in common
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


@dataclass(frozen=True)
class Population:
    """Positive scores: how n are drawn, and which share of them (or of groups, wholly) a threshold finds."""

    draw: Callable[[np.random.Generator, int], tuple[NDArray[np.float64], NDArray[np.int64]]]
    found: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    shift: float = 0.0  # the negatives are normal around it
    grouped: bool = False


def main() -> None:
    figures = {
        f"{name}, n = {n}": measured(population, n, np.random.default_rng([n, kind]))
        for kind, (name, population) in enumerate(POPULATIONS.items())
        for n in SIZES
    }
    for name, found in figures.items():
        print(name, *(f"{key} {figure:.3f}" for key, figure in found.items()), sep="; ", flush=True)
    if "--save" in sys.argv:
        asked = {"tpr": TPR, "confidence": CONFIDENCE, "draws": DRAWS}
        save("guarantee", asked | {"figures": figures, "machine": machine()})


def measured(population: Population, n: int, rng: np.random.Generator) -> dict[str, float]:
    """Share of the draws that keep the promise, mean sensitivity and mean share of false alarms."""
    thresholds = np.empty((DRAWS, 2))
    for row in thresholds:
        score, group = population.draw(rng, n)
        target = np.ones(score.size, np.int64)
        row[0] = threshold_at_tpr(target, score, TPR)
        row[1] = threshold_at_tpr(target, score, TPR, CONFIDENCE, group=group if population.grouped else None)
    found, alarms = population.found(thresholds), ndtr(population.shift - thresholds)
    figures: dict[str, Any] = {}
    for name, column in (("plain", 0), ("guaranteed", 1)):
        figures[f"{name}: kept"] = float((found[:, column] >= TPR).mean())
        figures[f"{name}: found"] = float(found[:, column].mean())
        figures[f"{name}: false alarms"] = float(alarms[:, column].mean())
    rank = promising_rank(n, TPR, CONFIDENCE)
    return figures | {"kept without ties": float(binom.sf(rank - 1, n, 1 - TPR))}


def single(score: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return score, np.arange(score.size)


def two_halves(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return single(rng.normal(size=n) * 0.5 + np.where(rng.random(n) < 0.5, 1.0, -1.0))


def in_groups(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    group = np.repeat(np.arange(n), rng.choice(GROUP_SIZES, n))
    own, common = rng.normal(size=group.size), rng.normal(size=n)[group]
    return math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * own, group


def whole_groups_found(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over what a group has in common of the chance that all its samples reach the threshold."""
    alone = ndtr((math.sqrt(SHARED) * NODES - threshold[..., None]) / math.sqrt(1 - SHARED))
    every = np.mean([alone**size for size in GROUP_SIZES], axis=0)
    return np.asarray(every @ WEIGHTS / WEIGHTS.sum())


POPULATIONS = {
    "normal": Population(
        draw=lambda rng, n: single(rng.normal(size=n)), found=lambda t: ndtr(-t), shift=-2.0
    ),
    "tied: rounded to halves": Population(
        draw=lambda rng, n: single(np.round(2 * rng.normal(size=n)) / 2),
        found=lambda t: ndtr(0.25 - np.round(2 * t) / 2),
        shift=-2.0,
    ),
    "easy and hard half": Population(
        draw=two_halves, found=lambda t: (ndtr(2 * (1 - t)) + ndtr(2 * (-1 - t))) / 2, shift=-2.0
    ),
    "groups of 1 to 8": Population(draw=in_groups, found=whole_groups_found, shift=-2.0, grouped=True),
    "groups of 1 to 8, taken for single samples": Population(
        draw=in_groups, found=lambda t: ndtr(-t), shift=-2.0
    ),
}

if __name__ == "__main__":
    main()
