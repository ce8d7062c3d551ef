"""Is one method better than another, for another training and for other test samples at once?

Two things vary: the training (initial weights, order) and the test samples. An interval over test samples
alone takes the trained models as they are, one over runs alone the test samples as they are. Here the
half-widths of both are added in quadrature: Student's over R paired runs, and the normal one over bootstrap
replicates of the mean difference. This is Howe's approximation for a sum of two independent variables
(Journal of the American Statistical Association, 1974). Unlike Satterthwaite's degrees of freedom it keeps
its level with two or three runs, and at the high levels that many comparisons ask for. Where it errs, it is
too wide.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

from steelyard._checks import InputError
from steelyard.metrics import _inputs as check
from steelyard.metrics.intervals import Interval, standard_deviation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FARTHEST = 20.0  # standard normal quantile of the smallest p-value that is told from 0, 5.5e-89


def difference_interval(differences: ArrayLike, resampled: ArrayLike, level: float = 0.95) -> Interval:
    """Mean difference over paired runs, with bounds for another training and for other test samples.

    The half-width is ``sqrt(t² s² / R + z² v)``: s is the standard deviation over the R runs, v the variance
    of ``resampled``, t and z the quantiles of Student's distribution with R - 1 degrees of freedom and of the
    normal one. One run shows no spread: the bounds are NaN.

    Args:
        differences: (R,) ``a - b`` of one measure, each from the same seed; NaN makes the answer NaN.
        resampled: (B,) the mean over the runs of the same differences, on resamples of the test samples; NaN
            are left out.
        level: confidence, in (0, 1).

    >>> interval = difference_interval([0.02, 0.04, 0.06], resampled=[0.03, 0.04, 0.05])
    >>> round(interval.low, 3), round(interval.estimate, 3), round(interval.high, 3)
    (-0.013, 0.04, 0.093)
    """
    mean, of_runs, of_samples, runs = _parts(differences, resampled)
    reach = _reach(of_runs, of_samples, runs, float(ndtri((1 + check.level(level)) / 2)))
    return Interval(mean, mean - reach, mean + reach, level)


def difference_p_value(differences: ArrayLike, resampled: ArrayLike) -> float:
    """Two-sided p-value that belongs to :func:`difference_interval`; arguments as there, NaN for one run.

    It is below ``1 - level`` where the interval at ``level`` leaves out 0, and only there.

    >>> round(difference_p_value([0.02, 0.04, 0.06], resampled=[0.03, 0.04, 0.05]), 3)
    0.088
    """
    mean, of_runs, of_samples, runs = _parts(differences, resampled)

    def beyond(z: float) -> float:
        return _reach(of_runs, of_samples, runs, z) - abs(mean)

    if math.isnan(beyond(0.0)):
        return math.nan
    if beyond(0.0) >= 0:
        return 1.0
    return float(2 * ndtr(-brentq(beyond, 0.0, FARTHEST))) if beyond(FARTHEST) > 0 else 0.0


def runs_needed(
    differences: ArrayLike,
    resampled: ArrayLike,
    *,
    level: float = 0.95,
    power: float = 0.8,
    most: int = 1000,
) -> int | None:
    """Fewest runs with which :func:`difference_interval` would leave out 0, if all is as it looks here.

    A plan: the mean difference and the two spreads seen are taken for the true ones, and the mean of r new
    runs for normal around it. None if ``most`` runs are too few, as where the test samples decide: then only
    more of these help.

    Args:
        differences: (R,) finite, at least 2.
        resampled: (B,), at least 2 that are not NaN.
        level: confidence of the interval, in (0, 1).
        power: chance to leave out 0, at least 0.5 and below 1.
        most: largest number of runs that is thought of.

    >>> runs_needed([0.02, 0.04, 0.06], resampled=[0.03, 0.04, 0.05])
    6
    >>> runs_needed([0.02, 0.04, 0.06], resampled=[0.0, 0.04, 0.08]) is None
    True
    """
    mean, of_runs, of_samples, runs = _parts(differences, resampled)
    if math.isnan(mean + of_runs + of_samples):
        raise InputError("expected at least 2 runs and 2 resamples, all finite; the spread is not known.")
    if not 0.5 <= power < 1:
        raise InputError(f"power must be at least 0.5 and below 1, got {power!r}.")
    check.whole("most", most, 2)
    z, ahead = float(ndtri((1 + check.level(level)) / 2)), float(ndtri(power))

    def shown(r: int) -> bool:
        of_new = of_runs * math.sqrt(runs / r)
        return abs(mean) > _reach(of_new, of_samples, r, z) + ahead * math.hypot(of_new, of_samples)

    found = 2 + bisect_left(range(2, most + 1), True, key=shown)
    return found if found <= most else None


def _parts(differences: ArrayLike, resampled: ArrayLike) -> tuple[float, float, float, int]:
    """Mean difference, its standard error over runs and over test samples, and the number of runs."""
    found, drawn = check.samples("differences", differences), check.samples("resampled", resampled)
    if np.isinf(found).any() or np.isinf(drawn).any():
        raise InputError("expected finite differences and resampled, got infinite ones.")
    runs = found.size
    mean = float(found.mean()) if runs else math.nan
    of_runs = standard_deviation(found) / math.sqrt(max(runs, 1))
    return mean, of_runs, standard_deviation(drawn[~np.isnan(drawn)]), runs


def _reach(of_runs: float, of_samples: float, runs: int, z: float) -> float:
    """Half-width of the interval whose normal quantile is ``z``."""
    if math.isnan(of_runs):
        return math.nan
    return math.hypot(float(stdtrit(runs - 1, ndtr(-z))) * of_runs, z * of_samples)
