"""The records that flow from one part to the next.

Letters, everywhere the same: N samples, C classes. ``logits`` (N, C) are raw scores, ``target`` (N,) int64
class numbers, ``index`` (N,) int64 the rows of the samples in their data set, ``weight`` (N,) >= 0, of mean 1
unless the weighting says otherwise. Where a sample may have several labels (multi-label), ``target`` (N, L)
int64 holds a 1 for each of L labels that it has and a 0 for the others, and ``logits`` are (N, L).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steelyard._files import written_whole

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """What a loader yields."""

    x: Tensor  # (N, ...) model input
    target: Tensor  # (N,) int64
    index: Tensor  # (N,) int64, row in the data set


@dataclass(frozen=True, slots=True)
class Signal:
    """What a weighting may look at. Nothing in it carries a gradient."""

    loss: Tensor  # (N,)
    grad_sq_norm: Tensor | None  # (N,), for weightings with ``needs_gradient``
    logits: Tensor  # (N, C)
    target: Tensor  # (N,)
    index: Tensor | None  # (N,)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a batch of a rehearsal, in which it is known which labels are wrong."""

    loss: Tensor  # (N,) under the labels that the rehearsal trained on
    target: Tensor  # (N,) these labels
    trusted: Tensor  # (N,) bool, whether they are right
    progress: float  # in [0, 1), share of its epochs that were done


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of an objective."""

    total: Tensor  # scalar, with gradient
    loss: Tensor  # (N,) per-sample loss, detached
    weight: Tensor  # (N,), detached
    violation: Tensor | None = None  # scalar, detached; how far the constraint is from being met


@dataclass(frozen=True, slots=True)
class LoggedValue:
    """A value that a part of an objective logs once an epoch, and how its curve is labelled."""

    value: float
    title: str  # of the curve by epoch, what the value is in plain words; empty: history alone, no curve
    unit: str = ""  # of the axis; "share" of what lies in [0, 1]; empty for numbers without one


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a trained model says of a set of samples: the seam between training and everything after it.

    >>> p = Predictions(np.array([[2.0, 0.0]]), np.array([0]), np.array([7]))
    >>> p.probability.round(2)
    array([[0.88, 0.12]])
    """

    logits: NDArray[np.floating]  # (N, C), or (N, L)
    target: NDArray[np.int64]  # (N,), or (N, L)
    index: NDArray[np.int64]  # (N,)

    @property
    def multilabel(self) -> bool:
        """Whether a sample may have several labels."""
        return self.target.ndim == 2

    @property
    def probability(self) -> NDArray[np.float64]:
        """(N, C) softmax of the logits, or (N, L) the sigmoid of each, in float64."""
        z = self.logits.astype(np.float64)
        if self.multilabel:
            return np.asarray(np.exp(-np.logaddexp(0, -z)), dtype=np.float64)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=np.float64)

    @property
    def decision(self) -> NDArray[np.int64]:
        """(N,) class of the largest logit, the first of equals; or (N, L) 1 where a logit is above 0."""
        if self.multilabel:
            return (self.logits > 0).astype(np.int64)
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    def in_order(self) -> Predictions:
        """The same samples in the order of the data set's rows."""
        order = np.argsort(self.index, kind="stable")
        return Predictions(self.logits[order], self.target[order], self.index[order])

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file, whole or not at all."""
        with written_whole(path) as temporary:
            np.savez_compressed(temporary, logits=self.logits, target=self.target, index=self.index)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what :meth:`save` wrote; executes no code from the file."""
        with np.load(path, allow_pickle=False) as file:
            return cls(file["logits"], file["target"], file["index"])
