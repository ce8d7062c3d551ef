"""Paired tests: is method A better than method B, or was it luck? Every p-value is two-sided.

Two models on one test set: :func:`mcnemar_test` (and :func:`steelyard.metrics.delong_test` for AUC). The same
two methods over n seeds: :func:`wilcoxon_test`, :func:`paired_t_test`; over resampled splits of one data set,
whose figures are correlated: :func:`corrected_resampled_t_test`. Several comparisons at once: :func:`holm`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc, stdtr
from scipy.stats import binomtest, wilcoxon

from steelyard._checks import InputError
from steelyard.metrics import _inputs as check
from steelyard.metrics.intervals import standard_deviation, standardised

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

EXACT_BELOW = 25  # discordant samples; with more, chi-square is close enough


@dataclass(frozen=True, slots=True)
class McNemarTest:
    """Samples on which just one of two models is right."""

    only_a_right: int
    only_b_right: int
    statistic: float  # chi-square; NaN where the exact binomial test was used
    p_value: float


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Differences ``a - b`` over n seeds, folds or data sets."""

    n: int
    mean_difference: float
    statistic: float
    p_value: float


def mcnemar_test(target: ArrayLike, prediction_a: ArrayLike, prediction_b: ArrayLike) -> McNemarTest:
    """Test whether two models err equally often on the same samples (McNemar, 1947).

    Exact binomial for fewer than 25 discordant samples, else chi-square with continuity correction.

    Args:
        target: (N,) class numbers.
        prediction_a: (N,) class numbers.
        prediction_b: (N,) class numbers, same samples in the same order.

    >>> mcnemar_test([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1])
    McNemarTest(only_a_right=3, only_b_right=1, statistic=nan, p_value=0.625)
    """
    truth, a = check.label_pair(target, prediction_a)
    _, b = check.label_pair(target, prediction_b)
    only_a = int(np.count_nonzero((a == truth) & (b != truth)))
    only_b = int(np.count_nonzero((a != truth) & (b == truth)))
    discordant = only_a + only_b
    if discordant == 0:
        return McNemarTest(0, 0, math.nan, 1.0)
    if discordant < EXACT_BELOW:
        return McNemarTest(only_a, only_b, math.nan, float(binomtest(only_a, discordant).pvalue))
    statistic = max(abs(only_a - only_b) - 1, 0) ** 2 / discordant
    return McNemarTest(only_a, only_b, statistic, float(chdtrc(1, statistic)))


def wilcoxon_test(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Wilcoxon's (1945) signed-rank test of paired figures (n,); pairs without a difference are dropped.

    With n pairs no p-value below :func:`smallest_wilcoxon_p` is possible.

    >>> wilcoxon_test([0.9, 0.8, 0.85, 0.7, 0.95], [0.8, 0.6, 0.8, 0.55, 0.7]).p_value
    0.0625
    """
    difference = check.paired(a, b)
    if not difference.any():
        return PairedTest(difference.size, 0.0, 0.0, 1.0)
    found = wilcoxon(difference)
    return PairedTest(difference.size, float(difference.mean()), float(found.statistic), float(found.pvalue))


def smallest_wilcoxon_p(n: int) -> float:
    """The p-value of n pairs that all point one way: what n seeds can show at best.

    >>> smallest_wilcoxon_p(5), smallest_wilcoxon_p(6)
    (0.0625, 0.03125)
    """
    return 2.0 ** (1 - check.whole("n", n, 1))


def paired_t_test(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Student's t-test of paired figures (n,) that are independent, as over seeds; p is NaN for n = 1.

    >>> round(paired_t_test([3.0, 5.0, 7.0], [2.0, 3.0, 4.0]).p_value, 4)
    0.0742
    """
    difference = check.paired(a, b)
    return _t_test(difference, 1 / difference.size)


def corrected_resampled_t_test(a: ArrayLike, b: ArrayLike, test_fraction: float) -> PairedTest:
    """t-test over n random splits of one data set, whose training sets overlap (Nadeau and Bengio, 2003).

    The variance of the mean is ``s² (1 / n + n_test / n_train)``, not ``s² / n``, which is far too small.

    Args:
        a: (n,) figures of one method, one per split.
        b: (n,) figures of the other method on the same splits.
        test_fraction: share of the data that is tested on, in (0, 1): 0.1 for ten folds.

    >>> round(corrected_resampled_t_test([3.0, 5.0, 7.0], [2.0, 3.0, 4.0], test_fraction=0.2).p_value, 4)
    0.1201
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"test_fraction must lie strictly between 0 and 1, got {test_fraction!r}.")
    difference = check.paired(a, b)
    return _t_test(difference, 1 / difference.size + test_fraction / (1 - test_fraction))


def _t_test(difference: NDArray[np.float64], factor: float) -> PairedTest:
    """t-test of a mean whose variance is ``factor`` times that of one difference."""
    n, mean = difference.size, float(difference.mean())
    statistic = standardised(mean, math.sqrt(factor) * standard_deviation(difference))
    return PairedTest(n, mean, statistic, float(2 * stdtr(max(n - 1, 1), -abs(statistic))))


def cohens_d_paired(a: ArrayLike, b: ArrayLike) -> float:
    """Effect size: mean difference over the standard deviation of the differences; NaN for one pair.

    0.2 is called small, 0.5 medium, 0.8 large (Cohen, 1988). Unlike p it does not grow with n.

    >>> cohens_d_paired([3.0, 5.0, 7.0], [2.0, 3.0, 4.0])
    2.0
    """
    difference = check.paired(a, b)
    return standardised(float(difference.mean()), standard_deviation(difference))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values (n,) that bound the chance of one false finding among all (Holm, 1979).

    A NaN, a test that could not be made, stays NaN and does not count.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    found = check.samples("p_values", p_values)
    adjusted = found.copy()
    made = ~np.isnan(found)
    check.inside("p_values", found[made], "give p-values")
    order = np.flatnonzero(made)[np.argsort(found[made], kind="stable")]
    factor = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(found[order] * factor), 1)
    return adjusted
