"""Weights that grow exponentially with the gradient's norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard import _checks as check
from steelyard import _ranks
from steelyard.weighting.weighting import Weighting

if TYPE_CHECKING:
    from torch import Tensor

    from steelyard.records import Signal


class ExponentiatedWeighting(Weighting):
    """Weights samples by the exponential of their logit gradient's norm: ``exp(||dl/dz||)`` over its mean.

    For cross-entropy the norm is ``||p - e_y||``, at most the root of 2, so that no weight exceeds another
    more than 4.2 times. While it trains under ``torch.distributed`` the mean is that of the joint batch.

    References:
        An alternative ("importance weighting") in the research code of Santiago et al., the authors of LOW;
        in no paper.

    >>> import torch
    >>> from steelyard.records import Signal
    >>> g, logits, target = torch.tensor([0.0, 1.0]), torch.zeros(2, 2), torch.tensor([0, 1])
    >>> ExponentiatedWeighting()(Signal(torch.ones(2), g, logits, target, None))
    tensor([0.5379, 1.4621])
    """

    needs_gradient = True

    def forward(self, signal: Signal) -> Tensor:
        """(N,) weights, of mean 1 over the (joint) batch, without gradient."""
        if signal.grad_sq_norm is None:
            raise check.InputError(
                "ExponentiatedWeighting needs signal.grad_sq_norm, got None; Objective supplies it."
            )
        if self.training:
            return _ranks.on_joint_rows(_weights, signal.grad_sq_norm)
        return _weights(signal.grad_sq_norm)


def _weights(grad_sq_norm: Tensor) -> Tensor:
    norm = grad_sq_norm.sqrt()
    return norm.softmax(0) * len(norm)  # the softmax subtracts the maximum: no overflow
