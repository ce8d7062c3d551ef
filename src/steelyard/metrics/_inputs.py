"""What the measures accept: every array is looked at once, here, where it enters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from steelyard._checks import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SUM_TOLERANCE = 1e-2  # a softmax in bfloat16 sums to 1 no better than this


def labels(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """(N,) class numbers 0, 1, ... as int64; truth values count as 0 and 1."""
    found = np.asarray(values)
    if found.ndim != 1:
        raise InputError(f"expected {name} of shape (N,), got {found.shape}.")
    if found.size == 0:
        return np.zeros(0, np.int64)
    if found.dtype.kind not in "iub":
        raise InputError(f"expected {name} of whole class numbers, got {found.dtype}; use astype(int).")
    if found.min() < 0:
        raise InputError(f"expected {name} of class numbers from 0, got {found.min()}.")
    return found.astype(np.int64, copy=False)


def label_pair(target: ArrayLike, prediction: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two label arrays of the same length."""
    truth, decision = labels("target", target), labels("prediction", prediction)
    if truth.size != decision.size:
        raise InputError(
            f"expected target and prediction of equal length, got {truth.size} and {decision.size}."
        )
    return truth, decision


def binary_scores(target: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """(N,) which samples are positive, and their (N,) scores in the type they came in."""
    truth, value = np.asarray(target), np.asarray(score)
    if truth.ndim != 1 or truth.shape != value.shape:
        raise InputError(f"expected target and score of shape (N,), got {truth.shape} and {value.shape}.")
    return binary("target", truth), numbers("score", value)


def binary(name: str, values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Truth values from an array of 0 and 1 of any shape."""
    if values.dtype == np.bool_ or values.size == 0:
        return values.astype(np.bool_)
    if values.dtype.kind not in "iu":
        raise InputError(f"expected {name} of whole numbers 0 and 1, got {values.dtype}; use astype(int).")
    positive = np.asarray(values == 1)
    if np.count_nonzero(values) != np.count_nonzero(positive):
        raise InputError(
            f"expected {name} of 0 and 1 only, got values from {values.min()} to {values.max()}."
        )
    return positive


def numbers(name: str, values: ArrayLike) -> NDArray[np.floating]:
    """Real numbers without NaN; floating types are kept, others become float64."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiub":
        raise InputError(f"expected {name} of real numbers, got {found.dtype}.")
    if found.dtype.kind != "f":
        return found.astype(np.float64)
    if np.isnan(found).any():
        raise InputError(f"expected {name} without NaN, got {np.isnan(found).sum()} of {found.size}.")
    return found


def groups(group: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """(N,) numbers or names of the group of each sample."""
    found = np.asarray(group)
    if found.shape != shape:
        raise InputError(f"expected group of shape {shape} like target, got {found.shape}.")
    return found


def class_scores(target: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """(N,) labels and (N, C) scores, every label below C."""
    truth, value = labels("target", target), numbers("scores", score)
    if value.ndim != 2 or len(value) != truth.size:
        raise InputError(
            f"expected target of shape (N,) and scores of shape (N, C), got {truth.shape} and {value.shape}."
        )
    if truth.size and truth.max() >= value.shape[1]:
        raise InputError(
            f"expected target below the {value.shape[1]} classes of the scores, got {truth.max()}."
        )
    return truth, value


def distribution(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """(..., C) probabilities: within 0 and 1, summing to 1 over the last axis."""
    found = numbers(name, values).astype(np.float64, copy=False)
    if found.ndim == 0 or found.shape[-1] == 0:
        raise InputError(f"expected {name} of shape (..., C), got {found.shape}.")
    inside(name, found, "a softmax gives them")
    if found.size and np.abs(found.sum(axis=-1) - 1).max() > SUM_TOLERANCE:
        raise InputError(f"expected {name} that sum to 1, got other sums; a softmax gives them.")
    return found


def inside(name: str, values: NDArray[np.floating], mend: str) -> None:
    """Require values within 0 and 1."""
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"expected {name} within 0 and 1, got {values.min():.3g} to {values.max():.3g}; {mend}."
        )


def samples(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """(n,) real numbers, as float64; NaN passes and makes the answer NaN."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        raise InputError(f"expected {name} of shape (n,), got {found.shape}.")
    return found


def paired(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """(n,) differences ``a - b`` of two measurements on the same seeds, folds or data sets."""
    first, second = samples("a", a), samples("b", b)
    if first.shape != second.shape or not first.size:
        raise InputError(
            f"expected a and b of the same length, at least 1, got {first.size} and {second.size}."
        )
    difference = first - second
    if not np.isfinite(difference).all():
        raise InputError("expected finite pairs, got NaN or infinity; leave failed runs out of both.")
    return difference


def level(value: float) -> float:
    """Return a confidence level strictly between 0 and 1."""
    if not 0 < value < 1:
        raise InputError(f"level must lie strictly between 0 and 1 (0.95 for 95 %), got {value!r}.")
    return value


def whole(name: str, value: int, least: int) -> int:
    """Return a whole number of at least ``least``."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return int(value)
