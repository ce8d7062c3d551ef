"""What decisions are worth where they are used: at another prevalence, and where errors have a price.

``tpr`` is the sensitivity, ``fpr`` the share of negatives that raise a false alarm (1 - specificity). A rate
that is NaN, as of an absent class, makes the answer NaN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, overload

import numpy as np

from steelyard._checks import InputError, at_least, between
from steelyard.metrics import _inputs as check
from steelyard.metrics.ranking import roc_curve

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ROUNDING = 1e-12  # relative; costs this close are equal


def precision_at_prevalence(tpr: float, fpr: float, prevalence: float) -> float:
    """Share of the alarms that are right (PPV) where a share ``prevalence`` of the samples is positive.

    Bayes' rule: ``tpr * prevalence / (tpr * prevalence + fpr * (1 - prevalence))``, all within 0 and 1;
    NaN where no alarm is ever raised.

    >>> round(precision_at_prevalence(tpr=0.95, fpr=0.25, prevalence=0.02), 4)
    0.072
    """
    _rates(tpr=tpr, fpr=fpr, prevalence=prevalence)
    return _share(tpr * prevalence, fpr * (1 - prevalence))


def npv_at_prevalence(tpr: float, fpr: float, prevalence: float) -> float:
    """Share of the samples without an alarm that are negative, where a share ``prevalence`` is positive.

    The negative predictive value; NaN where every sample raises an alarm.

    >>> round(npv_at_prevalence(tpr=0.95, fpr=0.25, prevalence=0.02), 4)
    0.9986
    """
    _rates(tpr=tpr, fpr=fpr, prevalence=prevalence)
    return _share((1 - fpr) * (1 - prevalence), (1 - tpr) * prevalence)


@overload
def net_benefit(target: ArrayLike, probability: ArrayLike, threshold: float) -> float: ...
@overload
def net_benefit(target: ArrayLike, probability: ArrayLike, threshold: ArrayLike) -> NDArray[np.float64]: ...
def net_benefit(
    target: ArrayLike, probability: ArrayLike, threshold: ArrayLike
) -> float | NDArray[np.float64]:
    """Right alarms per sample, less the false ones at the price that the threshold sets on them.

    ``TP / N - FP / N * p / (1 - p)``: who acts from probability p on holds p / (1 - p) false alarms as bad as
    one miss. Never to act has 0. Over many p it is the decision curve. NaN without samples.

    Args:
        target: (N,) of 0 and 1.
        probability: (N,) within 0 and 1, of being positive; an alarm is raised from the threshold on.
        threshold: p, at least 0 and below 1; a number or (T,).
    Returns: a number, or (T,) one for each threshold.
    References: Vickers and Elkin, "Decision curve analysis", Medical Decision Making, 2006.

    >>> net_benefit([0, 0, 0, 1], [0.1, 0.2, 0.6, 0.7], threshold=0.5)
    0.0
    >>> net_benefit([0, 0, 0, 1], [0.1, 0.2, 0.6, 0.7], threshold=[0.2, 0.65])
    array([0.125, 0.25 ])
    """
    positive, value = check.binary_scores(target, probability)
    check.inside("probability", value, "a softmax gives them")
    p = check.numbers("threshold", threshold)
    if p.ndim > 1 or (p.size and not (p.min() >= 0 and p.max() < 1)):
        raise InputError(
            f"expected threshold of at least 0 and below 1, a number or (T,), got {threshold!r}."
        )
    true, false = _reaching(value[positive], p), _reaching(value[~positive], p)
    found = (true - false * (p / (1 - p))) / (value.size or math.nan)
    return np.asarray(found, np.float64) if p.ndim else float(found)


def expected_cost(tpr: float, fpr: float, prevalence: float, miss: float, alarm: float) -> float:
    """Cost per sample: ``miss * prevalence * (1 - tpr) + alarm * (1 - prevalence) * fpr``.

    Args:
        tpr: share of the positives that is found.
        fpr: share of the negatives that raises an alarm.
        prevalence: share of the samples that is positive.
        miss: cost of one missed positive, at least 0.
        alarm: cost of one false alarm, at least 0, in the same unit.

    >>> round(expected_cost(tpr=0.95, fpr=0.25, prevalence=0.02, miss=50, alarm=1), 3)
    0.295
    """
    _rates(tpr=tpr, fpr=fpr, prevalence=prevalence)
    at_least("miss", miss, 0)
    at_least("alarm", alarm, 0)
    return miss * prevalence * (1 - tpr) + alarm * (1 - prevalence) * fpr


def threshold_at_cost(
    target: ArrayLike, score: ArrayLike, miss: float, alarm: float, prevalence: float | None = None
) -> float:
    """Largest threshold at which deciding ``score >= threshold`` costs least on these samples.

    The cost is that of :func:`expected_cost`. Infinite where it is cheapest never to raise an alarm, the
    lowest score where it is cheapest always to raise one. NaN where positives or negatives are absent.

    Args:
        target: (N,) of 0 and 1.
        score: (N,) of any scale.
        miss: cost of one missed positive, at least 0.
        alarm: cost of one false alarm, at least 0, in the same unit.
        prevalence: share of positives where the threshold will be used; None is that of these samples.

    >>> threshold_at_cost([0, 0, 0, 1, 1], [1, 2, 3, 2.5, 5], miss=5, alarm=1)
    2.5
    >>> threshold_at_cost([0, 0, 0, 1, 1], [1, 2, 3, 2.5, 5], miss=5, alarm=1, prevalence=0.01)
    5.0
    """
    at_least("miss", miss, 0)
    at_least("alarm", alarm, 0)
    curve = roc_curve(target, score)
    share = float(np.mean(np.asarray(target, np.float64))) if len(curve.fpr) > 1 else math.nan
    if prevalence is not None:
        share = between("prevalence", prevalence, 0, 1)
    cost = miss * share * (1 - curve.tpr) + alarm * (1 - share) * curve.fpr
    if np.isnan(cost).any():
        return math.nan
    return float(curve.threshold[np.argmax(cost <= cost.min() * (1 + ROUNDING))])


def _rates(**rates: float) -> None:
    for name, rate in rates.items():
        if not math.isnan(rate):
            between(name, rate, 0, 1)


def _share(right: float, wrong: float) -> float:
    return right / (right + wrong) if right + wrong else math.nan


def _reaching(value: NDArray[np.floating], threshold: NDArray[np.floating]) -> NDArray[np.int64]:
    """Number of values at or above each threshold."""
    return value.size - np.searchsorted(np.sort(value), threshold, side="left")
