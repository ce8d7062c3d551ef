"""Choices that cost no training: thresholds and priors, chosen on validation data, applied to test data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from steelyard._checks import InputError
from steelyard.metrics import _inputs as check
from steelyard.metrics.confusion import support

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

SETTLED = 1e-10  # change of a prior in one round at which estimate_priors stops
MOST_ROUNDS = 10_000


def class_priors(target: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Share of each class among the samples, (C,).

    >>> class_priors([0, 0, 0, 1], classes=2)
    array([0.75, 0.25])
    """
    count = support(target, classes)
    if not count.sum():
        raise InputError("expected at least one sample, got an empty target.")
    return np.asarray(count / count.sum(), dtype=np.float64)


def adjust_logits(logits: ArrayLike, train_priors: ArrayLike, tau: float = 1.0) -> NDArray[np.float64]:
    """Logits for balanced classes: ``logits - tau * log(train_priors)`` (Menon et al., ICLR 2021, eq. 9).

    Args:
        logits: (N, C).
        train_priors: (C,) above 0, summing to 1.
        tau: strength; 0 changes nothing, 1 aims at balanced accuracy.

    >>> adjust_logits([[1.0, 0.5]], train_priors=[0.9, 0.1]).argmax(axis=1)
    array([1])
    """
    priors = _priors("train_priors", train_priors)
    return _rows("logits", logits, priors) - tau * np.log(priors)


def shift_priors(probability: ArrayLike, from_priors: ArrayLike, to_priors: ArrayLike) -> NDArray[np.float64]:
    """Probabilities (N, C) for a population with other class priors (Saerens et al., 2002, eq. 2.4).

    Args:
        probability: (N, C), of a model trained under ``from_priors``.
        from_priors: (C,) above 0, summing to 1.
        to_priors: (C,) at least 0, summing to 1.

    >>> shift_priors([[0.5, 0.5]], from_priors=[0.5, 0.5], to_priors=[0.9, 0.1])
    array([[0.9, 0.1]])
    """
    before, after = _priors("from_priors", from_priors), check.distribution("to_priors", to_priors)
    given = _rows("probability", check.distribution("probability", probability), before)
    if after.shape != before.shape:
        raise InputError(f"expected to_priors of shape {before.shape}, got {after.shape}.")
    if not (given[:, after > 0] > 0).any(axis=1).all():
        raise InputError("expected to_priors above 0 for a class that each sample may have; raise the zeros.")
    return _reweighted(given, after / before)


def estimate_priors(probability: ArrayLike, from_priors: ArrayLike) -> NDArray[np.float64]:
    """Class priors (C,) of unlabelled samples, by expectation-maximisation (Saerens et al., 2002, eq. 3.1).

    Args:
        probability: (N, C), calibrated, of a model trained under ``from_priors``; N at least 1.
        from_priors: (C,) above 0, summing to 1.

    >>> estimate_priors([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], from_priors=[0.5, 0.5]).round(3)
    array([0.708, 0.292])
    """
    before = _priors("from_priors", from_priors)
    given = _rows("probability", check.distribution("probability", probability), before)
    check.whole("the number of samples", len(given), 1)
    found = before
    for _ in range(MOST_ROUNDS):
        last, found = found, _reweighted(given, found / before).mean(axis=0)
        if np.abs(found - last).max() < SETTLED:
            break
    return found


def critical_score(logits: ArrayLike, critical: Sequence[int]) -> NDArray[np.float64]:
    """Log-odds (N,) of the critical classes against the rest: the score of AUC and of FPR at a TPR.

    Args:
        logits: (N, C).
        critical: class numbers, at least one and not all.

    >>> critical_score([[0.0, 1.0, 3.0]], critical=[2]).round(3)
    array([1.687])
    """
    z, chosen = _critical(logits, critical)
    z = z.astype(np.float64, copy=False)
    return np.asarray(logsumexp(z[:, chosen], axis=1) - logsumexp(z[:, ~chosen], axis=1), dtype=np.float64)


def decide(score: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """1 where ``score >= threshold``, else 0, (N,); the threshold is found on validation data.

    >>> decide([0.2, 0.5, 0.9], threshold=0.5)
    array([0, 1, 1])
    """
    if np.isnan(threshold):
        raise InputError("expected a threshold, got NaN; the validation data has no positive sample.")
    return np.asarray(check.numbers("score", score) >= threshold, dtype=np.int64)


def decide_critical(logits: ArrayLike, critical: Sequence[int], threshold: float) -> NDArray[np.int64]:
    """Class numbers (N,): a critical class where :func:`critical_score` reaches ``threshold``, else another.

    Among the critical classes, or among the others, it is the one with the largest logit.

    Args:
        logits: (N, C).
        critical: class numbers, at least one and not all.
        threshold: log-odds, found on validation data; infinite for never, minus infinity for always.

    >>> decide_critical([[0.0, 1.0, 0.5], [3.0, 2.0, 0.5]], critical=[2], threshold=-1.0)
    array([2, 0])
    """
    alarm = decide(critical_score(logits, critical), threshold).astype(np.bool_)
    z, chosen = _critical(logits, critical)
    of_critical, of_others = (np.flatnonzero(side)[z[:, side].argmax(axis=1)] for side in (chosen, ~chosen))
    return np.asarray(np.where(alarm, of_critical, of_others), dtype=np.int64)


def _critical(logits: ArrayLike, critical: Sequence[int]) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """(N, C) logits and (C,) which classes are critical."""
    z = check.numbers("logits", logits)
    if z.ndim != 2:
        raise InputError(f"expected logits of shape (N, C), got {z.shape}.")
    named = check.labels("critical", critical)
    chosen = np.isin(np.arange(z.shape[1]), named)
    if not named.size or named.max() >= z.shape[1] or chosen.all():
        raise InputError(
            f"expected some, not all, of the classes 0 to {z.shape[1] - 1} as critical, got {named.tolist()}."
        )
    return z, chosen


def _priors(name: str, values: ArrayLike) -> NDArray[np.float64]:
    found = check.distribution(name, values)
    if found.ndim != 1 or not (found > 0).all():
        raise InputError(f"expected {name} of shape (C,) above 0, got {found}; leave absent classes out.")
    return found


def _rows(name: str, values: ArrayLike, priors: NDArray[np.float64]) -> NDArray[np.float64]:
    found = check.numbers(name, values).astype(np.float64, copy=False)
    if found.ndim != 2 or found.shape[1] != priors.size:
        raise InputError(
            f"expected {name} of shape (N, {priors.size}), as many as priors, got {found.shape}."
        )
    return found


def _reweighted(probability: NDArray[np.float64], ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) rows times ``ratio``, summing to 1 again."""
    found = probability * ratio
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float64)
