"""Measures of a score's order: positives should come before negatives.

``target`` (N,) holds 0 and 1, ``score`` (N,) any real numbers, larger for the positive class. A sample is
decided positive where ``score >= threshold``. With one class only, every measure is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steelyard._checks import InputError, between
from steelyard.metrics import _inputs as check
from steelyard.metrics.guarantee import lowest_of_groups, promising_rank

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class RocCurve:
    """One point per distinct score, from (0, 0) at an infinite threshold to (1, 1)."""

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    threshold: NDArray[np.float64]  # falling


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """One point per distinct score, from the largest threshold to the smallest."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    threshold: NDArray[np.float64]  # falling


def auc(target: ArrayLike, score: ArrayLike) -> float:
    """Probability that a positive scores above a negative; ties count half.

    The area under the ROC curve, in O(n log n), exact up to one division.

    Raises:
        InputError: if ``target`` holds anything but 0 and 1, ``score`` has NaN or the shapes differ.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    positive, value = check.binary_scores(target, score)
    return _auc(value[positive], value[~positive])


def _auc(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    pairs = positives.size * negatives.size
    if not pairs:
        return math.nan
    few, many = np.sort(positives), np.sort(negatives)
    if swapped := few.size > many.size:
        few, many = many, few  # search the short list in the long one
    twice = int(np.searchsorted(many, few, "left").sum() + np.searchsorted(many, few, "right").sum())
    return (2 * pairs - twice if swapped else twice) / (2 * pairs)


def mean_auc(target: ArrayLike, probability: ArrayLike) -> float:
    """Mean over the classes that are there of the AUC of each class against the rest.

    Args:
        target: (N,) class numbers.
        probability: (N, C); column c is the score of class c.

    >>> mean_auc([0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3]])
    0.75
    """
    truth, value = check.class_scores(target, probability)
    areas = [_auc(value[truth == c, c], value[truth != c, c]) for c in np.unique(truth)]
    defined = [area for area in areas if not math.isnan(area)]
    return sum(defined) / len(defined) if defined else math.nan


def roc_curve(target: ArrayLike, score: ArrayLike) -> RocCurve:
    """False and true positive rate at every threshold; the rate of an absent class is NaN.

    >>> curve = roc_curve([0, 1, 1], [0.2, 0.2, 0.7])
    >>> curve.fpr, curve.tpr, curve.threshold
    (array([0., 0., 1.]), array([0. , 0.5, 1. ]), array([inf, 0.7, 0.2]))
    """
    positive, value = check.binary_scores(target, score)
    threshold, true, false = _counts(positive, value)
    return RocCurve(
        fpr=np.concatenate([[0.0], false]) / (np.count_nonzero(~positive) or math.nan),
        tpr=np.concatenate([[0.0], true]) / (np.count_nonzero(positive) or math.nan),
        threshold=np.concatenate([[np.inf], threshold]),
    )


def precision_recall_curve(target: ArrayLike, score: ArrayLike) -> PrecisionRecallCurve:
    """Precision and recall at every threshold; recall is NaN without positives.

    >>> curve = precision_recall_curve([0, 1, 1], [0.2, 0.2, 0.7])
    >>> curve.precision.round(3), curve.recall
    (array([1.   , 0.667]), array([0.5, 1. ]))
    """
    positive, value = check.binary_scores(target, score)
    threshold, true, false = _counts(positive, value)
    return PrecisionRecallCurve(
        true / (true + false), true / (np.count_nonzero(positive) or math.nan), threshold
    )


def average_precision(target: ArrayLike, score: ArrayLike) -> float:
    """Mean precision over the steps of recall, without interpolation (scikit-learn's definition).

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 3)
    0.833
    """
    positive, value = check.binary_scores(target, score)
    if positive.all() or not positive.any():
        return math.nan
    _, true, false = _counts(positive, value)
    return float(np.sum(np.diff(true, prepend=0.0) * true / (true + false)) / true[-1])


def partial_auc(target: ArrayLike, score: ArrayLike, max_fpr: float) -> float:
    """Area under the ROC curve up to ``max_fpr``, standardised: 0.5 is chance, 1 is perfect.

    McClish's (1989) standardisation ``(1 + (area - low) / (high - low)) / 2``, where ``low`` is the area of
    chance and ``high`` that of a perfect order; scikit-learn's ``roc_auc_score(max_fpr=...)`` is the same.

    Args:
        target: (N,) of 0 and 1.
        score: (N,).
        max_fpr: in (0, 1]; 1 gives :func:`auc`.

    >>> round(partial_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], max_fpr=0.5), 3)
    0.667
    """
    if not 0 < max_fpr <= 1:
        raise InputError(f"max_fpr must lie above 0 and not above 1, got {max_fpr!r}.")
    curve = roc_curve(target, score)
    if math.isnan(curve.fpr[-1] + curve.tpr[-1]):
        return math.nan
    inside = curve.fpr <= max_fpr
    fpr = np.append(curve.fpr[inside], max_fpr)
    tpr = np.append(curve.tpr[inside], np.interp(max_fpr, curve.fpr, curve.tpr))
    area = np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1])) / 2
    low, high = max_fpr**2 / 2, max_fpr
    return float((1 + (area - low) / (high - low)) / 2)


def fpr_at_tpr(target: ArrayLike, score: ArrayLike, tpr: float) -> float:
    """Smallest false positive rate of any threshold whose true positive rate is at least ``tpr``.

    >>> fpr_at_tpr([0, 0, 0, 0, 1, 1], [1, 2, 3, 4, 2.5, 5], tpr=0.95)
    0.5
    """
    positive, value = check.binary_scores(target, score)
    return _fpr_when_found(positive, value, _needed(between("tpr", tpr, 0, 1), int(positive.sum())))


def fpr_at_fn(target: ArrayLike, score: ArrayLike, k: int) -> float:
    """Smallest false positive rate of any threshold that misses at most ``k`` positives.

    >>> fpr_at_fn([0, 0, 0, 0, 1, 1], [1, 2, 3, 4, 2.5, 5], k=0)
    0.5
    """
    positive, value = check.binary_scores(target, score)
    return _fpr_when_found(positive, value, max(int(positive.sum()) - check.whole("k", k, 0), 0))


def tpr_at_fpr(target: ArrayLike, score: ArrayLike, fpr: float) -> float:
    """Largest true positive rate of any threshold whose false positive rate is at most ``fpr``.

    >>> tpr_at_fpr([0, 0, 0, 0, 1, 1], [1, 2, 3, 4, 2.5, 5], fpr=0)
    0.5
    """
    positive, value = check.binary_scores(target, score)
    negatives, found = value[~positive], value[positive]
    if not (negatives.size and found.size):
        return math.nan
    allowed = _allowed(between("fpr", fpr, 0, 1), negatives.size)
    if allowed == negatives.size:
        return 1.0
    first_refused = _largest(negatives, allowed + 1)
    return int(np.count_nonzero(found > first_refused)) / found.size


def threshold_at_tpr(
    target: ArrayLike,
    score: ArrayLike,
    tpr: float,
    confidence: float | None = None,
    *,
    group: ArrayLike | None = None,
) -> float:
    """Largest threshold at which deciding ``score >= threshold`` finds a share ``tpr`` of the positives.

    Of these positives; of new ones it often finds less. With ``confidence`` it is the largest threshold that
    finds a share ``tpr`` of new positives with this probability over the draw of these, whatever their
    distribution. For that the positives must be independent. Samples of one patient or lesion are not: with
    ``group`` each group with a positive counts once, by its lowest positive score, and the promise is about
    new groups: in a share ``tpr`` of them every positive is found.

    Infinite for ``tpr`` 0, NaN without positives; with ``confidence`` both are refused.

    Args:
        target: (N,) of 0 and 1.
        score: (N,), of samples that the model was not trained on.
        tpr: share to find, within 0 and 1; with ``confidence`` strictly between them.
        confidence: probability that the promise is kept, strictly between 0 and 1; None promises nothing.
        group: (N,) numbers or names; changes nothing without ``confidence``.

    Raises:
        InputError: if there are too few positives, or groups with one, to promise ``tpr``; see
            :func:`positives_needed` and :func:`promised_tpr`.

    References: Tong, Feng and Li, "Neyman-Pearson classification algorithms and NP receiver operating
        characteristics", Science Advances, 2018, proposition 1.

    >>> threshold_at_tpr([0, 0, 0, 0, 1, 1], [1, 2, 3, 4, 2.5, 5], tpr=0.95)
    2.5
    >>> threshold_at_tpr(np.ones(100, int), np.arange(100), tpr=0.9)
    10.0
    >>> threshold_at_tpr(np.ones(100, int), np.arange(100), tpr=0.9, confidence=0.95)
    4.0
    """
    positive, value = check.binary_scores(target, score)
    found = value[positive]
    of = None if group is None else check.groups(group, positive.shape)[positive]
    if confidence is None:
        needed = _needed(between("tpr", tpr, 0, 1), found.size)
        return _largest(found, needed) if found.size else math.nan
    if of is not None:
        found = lowest_of_groups(of, found)
    unit = "positive samples" if of is None else "groups with a positive sample"
    return _largest(found, found.size + 1 - promising_rank(found.size, tpr, confidence, unit))


def _fpr_when_found(positive: NDArray[np.bool_], value: NDArray[np.floating], needed: int) -> float:
    """False positive rate at the largest threshold that finds ``needed`` positives."""
    found = value[positive]
    negatives = value.size - found.size
    if not (found.size and negatives):
        return math.nan
    if needed == 0:
        return 0.0  # a threshold above every score, infinite ones too
    threshold = _largest(found, needed)
    return int(np.count_nonzero(value >= threshold) - np.count_nonzero(found >= threshold)) / negatives


def _largest(values: NDArray[np.floating], k: int) -> float:
    """The ``k``-th largest value, in linear time; infinite for ``k`` 0."""
    return float(np.partition(values, values.size - k)[values.size - k]) if k else math.inf


def _needed(rate: float, count: int) -> int:
    """Smallest whole k with ``k / count >= rate``, compared as floats: 0.1 * 30 is a little above 3."""
    near = round(rate * count)
    return next(k for k in range(max(near - 1, 0), near + 2) if k / max(count, 1) >= rate)


def _allowed(rate: float, count: int) -> int:
    """Largest whole k, at most ``count``, with ``k / count <= rate``, compared as floats."""
    near = min(round(rate * count) + 1, count)
    return next(k for k in range(near, -1, -1) if k / count <= rate)


def _counts(
    positive: NDArray[np.bool_], value: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Distinct scores, falling, and the true and false positives at each as threshold."""
    order = np.argsort(value)[::-1]
    ordered = value[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], np.ones(min(ordered.size, 1), bool)))
    true = np.cumsum(positive[order])[last].astype(np.float64)
    return ordered[last].astype(np.float64), true, last + 1 - true
