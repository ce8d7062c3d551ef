"""LOW: the weights under which one step lowers the mean loss most, kept near uniform."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

from steelyard import _checks as check
from steelyard import _ranks
from steelyard.functional import low_weights
from steelyard.weighting.weighting import Weighting

if TYPE_CHECKING:
    from torch import Tensor

    from steelyard.records import Signal


class LOWWeighting(Weighting):
    """LOW: heavier weights for samples whose own loss has a larger gradient, kept near uniform.

    The weights are :func:`steelyard.functional.low_weights`; see there for the maths and its source.

    While it trains under ``torch.distributed``, the weights are those of the joint batch of all ranks; in
    evaluation mode nothing is exchanged.

    Args:
        lam: > 0, in units of the squared gradient norm (at most 2 for cross-entropy); larger is nearer to
            uniform.
        scaling: ``"sample"`` takes each sample's own gradient, as the paper does. ``"batch-mean"`` takes that
            of the batch's mean loss, as the authors' published code does, which divides the squared norms by
            N^2: with usual ``lam`` no weight leaves 1 visibly. It is there to be compared, and warns.

    >>> import torch
    >>> from steelyard.records import Signal
    >>> g, logits, target = torch.tensor([1.0, 1.0, 4.0]), torch.zeros(3, 2), torch.tensor([0, 1, 0])
    >>> LOWWeighting(lam=1.0)(Signal(torch.ones(3), g, logits, target, None))
    tensor([0.5000, 0.5000, 2.0000])
    """

    needs_gradient = True

    def __init__(self, lam: float = 0.1, scaling: Literal["sample", "batch-mean"] = "sample") -> None:
        super().__init__()
        self.lam = check.positive("lam", lam)
        self.scaling = check.one_of("scaling", scaling, ("sample", "batch-mean"))
        if scaling == "batch-mean":
            warnings.warn(
                'scaling="batch-mean" divides the squared gradient norms by N^2, so that all weights stay '
                'near 1: in effect plain training. Use scaling="sample" for the method of the paper.',
                UserWarning,
                stacklevel=2,
            )

    def forward(self, signal: Signal) -> Tensor:
        """(N,) weights, of mean 1 over the (joint) batch, without gradient."""
        if signal.grad_sq_norm is None:
            raise check.InputError("LOWWeighting needs signal.grad_sq_norm, got None; Objective supplies it.")
        if self.training:
            return _ranks.on_joint_rows(self._solve, signal.grad_sq_norm)
        return self._solve(signal.grad_sq_norm)

    def _solve(self, grad_sq_norm: Tensor) -> Tensor:
        if self.scaling == "batch-mean":
            grad_sq_norm = grad_sq_norm / len(grad_sq_norm) ** 2
        return low_weights(grad_sq_norm, self.lam)

    def extra_repr(self) -> str:
        """The settings, as they were given."""
        return f"lam={self.lam}" + ("" if self.scaling == "sample" else f", scaling={self.scaling!r}")
