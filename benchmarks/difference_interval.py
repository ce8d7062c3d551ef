"""Does the interval of a difference hold the true one, over other trainings and other test samples?

Two methods, right on 85 and 80 % of all samples on average over trainings; each training of each has an
accuracy of its own (standard deviation 0, 2 or 5 points). They meet on 400 test samples in R paired runs.
What is hard is hard for both, or mostly for one method in all its runs. Intervals at 95 %: percentiles over
test samples, Student's t over runs, t of the summed variances with Satterthwaite's degrees of freedom, and
:func:`steelyard.metrics.difference_interval`. Goal: it holds the true difference in at least 93 % of the
studies.

    python benchmarks/difference_interval.py [--save]
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from _bench import machine, save
from _simulated import RESAMPLES, SAMPLES, SHARED, correct, resamples, satterthwaite
from scipy.special import stdtrit

from steelyard.metrics import difference_interval, mean_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ACCURACY, TRUTH, LEVEL = (0.85, 0.80), 0.05, 0.95
STUDIES, RUNS, SPREADS = 1_000, (2, 3, 5, 10), (0.0, 0.02, 0.05)
HARD = {"hard for both": SHARED, "hard for one": (0.25, 0.5)}
SHARED_DRAWS = 200  # studies that share one set of resamples


def main() -> None:
    figures = {
        f"{hard}, {runs} runs, spread {100 * spread:.0f} points": measured(hard, runs, spread)
        for hard in HARD
        for spread in SPREADS
        for runs in RUNS
    }
    if "--save" in sys.argv:
        asked = {"samples": SAMPLES, "resamples": RESAMPLES, "studies": STUDIES, "level": LEVEL}
        save("difference_interval", asked | {"figures": figures, "machine": machine()})


def measured(hard: str, runs: int, spread: float) -> dict[str, dict[str, float]]:
    """Share of the studies in which each interval holds the truth, and its mean width in points."""
    rng = np.random.default_rng([len(hard), runs, round(100 * spread)])
    studies = [bounds(weights, correct(rng, ACCURACY, runs, spread, HARD[hard])) for weights in draws(rng)]
    found: dict[str, dict[str, float]] = {}
    for name in studies[0]:
        low, high = np.array([study[name] for study in studies]).T
        held = float(((low <= TRUTH) & (high >= TRUTH)).mean())
        found[name] = {"holds": held, "width in points": float(100 * (high - low).mean())}
    line = "; ".join(
        f"{name} {one['holds']:.3f} ({one['width in points']:.1f})" for name, one in found.items()
    )
    print(f"{hard}, {runs} runs, spread {100 * spread:.0f} points: {line}", flush=True)
    return found


def draws(rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """The resampling weights of one study after another."""
    for study in range(STUDIES):
        if study % SHARED_DRAWS == 0:
            weights = resamples(rng)
        yield weights


def bounds(weights: NDArray[np.float64], right: NDArray[np.float64]) -> dict[str, tuple[float, float]]:
    """Low and high of every interval in one study."""
    a, b = right
    differences, resampled = (a - b).mean(axis=1), weights @ (a - b).mean(axis=0)
    over_runs, ours = mean_interval(differences), difference_interval(differences, resampled)
    low, high = np.quantile(resampled, [0.025, 0.975])
    error, freedom = satterthwaite(differences, resampled)
    reach = float(stdtrit(freedom, (1 + LEVEL) / 2) * error)
    return {
        "percentiles over samples": (float(low), float(high)),
        "t over runs": (over_runs.low, over_runs.high),
        "Satterthwaite": (ours.estimate - reach, ours.estimate + reach),
        "difference_interval": (ours.low, ours.high),
    }


if __name__ == "__main__":
    main()
