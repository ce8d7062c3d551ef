"""DeLong's test: do two scores of the same samples differ in AUC?

DeLong, DeLong and Clarke-Pearson (1988) in O(n log n), after Sun and Xu (2014): a sample's component is a
count of the other class's samples on its wrong side, and one sort gives the counts of all samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from steelyard.metrics import _inputs as check
from steelyard.metrics.intervals import Interval, standardised

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class DeLongTest:
    """Two AUCs on the same samples and the test of their difference ``auc_a - auc_b``."""

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float  # of the difference
    z: float
    p_value: float  # two-sided

    def interval(self, level: float = 0.95) -> Interval:
        """Normal interval of the difference, within -1 and 1."""
        return _normal(self.difference, self.standard_error, level, least=-1.0)


def delong_test(target: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> DeLongTest:
    """Test whether two scores of the same samples have the same AUC.

    Scores that order the samples alike have p = 1. Where the variance is 0 but the AUCs differ (one order is
    perfect, the other constant), z is infinite and p = 0. A class of fewer than two samples has no variance:
    standard error, z and p are NaN.

    Args:
        target: (N,) of 0 and 1.
        score_a: (N,), larger for the positive class.
        score_b: (N,) of the same samples in the same order.

    Raises:
        InputError: if ``target`` holds anything but 0 and 1, a score has NaN or the shapes differ.

    >>> test = delong_test([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6], [1, 5, 3, 2, 4, 6])
    >>> round(test.auc_a, 3), round(test.auc_b, 3), round(test.p_value, 3)
    (0.889, 0.667, 0.371)
    """
    positive, a = check.binary_scores(target, score_a)
    _, b = check.binary_scores(positive, score_b)
    wrong_a, wrong_b = _wrong_side(positive, a), _wrong_side(positive, b)
    auc_a, auc_b = _area(positive, wrong_a), _area(positive, wrong_b)
    difference, error = auc_a - auc_b, _standard_error(positive, wrong_a - wrong_b)
    z = standardised(difference, error)
    return DeLongTest(auc_a, auc_b, difference, error, z, float(2 * ndtr(-abs(z))))


def delong_interval(target: ArrayLike, score: ArrayLike, level: float = 0.95) -> Interval:
    """AUC with DeLong's normal interval, within 0 and 1; NaN bounds where a class has fewer than two samples.

    >>> interval = delong_interval([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6])
    >>> round(interval.estimate, 3), round(interval.low, 3), interval.high
    (0.889, 0.581, 1.0)
    """
    positive, value = check.binary_scores(target, score)
    wrong = _wrong_side(positive, value)
    return _normal(_area(positive, wrong), _standard_error(positive, wrong), level, least=0.0)


def _wrong_side(positive: NDArray[np.bool_], score: NDArray[np.floating]) -> NDArray[np.int64]:
    """Per sample, twice the number of the other class's samples on its wrong side; a tie counts 1.

    Whole numbers, so that equal orders give a variance of exactly 0.
    """
    order = np.argsort(score)
    ordered, is_positive = score[order], positive[order]
    starts = np.flatnonzero(np.append(np.ones(min(score.size, 1), bool), ordered[1:] != ordered[:-1]))
    ends = np.append(starts[1:], score.size)  # runs of equal scores
    found = np.append(0, np.cumsum(is_positive))
    positives_below = found[starts] + found[ends]  # twice, per run
    negatives_above = 2 * (score.size - found[-1]) - (starts + ends - positives_below)
    runs = np.repeat(np.stack([positives_below, negatives_above]), ends - starts, axis=1)
    wrong = np.empty(score.size, np.int64)
    wrong[order] = np.where(is_positive, runs[1], runs[0])
    return wrong


def _area(positive: NDArray[np.bool_], wrong: NDArray[np.int64]) -> float:
    found = int(np.count_nonzero(positive))
    pairs = found * (positive.size - found)
    return 1 - int(wrong[positive].sum()) / (2 * pairs) if pairs else math.nan


def _standard_error(positive: NDArray[np.bool_], wrong: NDArray[np.int64]) -> float:
    """From the spread of the components within each class."""
    of_positives, of_negatives = wrong[positive], wrong[~positive]
    P, N = of_positives.size, of_negatives.size
    if min(P, N) < 2:
        return math.nan
    variance = of_positives.var(ddof=1) / P / (2 * N) ** 2 + of_negatives.var(ddof=1) / N / (2 * P) ** 2
    return math.sqrt(variance)


def _normal(estimate: float, error: float, level: float, least: float) -> Interval:
    reach = float(ndtri((1 + check.level(level)) / 2)) * error
    low, high = estimate - reach, estimate + reach
    return Interval(estimate, max(low, least), min(high, 1.0), level)
