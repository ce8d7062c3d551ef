"""Measures of a million scores, 5 % of them positive, against the libraries and the published algorithm.

AUC and FPR at TPR against scikit-learn; DeLong's test against Sun and Xu's (2014) algorithm, once with a loop
over ties as published and once with SciPy's ranks. Goal: at least as fast.

    python benchmarks/metrics.py [--save]
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from _bench import alternate, machine, save
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score, roc_curve

from steelyard.metrics import auc, delong_test, fpr_at_tpr

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SAMPLES, POSITIVES, TPR, REPEATS = 1_000_000, 0.05, 0.95, 5


def main() -> None:
    rng = np.random.default_rng(0)
    target = (rng.random(SAMPLES) < POSITIVES).astype(np.int64)
    a = rng.normal(size=SAMPLES) + target
    b = a + rng.normal(size=SAMPLES)
    pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "auc / scikit-learn": (lambda: roc_auc_score(target, a), lambda: auc(target, a)),
        "fpr_at_tpr / scikit-learn": (lambda: by_roc_curve(target, a), lambda: fpr_at_tpr(target, a, TPR)),
        "delong_test / published, loop": (
            lambda: published_delong(target, a, b, midranks_by_loop),
            lambda: delong_test(target, a, b).p_value,
        ),
        "delong_test / published, SciPy ranks": (
            lambda: published_delong(target, a, b, rankdata),
            lambda: delong_test(target, a, b).p_value,
        ),
    }
    figures = {name: compare(name, *pair) for name, pair in pairs.items()}
    if "--save" in sys.argv:
        claim = "a_seconds (theirs) / b_seconds (ours) >= 1 on 1,000,000 scores, 5 % positive"
        save("metrics", {"claim": claim, "figures": figures, **machine()})


def compare(name: str, theirs: Callable[[], float], ours: Callable[[], float]) -> dict[str, float]:
    """Time two ways to the same number, after a look that it is the same."""
    np.testing.assert_allclose(ours(), theirs(), rtol=1e-9)
    result = alternate(theirs, ours, REPEATS)
    print(f"{name}: {result['ratio']:.1f} times as fast ({1e3 * result['b_seconds']:.0f} ms)")
    return result


def by_roc_curve(target: NDArray[np.int64], score: NDArray[np.float64]) -> float:
    fpr, tpr, _ = roc_curve(target, score)
    return float(fpr[tpr >= TPR].min())


def published_delong(
    target: NDArray[np.int64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    midranks: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> float:
    """Sun and Xu's algorithm: the components from midranks within each class and of all samples."""
    of_positives, of_negatives = [], []
    for score in (a, b):
        x, y = score[target == 1], score[target == 0]
        both = midranks(np.concatenate([x, y]))
        of_positives.append((both[: x.size] - midranks(x)) / y.size)
        of_negatives.append(1 - (both[x.size :] - midranks(y)) / x.size)
    covariance = np.cov(of_positives) / x.size + np.cov(of_negatives) / y.size
    difference = of_positives[0].mean() - of_positives[1].mean()
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


def midranks_by_loop(values: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(values)
    ordered, ranks = values[order], np.empty(values.size)
    start = 0
    while start < values.size:
        end = start
        while end < values.size and ordered[end] == ordered[start]:
            end += 1
        ranks[start:end] = 0.5 * (start + end - 1) + 1
        start = end
    found = np.empty(values.size)
    found[order] = ranks
    return found


if __name__ == "__main__":
    main()
