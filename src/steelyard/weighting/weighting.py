"""What every weighting is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from steelyard.records import Signal


class Weighting(nn.Module):
    """Gives each sample of a batch its weight; a subclass defines :meth:`forward`.

    Where it defines them, :class:`steelyard.Objective` also calls ``after_step(logits, target, index)``,
    ``after_validation(score)`` and ``sampling()``.
    """

    needs_gradient = False
    """Whether it looks at ``signal.grad_sq_norm``, which costs a gradient of the loss."""

    def forward(self, signal: Signal) -> Tensor:
        """(N,) weights >= 0; the Objective lets no gradient through them."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(signal).")
