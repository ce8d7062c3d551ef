"""Losses of yes-or-no questions: one per sample, or several (multi-label)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch user knows
from torch import Tensor

from steelyard import _checks as check
from steelyard import functional
from steelyard.functional.per_sample import at_least_float32, focal_of_cross_entropy
from steelyard.losses.loss import Loss, Reduction

if TYPE_CHECKING:
    from collections.abc import Sequence

    Counts = Sequence[int] | Tensor


class BinaryCrossEntropy(Loss):
    """Cross-entropy of independent yes-or-no labels, summed over them.

    See :func:`steelyard.functional.binary_cross_entropy`. Logits are (N,), or (N, L) for L labels of each
    sample; targets in [0, 1] have the same shape. A sample's loss is the sum over its labels, so its squared
    gradient norm is that sum over labels too.

    >>> import torch
    >>> BinaryCrossEntropy()(torch.zeros(2, 3), torch.tensor([[0, 1, 1], [0, 0, 0]]))
    tensor([2.0794, 2.0794])
    """

    multilabel = True

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
        check.raw_scores(logits)


class _PerLabel(BinaryCrossEntropy):
    """A binary loss, label by label, summed over labels; a subclass defines :meth:`per_label`."""

    def per_label(self, logits: Tensor, target: Tensor) -> Tensor:
        """The losses before they are summed, in the shape of the logits."""
        raise NotImplementedError(f"{type(self).__name__} must define per_label(logits, target).")

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        z = at_least_float32(logits)
        loss = self.per_label(z, target.to(z))
        return loss.sum(1) if loss.ndim > 1 else loss

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """By autograd: the closed form is that of plain binary cross-entropy alone."""
        return functional.loss_and_logit_grad(self.per_sample, logits, target)


class BinaryFocal(_PerLabel):
    """Focal loss of each label: answers that are right and sure count less.

    See :func:`steelyard.functional.focal`; ``gamma`` >= 0, and 0 is binary cross-entropy.

    >>> import torch
    >>> BinaryFocal(gamma=2)(torch.zeros(1, 2), torch.tensor([[0, 1]]))
    tensor([0.3466])
    """

    def __init__(self, gamma: float = 2.0, reduction: Reduction = "none") -> None:
        super().__init__(reduction)
        self.gamma = check.at_least("gamma", gamma, 0)

    def per_label(self, logits: Tensor, target: Tensor) -> Tensor:
        """As in :class:`BinaryCrossEntropy`, before the sum."""
        plain = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return focal_of_cross_entropy(plain, self.gamma)


class _CountedLabels(_PerLabel):
    """A loss that knows how many training samples have each label, and how many have it not."""

    side_counts: Tensor  # (2, L): without, with

    def __init__(self, class_counts: Counts, absent_counts: Counts, reduction: Reduction = "none") -> None:
        super().__init__(reduction)
        present, absent = (torch.as_tensor(counts) for counts in (class_counts, absent_counts))
        if present.ndim != 1 or present.shape != absent.shape or bool(((present < 0) | (absent < 0)).any()):
            raise check.InputError(
                "class_counts and absent_counts must say how many training samples have, and have not, each "
                f"of L labels, got {class_counts!r} and {absent_counts!r}."
            )
        self.register_buffer("side_counts", torch.stack([absent, present]).long())

    def check_input(self, logits: Tensor, target: Tensor) -> None:
        """As binary cross-entropy; the logits must be of as many labels as were counted."""
        super().check_input(logits, target)
        if logits.ndim != 2 or logits.shape[1] != self.side_counts.shape[1]:
            raise check.InputError(
                f"expected logits of shape (N, {self.side_counts.shape[1]}), a column for each label that "
                f"was counted, got {tuple(logits.shape)}."
            )


class WeightedBinaryCrossEntropy(_CountedLabels):
    """Binary cross-entropy of each label in which having it weighs more, in proportion to its rarity.

    Args:
        class_counts: (L,) training samples that have each label.
        absent_counts: (L,) training samples that have it not.
        share: > 0; a sample with the label weighs ``share`` times the samples without per one with it, the
            others 1, as ``pos_weight`` of :class:`torch.nn.BCEWithLogitsLoss`.
        reduction: as in :class:`Loss`.

    >>> WeightedBinaryCrossEntropy([10], [90])(torch.zeros(2, 1), torch.tensor([[0], [1]]))
    tensor([0.6931, 6.2383])
    """

    def __init__(
        self, class_counts: Counts, absent_counts: Counts, share: float = 1.0, reduction: Reduction = "none"
    ) -> None:
        super().__init__(class_counts, absent_counts, reduction)
        self.share = check.positive("share", share)

    def per_label(self, logits: Tensor, target: Tensor) -> Tensor:
        """As in :class:`BinaryCrossEntropy`, before the sum."""
        absent, present = self.side_counts.to(logits).clamp_min(1).unbind()
        weight = self.share * absent / present
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=weight)


class BalancedBinaryCrossEntropy(_CountedLabels):
    """Binary cross-entropy of each label, weighted by the inverse effective number of samples of each side.

    Args:
        class_counts: (L,) training samples that have each label.
        absent_counts: (L,) training samples that have it not.
        beta: in [0, 1); see :func:`steelyard.functional.effective_number_weights`.
        reduction: as in :class:`Loss`.

    >>> BalancedBinaryCrossEntropy([10], [90], beta=0.9)(torch.zeros(2, 1), torch.tensor([[0], [1]]))
    tensor([0.6579, 1.0101])
    """

    def __init__(
        self, class_counts: Counts, absent_counts: Counts, beta: float = 0.999, reduction: Reduction = "none"
    ) -> None:
        super().__init__(class_counts, absent_counts, reduction)
        self.beta = check.below_one("beta", beta)

    def per_label(self, logits: Tensor, target: Tensor) -> Tensor:
        """As in :class:`BinaryCrossEntropy`, before the sum."""
        absent, present = functional.effective_number_weights(self.side_counts.to(logits), self.beta).unbind()
        weight = torch.where(target > 0, present, absent)
        return F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none")


class BinaryMargin(_CountedLabels):
    """Binary cross-entropy of each label that asks the label's rarer side for a margin.

    The rarer side are the samples with the label or, of a label that most samples have, those without it; of
    equals the former. Its region grows. See :func:`steelyard.functional.binary_margin_cross_entropy`.

    Args:
        class_counts: (L,) training samples that have each label.
        absent_counts: (L,) training samples that have it not.
        margin: >= 0, in units of the logits: one for all labels, or (L,), one each. It is kept as the (L,)
            buffer ``margin``, which may be set anew during training.
        reduction: as in :class:`Loss`.

    >>> BinaryMargin([10], [90], margin=0.5)(torch.tensor([[-0.5], [0.5]]), torch.tensor([[0], [1]]))
    tensor([0.4741, 0.6931])
    """

    margin: Tensor

    def __init__(
        self,
        class_counts: Counts,
        absent_counts: Counts,
        margin: float | Sequence[float] | Tensor = 0.5,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(class_counts, absent_counts, reduction)
        labels = self.side_counts.shape[1]
        try:
            each = torch.as_tensor(margin, dtype=torch.float32)
        except (TypeError, ValueError):  # no numbers: refused below
            each = torch.tensor(torch.nan)
        if each.shape not in ((), (labels,)) or not bool(((each >= 0) & each.isfinite()).all()):
            raise check.InputError(
                f"margin must be a finite number of at least 0, or {labels} of them, one per label, "
                f"got {margin!r}."
            )
        self.register_buffer("margin", each.expand(labels).clone())

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        absent, present = self.side_counts.unbind()
        on_rarer_side = (target > 0) == (present <= absent)
        margin = self.margin.to(at_least_float32(logits)) * on_rarer_side
        return functional.binary_margin_cross_entropy(logits, target, margin)
