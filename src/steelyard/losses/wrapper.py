"""What every loss over another loss is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.hooks import check_part, of_samples, outputs_of
from steelyard.losses.classification import CrossEntropy
from steelyard.losses.loss import Loss, Reduction, require_per_sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class LossWrapper(Loss):
    """A loss over another one; a subclass defines :meth:`losses_of`.

    No hook of the inner loss is lost. Notifications, values to log and chances of drawing need nothing here:
    the objective reaches every part below it. What changes values goes through this class: the inner loss
    says whether it is separable, which logits to predict with, and what it remembers of samples.

    Args:
        loss: any callable ``(logits, target) -> (N,)``, kept as ``base``; cross-entropy if None.
        reduction: as in :class:`Loss`.

    Raises:
        InputError: if ``loss`` reduces.
    """

    base: Callable[[Tensor, Tensor], Tensor]

    def __init__(
        self, loss: Callable[[Tensor, Tensor], Tensor] | None, reduction: Reduction = "none"
    ) -> None:
        super().__init__(reduction)
        self.base = CrossEntropy() if loss is None else loss
        require_per_sample(self.base)
        check_part(self.base)

    @property
    def separable(self) -> bool:  # type: ignore[override]  # follows the inner loss
        """Whether the inner loss is."""
        return bool(getattr(self.base, "separable", True))

    @property
    def multilabel(self) -> bool:  # type: ignore[override]  # follows the inner loss
        """Whether the inner loss is of several labels per sample."""
        return bool(getattr(self.base, "multilabel", False))

    def losses_of(self, logits: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
        """The (N,) losses of the samples at these rows of the training set, by :meth:`base_of`."""
        raise NotImplementedError(f"{type(self).__name__} must define losses_of(logits, target, index).")

    def base_of(self, index: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        """The inner loss of the samples at these rows."""
        return of_samples(self.base, index)

    def rescaled(self, logits: Tensor) -> Tensor:
        """The logits as the inner loss reads them, where the target is not known."""
        return logits

    def outputs(self, logits: Tensor) -> Tensor:
        """The inner loss's own, of the logits as it reads them."""
        return outputs_of(self.base, self.rescaled(logits))

    def remembers_samples(self, index: Tensor | None) -> bool:
        """Whether these samples have losses of their own, by what is remembered of them."""
        return self.base_of(index) is not self.base

    def of_samples(self, index: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss of the samples at these rows; itself while nothing is remembered of them."""
        if not self.remembers_samples(index):
            return self

        def loss(logits: Tensor, target: Tensor) -> Tensor:
            self.check_input(logits, target)
            return self.losses_of(logits, target, index)

        return loss

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses of samples of which nothing is known."""
        return self.losses_of(logits, target, None)
