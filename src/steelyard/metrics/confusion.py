"""Measures of decisions: which class was true, which class was said.

A class that no sample has is absent: its own figure is NaN and means leave it out. A class that is there
but never said has precision 0, so that a method gains nothing by giving up on it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from steelyard._checks import InputError, at_least
from steelyard.metrics import _inputs as check

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def confusion_matrix(
    target: ArrayLike, prediction: ArrayLike, classes: int | None = None
) -> NDArray[np.int64]:
    """Count of samples per true class (row) and decided class (column), (C, C).

    Args:
        target: (N,) class numbers.
        prediction: (N,) class numbers.
        classes: C; by default one more than the largest number seen.

    Raises:
        InputError: if the lengths differ, or a label is not a class number below ``classes``.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1])
    array([[1, 1],
           [0, 1]])
    """
    truth, decision = check.label_pair(target, prediction)
    count = _classes(classes, truth, decision)
    return np.bincount(truth * count + decision, minlength=count * count).reshape(count, count)


def support(target: ArrayLike, classes: int | None = None) -> NDArray[np.int64]:
    """Count of samples per class, (C,): the number beside every per-class figure.

    >>> support([0, 0, 2], classes=4)
    array([2, 0, 1, 0])
    """
    truth = check.labels("target", target)
    return np.bincount(truth, minlength=_classes(classes, truth))


def accuracy(target: ArrayLike, prediction: ArrayLike) -> float:
    """Share of right decisions; NaN without samples.

    >>> accuracy([0, 0, 1, 1], [0, 0, 1, 0])
    0.75
    """
    truth, decision = check.label_pair(target, prediction)
    return _mean(truth == decision)


def recall_per_class(
    target: ArrayLike, prediction: ArrayLike, classes: int | None = None
) -> NDArray[np.float64]:
    """Share of each class's samples that are found, (C,); NaN for an absent class.

    >>> recall_per_class([0, 0, 1], [0, 1, 1], classes=3)
    array([0.5, 1. , nan])
    """
    matrix = confusion_matrix(target, prediction, classes)
    return _ratio(np.diagonal(matrix), matrix.sum(axis=1))


def precision_per_class(
    target: ArrayLike, prediction: ArrayLike, classes: int | None = None
) -> NDArray[np.float64]:
    """Share of the decisions for each class that are right, (C,); NaN for an absent class.

    >>> precision_per_class([0, 0, 1], [0, 1, 1], classes=3)
    array([1. , 0.5, nan])
    """
    matrix = confusion_matrix(target, prediction, classes)
    said = np.maximum(matrix.sum(axis=0), 1)  # never said: 0 right of 0 counts as 0
    return np.where(matrix.any(axis=1), np.diagonal(matrix) / said, np.nan)


def f1_per_class(target: ArrayLike, prediction: ArrayLike, classes: int | None = None) -> NDArray[np.float64]:
    """Harmonic mean of each class's precision and recall, (C,); NaN for an absent class.

    >>> f1_per_class([0, 0, 0, 1], [0, 0, 1, 1], classes=3).round(3)
    array([0.8  , 0.667,   nan])
    """
    matrix = confusion_matrix(target, prediction, classes)
    both = matrix.sum(axis=0) + matrix.sum(axis=1)
    return np.where(matrix.any(axis=1), _ratio(2 * np.diagonal(matrix), both), np.nan)


def g_mean_per_class(
    target: ArrayLike, prediction: ArrayLike, classes: int | None = None
) -> NDArray[np.float64]:
    """Geometric mean of recall and specificity, each class against the rest, (C,).

    NaN for a class that is absent or the only one.

    >>> g_mean_per_class([0, 0, 1, 1], [0, 0, 1, 0]).round(3)
    array([0.707, 0.707])
    """
    recall, specificity = _one_against_rest(confusion_matrix(target, prediction, classes))
    return np.sqrt(recall * specificity)


def iba_per_class(
    target: ArrayLike, prediction: ArrayLike, alpha: float = 0.1, classes: int | None = None
) -> NDArray[np.float64]:
    """Index of balanced accuracy of each class against the rest, (C,).

    ``(1 + alpha * (recall - specificity)) * recall * specificity``; for two classes, entry 1 is the measure
    of García, Mollineda and Sánchez (2009) with class 1 as the positive one. NaN as in
    :func:`g_mean_per_class`.

    >>> iba_per_class([0, 0, 1, 1], [0, 0, 1, 0])
    array([0.525, 0.475])
    """
    recall, specificity = _one_against_rest(confusion_matrix(target, prediction, classes))
    return (1 + at_least("alpha", alpha, 0) * (recall - specificity)) * recall * specificity


def balanced_accuracy(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean recall over the classes that are there.

    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    return _mean(recall_per_class(target, prediction))


def mean_recall(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean of :func:`recall_per_class`; another name of :func:`balanced_accuracy`.

    >>> mean_recall([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    return balanced_accuracy(target, prediction)


def mean_precision(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean of :func:`precision_per_class` over the classes that are there.

    >>> mean_precision([0, 0, 0, 1], [0, 0, 0, 0])
    0.375
    """
    return _mean(precision_per_class(target, prediction))


