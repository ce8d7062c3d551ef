"""How far a figure may be off: intervals for a mean over seeds and for a share of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import betaincinv, ndtri, stdtrit

from steelyard._checks import InputError
from steelyard.metrics import _inputs as check

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the bounds that hold the true one with confidence ``level``; NaN where unknown."""

    estimate: float
    low: float
    high: float
    level: float


def standard_deviation(values: ArrayLike) -> float:
    """Standard deviation of a sample (divisor n - 1); NaN for fewer than two values.

    >>> standard_deviation([1.0, 3.0])
    1.4142135623730951
    """
    found = check.samples("values", values)
    return float(found.std(ddof=1)) if found.size > 1 else math.nan


def standardised(value: float, deviation: float) -> float:
    """``value`` in units of its standard deviation: 0 for 0 / 0, else infinite without deviation.

    >>> standardised(3.0, 2.0), standardised(0.0, 0.0), standardised(-1.0, 0.0)
    (1.5, 0.0, -inf)
    """
    if deviation != 0:
        return value / deviation
    return math.copysign(math.inf, value) if value else 0.0


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over n seeds or folds with Student's t interval; one value has no bounds (NaN).

    >>> interval = mean_interval([1.0, 3.0], level=0.5)
    >>> round(interval.low, 3), interval.estimate, round(interval.high, 3)
    (1.0, 2.0, 3.0)
    """
    found = check.samples("values", values)
    n = found.size
    mean = float(found.mean()) if n else math.nan
    reach = math.nan
    if n > 1:
        reach = float(stdtrit(n - 1, (1 + check.level(level)) / 2)) * standard_deviation(found) / math.sqrt(n)
    return Interval(mean, mean - reach, mean + reach, check.level(level))


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Share ``successes / n`` with Wilson's (1927) score interval, sound for few samples and extreme shares.

    >>> interval = wilson_interval(0, 10)
    >>> interval.low, round(interval.high, 4)
    (0.0, 0.2775)
    """
    _counts(successes, n)
    z = float(ndtri((1 + check.level(level)) / 2))
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low = 0.0 if successes == 0 else centre - reach  # exactly, not up to rounding
    return Interval(share, low, 1.0 if successes == n else centre + reach, level)


def clopper_pearson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Share ``successes / n`` with Clopper and Pearson's (Biometrika, 1934) exact interval.

    It holds the true share with at least ``level``, whatever that share is, and is wider than
    :func:`wilson_interval` for it. NaN for ``n`` 0.

    >>> interval = clopper_pearson_interval(0, 10)
    >>> interval.low, round(interval.high, 4)
    (0.0, 0.3085)
    """
    _counts(successes, n)
    tail = (1 - check.level(level)) / 2
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level)
    missed = n - successes
    low = float(betaincinv(successes, missed + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, missed, 1 - tail)) if missed else 1.0
    return Interval(successes / n, low, high, level)


def _counts(successes: int, n: int) -> None:
    check.whole("successes", successes, 0)
    if successes > check.whole("n", n, 0):
        raise InputError(f"expected at most n = {n} successes, got {successes}.")
