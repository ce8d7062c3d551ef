"""Does a probability of 0.8 come true 8 times in 10?

``probability`` is (N, C) with ``target`` class numbers, where the confidence is that of the decided class; or
(N,) with ``target`` of 0 and 1, where the confidence is the probability of class 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import softmax

from steelyard._checks import InputError
from steelyard.metrics import _inputs as check

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

COLDEST, HOTTEST = 0.01, 100.0


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """One entry per bin of equal width; NaN in a bin without samples."""

    confidence: NDArray[np.float64]  # mean probability given
    accuracy: NDArray[np.float64]  # share that came true
    count: NDArray[np.int64]


def reliability_curve(target: ArrayLike, probability: ArrayLike, bins: int = 15) -> ReliabilityCurve:
    """What was promised and what came true, per bin ``(k / bins, (k + 1) / bins]`` of confidence.

    Raises:
        InputError: if ``probability`` lies outside 0 and 1, or its rows do not sum to 1.

    >>> curve = reliability_curve([1, 0, 1], [0.4, 0.2, 0.9], bins=2)
    >>> curve.confidence.round(2), curve.accuracy, curve.count
    (array([0.3, 0.9]), array([0.5, 1. ]), array([2, 1]))
    """
    confidence, true = _confidence(target, probability)
    width = check.whole("bins", bins, 1)
    place = np.clip(np.ceil(confidence * width) - 1, 0, width - 1).astype(np.int64)
    count = np.bincount(place, minlength=width)
    each = np.where(count, count, np.nan)
    promised, came = (np.bincount(place, weights=v, minlength=width) / each for v in (confidence, true))
    return ReliabilityCurve(promised, came, count)


def expected_calibration_error(target: ArrayLike, probability: ArrayLike, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over bins of equal width (Guo et al., 2017); 0 is best.

    >>> round(expected_calibration_error([1, 0, 1], [0.4, 0.2, 0.9], bins=2), 3)
    0.167
    """
    curve = reliability_curve(target, probability, bins)
    if not curve.count.sum():
        return math.nan
    gap = np.abs(curve.confidence - curve.accuracy)
    return float(np.nansum(gap * curve.count) / curve.count.sum())


def brier(target: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared distance of the probabilities from what came true; 0 is best.

    For (N, C) the sum over the classes, from 0 to 2, as Brier (1950); for (N,) the usual binary form, from 0
    to 1, half of the former.

    >>> brier([1, 0], [[0.5, 0.5], [1.0, 0.0]]), brier([1, 0], [0.5, 0.0])
    (0.25, 0.125)
    """
    value = np.asarray(probability)
    if value.ndim == 1:
        confidence, true = _confidence(target, value)
        return float(np.mean((confidence - true) ** 2)) if true.size else math.nan
    truth, _ = check.class_scores(target, value)
    given = check.distribution("probability", value)
    own = given[np.arange(truth.size), truth]
    return float(np.mean((given**2).sum(axis=1) - 2 * own + 1)) if truth.size else math.nan


def fit_temperature(logits: ArrayLike, target: ArrayLike) -> float:
    """Temperature T, within 0.01 and 100, at which ``softmax(logits / T)`` has the least mean log loss.

    Fitted on validation data and applied to test data it changes no decision, only confidence (Guo et al.,
    2017). The log loss is convex in 1 / T, so T is where its slope vanishes. Logits that say nothing give 1.

    Args:
        logits: (N, C), N at least 1.
        target: (N,) class numbers.

    >>> round(fit_temperature([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]], [0, 0, 1, 1]), 3)
    1.82
    """
    truth, value = check.class_scores(target, logits)
    check.whole("the number of samples", truth.size, 1)
    if not np.isfinite(value).all():
        raise InputError("expected finite logits, got infinite ones; clip them first.")
    z = value.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    own = z[np.arange(truth.size), truth].mean()

    def slope(inverse: float) -> float:
        return float((softmax(z * inverse, axis=1) * z).sum(axis=1).mean() - own)

    if slope(1.0) == 0:
        return 1.0
    if slope(1 / HOTTEST) >= 0:
        return HOTTEST
    if slope(1 / COLDEST) <= 0:
        return COLDEST
    return 1 / float(brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-12))


def _confidence(target: ArrayLike, probability: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) the probability given to the event and (N,) whether it came true."""
    value = np.asarray(probability)
    if value.ndim == 1:
        true, given = check.binary_scores(target, value)
        check.inside("probability", given, "a sigmoid gives them")
        return given.astype(np.float64), true.astype(np.float64)
    truth, _ = check.class_scores(target, value)
    given = check.distribution("probability", value)
    return given.max(axis=1, initial=0), (given.argmax(axis=1) == truth).astype(np.float64)
