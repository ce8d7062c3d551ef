"""Are two samples of the same class? Judged from the similarity of their embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steelyard._checks import InputError
from steelyard.metrics import _inputs as check
from steelyard.metrics.intervals import standard_deviation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Verification:
    """Accuracy of deciding "same" per fold; ``float(...)`` gives the mean, for tables of measures."""

    mean: float
    spread: float  # standard deviation over the folds, divisor folds - 1
    fold_accuracy: NDArray[np.float64]  # (folds,)
    fold_threshold: NDArray[np.float64]  # (folds,)

    def __float__(self) -> float:
        return self.mean


def verification_accuracy(same: ArrayLike, similarity: ArrayLike, folds: int = 10) -> Verification:
    """Accuracy on pairs, each fold judged at the threshold that is best on the other folds.

    The protocol of Labeled Faces in the Wild (Huang et al., 2007). Folds are consecutive and hold equal
    shares of same and different pairs; in the order of LFW's own list they are its ten sets.

    Args:
        same: (N,) 1 where the two samples of a pair are of the same class, else 0.
        similarity: (N,) finite, larger for the more alike.
        folds: at least 2; each kind of pair must be there ``folds`` times.

    >>> verification_accuracy([1, 1, 0, 0], [0.9, 0.8, 0.3, 0.1], folds=2).mean
    1.0
    """
    positive, value = check.binary_scores(same, similarity)
    check.whole("folds", folds, 2)
    if not np.isfinite(value).all():
        raise InputError("expected finite similarities, got infinite ones.")
    if min(positive.sum(), (~positive).sum()) < folds:
        raise InputError(
            f"expected at least {folds} pairs of each kind, one per fold, got {positive.sum()} same and "
            f"{(~positive).sum()} different; use fewer folds."
        )
    fold = np.empty(positive.size, np.int64)
    for kind in (positive, ~positive):
        count = np.count_nonzero(kind)
        fold[kind] = np.arange(count) * folds // count
    others = [fold != k for k in range(folds)]
    threshold = np.array([_best_threshold(positive[rest], value[rest]) for rest in others])
    right = (value >= threshold[fold]) == positive
    accuracy = np.array([right[~rest].mean() for rest in others])
    return Verification(float(accuracy.mean()), standard_deviation(accuracy), accuracy, threshold)


def _best_threshold(positive: NDArray[np.bool_], value: NDArray[np.floating]) -> float:
    """The threshold of most right decisions, midway between the scores that it parts."""
    order = np.argsort(-value)
    ordered = np.concatenate([[np.inf], value[order], [-np.inf]])
    gained = np.concatenate(
        [[0], np.cumsum(np.where(positive[order], 1, -1))]
    )  # right decisions won by k "same"
    possible = ordered[1:] < ordered[:-1]  # equal scores cannot be parted
    k = int(np.argmax(np.where(possible, gained, gained.min() - 1)))
    return float((ordered[k] + ordered[k + 1]) / 2)
