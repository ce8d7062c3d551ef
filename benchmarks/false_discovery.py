"""How often is a method "shown to be better" that is not, and how often one that is?

As in ``difference_interval.py``, but 4, 12 or 40 methods, all right on 80 % of the samples on average over
trainings. Each is compared with the baseline, or with the one that looks best on the test samples; Holm's
correction, 5 %. A false discovery is a study in which any comparison passes. The p-values: over test samples
alone (normal), of the summed variances with Satterthwaite's degrees of freedom, and
:func:`steelyard.metrics.difference_p_value`. Goal: at most 5 % against the baseline. Then one method is made
10 points better: how often is it shown?

    python benchmarks/false_discovery.py [--save]
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from _bench import machine, save
from _simulated import RESAMPLES, SAMPLES, correct, resamples, satterthwaite
from scipy.special import ndtr, stdtr

from steelyard.metrics import difference_p_value, holm

if TYPE_CHECKING:
    from numpy.typing import NDArray

METHODS, RUNS, SPREADS = (4, 12, 40), (3, 5), (0.02, 0.05)
ACCURACY, BETTER, ALPHA, STUDIES = 0.80, 0.10, 0.05, 200
SHARED_DRAWS = 100  # studies that share one set of resamples


def main() -> None:
    cells = [(methods, runs, spread) for methods in METHODS for runs in RUNS for spread in SPREADS]
    figures = {f"{m} methods, {r} runs, spread {100 * s:.0f} points": measured(m, r, s) for m, r, s in cells}
    if "--save" in sys.argv:
        asked = {"samples": SAMPLES, "resamples": RESAMPLES, "studies": STUDIES, "level": 1 - ALPHA}
        save("false_discovery", asked | {"figures": figures, "machine": machine()})


def measured(methods: int, runs: int, spread: float) -> dict[str, float]:
    """Share of the studies with a false discovery, and of those that show the method that is better."""
    rng = np.random.default_rng([methods, runs, round(100 * spread)])
    counts: dict[str, int] = {}
    for study in range(STUDIES):
        if study % SHARED_DRAWS == 0:
            weights = resamples(rng)
        right = correct(rng, [ACCURACY] * methods, runs, spread)
        best = int(right.mean(axis=(1, 2)).argmax())
        better = correct(rng, [ACCURACY, ACCURACY + BETTER], runs, spread)
        with_better = np.concatenate([better[:1], right[2:], better[1:]])
        for case, outcome, other in (
            ("false, against the baseline", right, 0),
            ("false, against the best looking", right, best),
            ("found, against the baseline", with_better, 0),
        ):
            for name, p in p_values(outcome, other, weights).items():
                passed = holm(p) < ALPHA
                key = f"{case}: {name}"
                counts[key] = counts.get(key, 0) + bool(
                    passed[-1] if case.startswith("found") else passed.any()
                )
    found = {key: count / STUDIES for key, count in counts.items()}
    print(f"{methods} methods, {runs} runs, spread {100 * spread:.0f} points:", found, flush=True)
    return found


def p_values(
    right: NDArray[np.float64], other: int, weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Per kind of test, (methods - 1,) p-values of each method against ``other``."""
    change = np.delete(right, other, axis=0) - right[other]
    differences, resampled = change.mean(axis=2), change.mean(axis=1) @ weights.T
    size, (error, freedom) = np.abs(differences.mean(axis=1)), satterthwaite(differences, resampled)
    pairs = zip(differences, resampled, strict=True)
    return {
        "samples alone": 2 * ndtr(-size / resampled.std(axis=1, ddof=1)),
        "Satterthwaite": 2 * stdtr(freedom, -size / error),
        "difference_p_value": np.array([difference_p_value(*pair) for pair in pairs]),
    }


if __name__ == "__main__":
    main()
