"""Intervals for any measure, from resampling the test set.

Each class is drawn from its own samples, so that every resample has the class counts of the test set. With
``group`` (patients, lesions), whole groups are drawn, each from among the groups that share its rarest class:
samples of one patient are no independent evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steelyard._checks import InputError
from steelyard.metrics import _inputs as check
from steelyard.metrics.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class BootstrapDifference:
    """Difference ``a - b`` of one measure between two models on the same samples."""

    estimate_a: float
    estimate_b: float
    difference: float
    low: float
    high: float
    level: float
    p_value: float


def bootstrap_interval(
    statistic: Callable[..., float],
    target: ArrayLike,
    *arrays: ArrayLike,
    group: ArrayLike | None = None,
    repeats: int = 1000,
    level: float = 0.95,
    rng: np.random.Generator,
) -> Interval:
    """Percentile interval of ``statistic(target, *arrays)`` (Efron and Tibshirani, 1993).

    Resamples in which the statistic is NaN are left out; if it is NaN in all, so are the bounds.

    Args:
        statistic: takes the rows drawn from ``target`` and from each array, gives a number.
        target: (N,) class numbers; the strata.
        arrays: (N, ...) each, scores or predictions.
        group: (N,) numbers or names; samples of one group stay together.
        repeats: number of resamples.
        level: confidence, in (0, 1).
        rng: source of the draws.

    >>> from steelyard.metrics import accuracy
    >>> rng = np.random.default_rng(0)
    >>> bootstrap_interval(accuracy, [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], rng=rng).low
    0.5
    """
    truth, rows = _aligned(target, arrays)
    drawn = np.array(
        [statistic(truth[r], *(a[r] for a in rows)) for r in _resamples(truth, group, repeats, rng)]
    )
    low, high = _percentiles(drawn, level)
    return Interval(float(statistic(truth, *rows)), low, high, level)


def bootstrap_difference(
    statistic: Callable[[NDArray[np.int64], NDArray[np.generic]], float],
    target: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    group: ArrayLike | None = None,
    repeats: int = 1000,
    level: float = 0.95,
    rng: np.random.Generator,
) -> BootstrapDifference:
    """Interval and two-sided p-value of ``statistic(target, a) - statistic(target, b)``, same rows for both.

    The p-value is twice the share of resamples whose difference lies on the other side of 0 or on it, with
    one resample added, so that it is never 0. Arguments and NaN as in :func:`bootstrap_interval`.

    >>> from steelyard.metrics import accuracy
    >>> rng = np.random.default_rng(0)
    >>> test = bootstrap_difference(accuracy, [0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1], rng=rng)
    >>> test.difference, test.low, test.high
    (0.25, 0.0, 0.5)
    """
    truth, (first, second) = _aligned(target, (a, b))
    drawn = np.array(
        [
            statistic(truth[rows], first[rows]) - statistic(truth[rows], second[rows])
            for rows in _resamples(truth, group, repeats, rng)
        ]
    )
    low, high = _percentiles(drawn, level)
    estimate_a, estimate_b = float(statistic(truth, first)), float(statistic(truth, second))
    return BootstrapDifference(
        estimate_a, estimate_b, estimate_a - estimate_b, low, high, level, _p_value(drawn[~np.isnan(drawn)])
    )


def _aligned(
    target: ArrayLike, arrays: tuple[ArrayLike, ...]
) -> tuple[NDArray[np.int64], list[NDArray[np.generic]]]:
    truth, rows = check.labels("target", target), [np.asarray(array) for array in arrays]
    if not truth.size or any(array.shape[:1] != truth.shape for array in rows):
        raise InputError(
            f"expected at least one sample and arrays of shape (N, ...) like target, got {truth.shape} and "
            f"{', '.join(str(array.shape) for array in rows)}."
        )
    return truth, rows


def _resamples(
    target: NDArray[np.int64], group: ArrayLike | None, repeats: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of one resample after another."""
    member, stratum = _groups(target, group)
    rows = np.argsort(member, kind="stable")  # the rows of each group, group after group
    size = np.bincount(member)
    start = np.cumsum(size) - size
    strata = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    for _ in range(check.whole("repeats", repeats, 1)):
        drawn = np.concatenate([groups[rng.integers(groups.size, size=groups.size)] for groups in strata])
        sizes = size[drawn]
        first = np.cumsum(sizes) - sizes  # where each drawn group begins in the resample
        yield rows[np.arange(sizes.sum()) + np.repeat(start[drawn] - first, sizes)]


def _groups(
    target: NDArray[np.int64], group: ArrayLike | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N,) group number of each sample, (G,) stratum of each group: the rarest class in it."""
    if group is None:
        return np.arange(target.size), target
    member = np.unique(check.groups(group, target.shape), return_inverse=True)[1]
    rarity = np.argsort(np.argsort(np.bincount(target), kind="stable"))  # 0 for the rarest class
    rank = np.full(member.max() + 1, rarity.size)
    np.minimum.at(rank, member, rarity[target])
    return member, rank


def _percentiles(drawn: NDArray[np.float64], level: float) -> tuple[float, float]:
    tail = (1 - check.level(level)) / 2
    there = drawn[~np.isnan(drawn)]
    if not there.size:
        return math.nan, math.nan
    low, high = np.quantile(there, [tail, 1 - tail])
    return float(low), float(high)


def _p_value(drawn: NDArray[np.float64]) -> float:
    if not drawn.size:
        return math.nan
    beyond = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    return min(2 * (beyond + 1) / (drawn.size + 1), 1.0)
