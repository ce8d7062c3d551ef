"""What every loss is: values per sample, their gradients, and one reduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard.functional import loss_and_logit_grad
from steelyard.hooks import ObjectivePart

if TYPE_CHECKING:
    from collections.abc import Sequence

Reduction = Literal["none", "mean", "sum"]


class Loss(ObjectivePart):
    """A loss of logits (N, C) and targets (N,); a subclass defines :meth:`per_sample`.

    Args:
        reduction: ``"none"`` gives the (N,) losses, ``"mean"`` their plain mean (of weighted losses too: it
            does not divide by the sum of the weights), ``"sum"`` their sum.
    """

    multilabel = False
    """Whether a sample may have several labels: targets (N, L) of 0 and 1, as the logits."""

    def __init__(self, reduction: Reduction = "none") -> None:
        super().__init__()
        self.reduction = check.one_of("reduction", reduction, ("none", "mean", "sum"))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        raise NotImplementedError(f"{type(self).__name__} must define per_sample(logits, target).")

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The (N,) losses and their own logit gradients (N, C); a subclass may know a closed form."""
        return loss_and_logit_grad(self.per_sample, logits, target)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The losses, (N,) or a scalar as ``reduction`` says.

        Raises:
            InputError: on shapes other than (N, C) and (N,).
            TypeError: on logits that are no floating numbers, or targets that are.
        """
        self.check_input(logits, target)
        loss = self.per_sample(logits, target)
        if self.reduction == "none":
            return loss
        return loss.mean() if self.reduction == "mean" else loss.sum()

    def loss_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The (N,) losses with their graph and their own logit gradients (N, C) without; never reduced."""
        self.check_input(logits, target)
        return self.per_sample_and_grad(logits, target)

    def check_input(self, logits: Tensor, target: Tensor) -> None:
        """Refuse shapes and types that cannot be meant; looks at no value."""
        check.logits_and_target(logits, target)


def require_per_sample(loss: object) -> None:
    """Refuse a loss that says that it reduces.

    Raises:
        InputError: if its ``reduction`` is another than ``"none"``.
    """
    reduction = getattr(loss, "reduction", "none")
    if reduction != "none":
        raise check.InputError(
            f"expected a loss of one value per sample, got reduction={reduction!r}; "
            'build it with reduction="none", the objective reduces.'
        )


class CountedLoss(Loss):
    """A loss that knows how many training samples each class has.

    Args:
        class_counts: (C,) whole numbers >= 0, kept as the int64 buffer ``class_counts``, which a change of
            precision (``.half()``) leaves exact.
        reduction: as in :class:`Loss`.
    """

    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int] | Tensor, reduction: Reduction = "none") -> None:
        super().__init__(reduction)
        self.register_buffer("class_counts", counts_of_classes(class_counts))

    def check_input(self, logits: Tensor, target: Tensor) -> None:
        """As every loss; the logits must have as many classes as were counted."""
        super().check_input(logits, target)
        if logits.shape[1] != len(self.class_counts):
            raise check.InputError(
                f"expected logits of {len(self.class_counts)} classes, as class_counts has, "
                f"got {logits.shape[1]}; give the count of every class, 0 for an absent one."
            )

    def counts_like(self, logits: Tensor) -> Tensor:
        """The counts in the precision in which the loss of ``logits`` is computed."""
        return self.class_counts.to(torch.promote_types(logits.dtype, torch.float32))


def counts_of_classes(class_counts: Sequence[int] | Tensor) -> Tensor:
    """(C,) int64 copy of ``class_counts``, refused unless whole, not negative and not all 0."""
    counts = torch.as_tensor(class_counts)
    whole = counts.ndim == 1 and len(counts) > 1 and bool((counts == counts.long()).all())
    if not whole or bool((counts < 0).any()) or not bool((counts > 0).any()):
        raise check.InputError(
            "class_counts must be the numbers of training samples of at least two classes: whole, "
            f"not negative, not all 0; got {class_counts!r}."
        )
    return counts.detach().long().clone()
