"""Losses of yes-or-no questions: one per sample, or several (multi-label)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard import _checks as check
from steelyard import functional
from steelyard.functional.per_sample import at_least_float32
from steelyard.losses.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor


class BinaryCrossEntropy(Loss):
    """Cross-entropy of independent yes-or-no labels, :func:`steelyard.functional.binary_cross_entropy`.

    Logits are (N,), or (N, L) for L labels of each sample; targets in [0, 1] have the same shape. A sample's
    loss is the sum over its labels, so its squared gradient norm is that sum over labels too.

    >>> import torch
    >>> BinaryCrossEntropy()(torch.zeros(2, 3), torch.tensor([[0, 1, 1], [0, 0, 0]]))
    tensor([2.0794, 2.0794])
    """

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        return functional.binary_cross_entropy(logits, target)

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The closed form ``sigmoid(z) - y``."""
        z = at_least_float32(logits)
        return functional.binary_cross_entropy(z, target), z.detach().sigmoid() - target.to(z)

    def check_input(self, logits: Tensor, target: Tensor) -> None:
        """Refuse shapes and types that cannot be meant; looks at no value."""
        if logits.ndim not in (1, 2) or target.shape != logits.shape:
            raise check.InputError(
                "expected logits and target of the same shape, (N,) or (N, L), "
                f"got {tuple(logits.shape)} and {tuple(target.shape)}."
            )
        if not logits.is_floating_point():
            raise TypeError(
                f"expected logits of a floating type, got {logits.dtype}; give raw scores, not labels."
            )
