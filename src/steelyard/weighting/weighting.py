"""What every weighting is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.hooks import ObjectivePart

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from steelyard.records import Seen, Signal


class Weighting(ObjectivePart):
    """Gives each sample of a batch its weight; a subclass defines :meth:`forward` and the hooks it needs."""

    needs_gradient = False
    """Whether it looks at ``signal.grad_sq_norm``, which costs a gradient of the loss."""

    presample = 1
    """Candidates for each sample of a batch; a subclass that says more than 1 defines :meth:`choose`."""

    rehearsal = 0.0
    """Share of the training samples on which a training beforehand, with some labels wrong, is watched; a
    subclass that says more than 0 defines :meth:`learn`."""

    def forward(self, signal: Signal) -> Tensor:
        """(N,) weights >= 0; the Objective lets no gradient through them."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(signal).")

    def choose(self, grad_sq_norm: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Choose a batch: (N,) rows of its (presample * N,) candidates, and what their weights gain by it."""
        raise NotImplementedError(f"{type(self).__name__} must define choose(grad_sq_norm, generator).")

    def learn(self, seen: Sequence[Seen]) -> None:
        """Learn from the batches of a rehearsal, in their order, before the training begins."""
        raise NotImplementedError(f"{type(self).__name__} must define learn(seen).")