def mean_f1(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean of :func:`f1_per_class` over the classes that are there ("macro" F1).

    >>> round(mean_f1([0, 0, 0, 1], [0, 0, 1, 1]), 3)
    0.733
    """
    return _mean(f1_per_class(target, prediction))


def g_mean(target: ArrayLike, prediction: ArrayLike) -> float:
    """Geometric mean of the recalls of the classes that are there (Kubat and Matwin, 1997).

    One class that is never found makes it 0.

    >>> round(g_mean([0, 0, 1, 1], [0, 0, 1, 0]), 3)
    0.707
    """
    recall = recall_per_class(target, prediction)
    there = recall[~np.isnan(recall)]
    return float(there.prod() ** (1 / there.size)) if there.size else math.nan


def iba(target: ArrayLike, prediction: ArrayLike, alpha: float = 0.1) -> float:
    """Mean of :func:`iba_per_class`, each class weighted with its number of samples.

    This is the average that imbalanced-learn's ``classification_report_imbalanced`` prints.

    >>> iba([0, 0, 1, 1], [0, 0, 1, 0])
    0.5
    """
    truth, decision = check.label_pair(target, prediction)
    each = iba_per_class(truth, decision, alpha)
    count = support(truth, len(each))
    defined = ~np.isnan(each)
    return float(_ratio((each[defined] * count[defined]).sum(), count[defined].sum()))


def top_k_accuracy(target: ArrayLike, score: ArrayLike, k: int) -> float:
    """Share of samples whose class is among the ``k`` classes of largest score (N, C).

    Of equal scores the lower class number comes first, as with ``argmax``; so equal scores for all classes
    earn no more than a constant decision.

    >>> top_k_accuracy([2, 1], [[0.5, 0.2, 0.3], [0.6, 0.1, 0.3]], k=2)
    0.5
    """
    truth, value = check.class_scores(target, score)
    check.whole("k", k, 1)
    own = value[np.arange(truth.size), truth][:, None]
    before = (value > own) | ((value == own) & (np.arange(value.shape[1]) < truth[:, None]))
    return _mean(before.sum(axis=1) < k)


def close_enough_accuracy(target: ArrayLike, probability: ArrayLike, a: float) -> float:
    """Share of samples whose class comes within ``a`` of the largest probability: ``p_y >= max p - a``.

    >>> close_enough_accuracy([0, 0], [[0.45, 0.55], [0.2, 0.8]], a=0.2)
    0.5
    """
    truth, value = check.class_scores(target, probability)
    own = value[np.arange(truth.size), truth]
    return _mean(own >= value.max(axis=1, initial=-np.inf) - at_least("a", a, 0))


def superclass_accuracy(target: ArrayLike, prediction: ArrayLike, superclass: ArrayLike) -> float:
    """Share of decisions within the right superclass.

    Args:
        target: (N,) class numbers.
        prediction: (N,) class numbers.
        superclass: (C,) the number of the superclass of each class.

    >>> superclass_accuracy([0, 1, 2], [1, 1, 0], superclass=[0, 0, 1])
    0.6666666666666666
    """
    truth, decision = check.label_pair(target, prediction)
    above = check.labels("superclass", superclass)
    _classes(above.size, truth, decision)
    return _mean(above[truth] == above[decision])


def multilabel_balanced_accuracy(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean over L labels of each label's balanced accuracy; both arrays (N, L) of 0 and 1.

    A label that is always or never there has no balanced accuracy and is left out.

    >>> multilabel_balanced_accuracy([[1, 0], [0, 0], [1, 0]], [[1, 0], [0, 0], [0, 0]])
    0.75
    """
    return _mean(balanced_accuracy_per_label(target, prediction))


def balanced_accuracy_per_label(target: ArrayLike, prediction: ArrayLike) -> NDArray[np.float64]:
    """Mean of recall and specificity of each label, (L,); both arrays (N, L) of 0 and 1.

    NaN for a label that is always or never there.

    >>> balanced_accuracy_per_label([[1, 0], [0, 0], [1, 0]], [[1, 0], [0, 0], [0, 0]])
    array([0.75,  nan])
    """
    truth, decision = np.asarray(target), np.asarray(prediction)
    if truth.ndim != 2 or truth.shape != decision.shape:
        raise InputError(
            f"expected target and prediction of shape (N, L), got {truth.shape} and {decision.shape}."
        )
    there, said = check.binary("target", truth), check.binary("prediction", decision)
    recall = _ratio((there & said).sum(axis=0), there.sum(axis=0))
    specificity = _ratio((~there & ~said).sum(axis=0), (~there).sum(axis=0))
    return np.asarray((recall + specificity) / 2, dtype=np.float64)


def _classes(classes: int | None, *arrays: NDArray[np.int64]) -> int:
    """The number of classes, and the check that no label reaches it."""
    seen = 1 + max((int(array.max()) for array in arrays if array.size), default=-1)
    if classes is None:
        return seen
    if seen > check.whole("classes", classes, 0):
        raise InputError(f"expected class numbers below the {classes} classes, got {seen - 1}.")
    return int(classes)


def _one_against_rest(matrix: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and specificity (C,) of each class against all others."""
    there, said, right = matrix.sum(axis=1), matrix.sum(axis=0), np.diagonal(matrix)
    rest = matrix.sum() - there
    return _ratio(right, there), _ratio(rest - (said - right), rest)


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """``part / whole``, NaN where there is nothing to divide by."""
    below = np.asarray(whole, dtype=np.float64)
    return np.asarray(np.asarray(part) / np.where(below == 0, np.nan, below), dtype=np.float64)


def _mean(values: NDArray[np.bool_] | NDArray[np.float64]) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    there = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(np.mean(there)) if there.size else math.nan
