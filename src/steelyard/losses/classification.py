"""Losses for one class per sample: shells over :mod:`steelyard.functional`, where maths and sources are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard import _checks as check
from steelyard import functional
from steelyard.functional.per_sample import focal_of_cross_entropy, focal_slope, with_margin
from steelyard.losses.loss import CountedLoss, Loss, Reduction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class CrossEntropy(Loss):
    """Softmax cross-entropy: plain training.

    See :func:`steelyard.functional.cross_entropy`.

    >>> import torch
    >>> CrossEntropy()(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.6931, 0.6931])
    """

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        return functional.cross_entropy(logits, target)

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The closed form ``p - e_y``."""
        return functional.cross_entropy_and_grad(logits, target)


class WeightedCrossEntropy(CountedLoss):
    """Cross-entropy times a weight of the target's class; a subclass says how counts become weights."""

    def class_weight(self, logits: Tensor) -> Tensor:
        """(C,) weights, of mean 1 over the training samples, in the precision of the loss of ``logits``."""
        raise NotImplementedError(f"{type(self).__name__} must define class_weight(logits).")

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) weighted losses."""
        return functional.weighted_cross_entropy(logits, target, self.class_weight(logits))

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The closed form: that of cross-entropy, times the weight."""
        loss, grad = functional.cross_entropy_and_grad(logits, target)
        weight = self.class_weight(logits)[target.long()]
        return weight * loss, weight.unsqueeze(1) * grad


class BalancedCrossEntropy(WeightedCrossEntropy):
    """Cross-entropy in which each class counts the same, whatever its number of samples.

    The weights are those of :func:`steelyard.functional.balanced_weights`.

    >>> import torch
    >>> BalancedCrossEntropy([90, 10])(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.3851, 3.4657])
    """

    def class_weight(self, logits: Tensor) -> Tensor:
        """(C,) weights inversely proportional to the counts."""
        return functional.balanced_weights(self.counts_like(logits))


class EffectiveNumber(WeightedCrossEntropy):
    """Cross-entropy weighted by the inverse effective number of samples of each class.

    The weights are those of :func:`steelyard.functional.effective_number_weights`; ``beta`` in [0, 1).

    >>> import torch
    >>> EffectiveNumber([90, 10], beta=0.9)(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.6579, 1.0101])
    """

    def __init__(
        self, class_counts: Sequence[int] | Tensor, beta: float = 0.999, reduction: Reduction = "none"
    ) -> None:
        super().__init__(class_counts, reduction)
        self.beta = check.below_one("beta", beta, "; the limit 1 is BalancedCrossEntropy")

    def class_weight(self, logits: Tensor) -> Tensor:
        """(C,) weights inversely proportional to the effective numbers of samples."""
        return functional.effective_number_weights(self.counts_like(logits), self.beta)


class Focal(Loss):
    """Focal loss: samples that are classified well count less.

    See :func:`steelyard.functional.focal`; ``gamma`` >= 0, and 0 is cross-entropy.

    >>> import torch
    >>> Focal(gamma=2)(torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.1733])
    """

    def __init__(self, gamma: float = 2.0, reduction: Reduction = "none") -> None:
        super().__init__(reduction)
        self.gamma = check.at_least("gamma", gamma, 0)

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        return functional.focal(logits, target, self.gamma)

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The closed form: that of cross-entropy, times the focal loss's slope in it."""
        loss, grad = functional.cross_entropy_and_grad(logits, target)
        slope = focal_slope(loss.detach(), self.gamma)
        return focal_of_cross_entropy(loss, self.gamma), slope.unsqueeze(1) * grad


class LogitAdjusted(CountedLoss):
    """Cross-entropy after adding ``tau`` times the classes' log-priors to the logits.

    See :func:`steelyard.functional.logit_adjusted`; ``tau`` >= 0.

    >>> import torch
    >>> LogitAdjusted([90, 10])(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.1054, 2.3026])
    """

    def __init__(
        self, class_counts: Sequence[int] | Tensor, tau: float = 1.0, reduction: Reduction = "none"
    ) -> None:
        super().__init__(class_counts, reduction)
        self.tau = check.at_least("tau", tau, 0)

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        prior = functional.log_prior(self.counts_like(logits))
        return functional.logit_adjusted(logits, target, prior, self.tau)

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The closed form: that of cross-entropy at the adjusted logits."""
        prior = functional.log_prior(self.counts_like(logits))
        return functional.cross_entropy_and_grad(logits + self.tau * prior, target)


class BalancedSoftmax(LogitAdjusted):
    """Cross-entropy of a softmax that counts each class by its number of samples.

    See :func:`steelyard.functional.balanced_softmax`; it is :class:`LogitAdjusted` with ``tau`` = 1.

    >>> import torch
    >>> BalancedSoftmax([90, 10])(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.1054, 2.3026])
    """

    def __init__(self, class_counts: Sequence[int] | Tensor, reduction: Reduction = "none") -> None:
        super().__init__(class_counts, tau=1.0, reduction=reduction)


class LDAM(CountedLoss):
    """Cross-entropy with a margin that is larger for rarer classes.

    See :func:`steelyard.functional.ldam`.

    Args:
        class_counts: as in :class:`CountedLoss`.
        max_margin: >= 0, the rarest class's margin, in units of the logits.
        scale: > 0, multiplies the logits after the margin. Leave 1 for a linear head; the paper's 30 belongs
            to a head whose logits are cosines.
        reduction: as in :class:`Loss`.

    >>> import torch
    >>> LDAM([1600, 100])(torch.tensor([[0.25, 0.0], [0.0, 0.5]]), torch.tensor([0, 1]))
    tensor([0.6931, 0.6931])
    """

    def __init__(
        self,
        class_counts: Sequence[int] | Tensor,
        max_margin: float = 0.5,
        scale: float = 1.0,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(class_counts, reduction)
        self.max_margin = check.at_least("max_margin", max_margin, 0)
        self.scale = check.positive("scale", scale)

    def margins(self, logits: Tensor) -> Tensor:
        """(C,) margins of the classes."""
        return functional.ldam_margins(self.counts_like(logits), self.max_margin)

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        return functional.ldam(logits, target, self.margins(logits), self.scale)

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The closed form: that of cross-entropy at the lowered logits, times the scale."""
        lowered = self.scale * with_margin(logits, target, self.margins(logits))
        loss, grad = functional.cross_entropy_and_grad(lowered, target)
        return loss, self.scale * grad
