"""Losses of probabilities: shells over :mod:`steelyard.functional.probability`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from steelyard import _checks as check
from steelyard import functional
from steelyard.losses.loss import Loss, Reduction

if TYPE_CHECKING:
    from torch import Tensor


class SquaredError(Loss):
    """Squared error of the probabilities.

    See :func:`steelyard.functional.squared_error`.

    ``normaliser`` makes the probabilities: ``"softmax"`` or ``"sparsemax"``.

    >>> import torch
    >>> SquaredError()(torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.5000])
    """

    def __init__(
        self, normaliser: Literal["softmax", "sparsemax"] = "softmax", reduction: Reduction = "none"
    ) -> None:
        super().__init__(reduction)
        self.normaliser = check.one_of("normaliser", normaliser, ("softmax", "sparsemax"))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        return functional.squared_error(logits, target, self.normaliser)


class GeneralisedCrossEntropy(Loss):
    """Bounded cross-entropy for noisy labels.

    See :func:`steelyard.functional.generalised_cross_entropy`.

    Args:
        q: in [0, 1]; 0 is cross-entropy, 1 the probability of an error.
        least: in [0, 1); samples whose target has a lower probability are left out of the gradient. With
            ``q`` = 0 this is the truncated cross-entropy.
        reduction: as in :class:`Loss`.

    >>> import torch
    >>> GeneralisedCrossEntropy(q=1)(torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.5000])
    """

    def __init__(self, q: float = 0.7, least: float = 0.0, reduction: Reduction = "none") -> None:
        super().__init__(reduction)
        self.q = check.between("q", q, 0, 1)
        self.least = check.below_one("least", least, "; 0 truncates nothing")

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        return functional.generalised_cross_entropy(logits, target, self.q, self.least)


class Sparsemax(Loss):
    """The loss that belongs to sparsemax, a softmax that can give probabilities of 0.

    See :func:`steelyard.functional.sparsemax_loss`.

    >>> import torch
    >>> Sparsemax()(torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.2500])
    """

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        return functional.sparsemax_loss(logits, target)
