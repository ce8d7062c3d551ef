"""Losses of critical classes against the rest: each sample's score is the log-odds of the former.

With two classes that score is the difference of the two logits, and these are the usual binary losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch user knows
from torch import Tensor

from steelyard import _checks as check
from steelyard import functional
from steelyard.functional.per_sample import focal_of_cross_entropy
from steelyard.losses.loss import Loss, Reduction, counts_of_classes

if TYPE_CHECKING:
    from collections.abc import Sequence


class CriticalCrossEntropy(Loss):
    """Binary cross-entropy of the critical classes against the rest.

    With two classes it is cross-entropy; with more, errors among the critical classes or among the rest cost
    nothing.

    Args:
        critical: numbers of the classes that must not be missed, not all of them.
        reduction: as in :class:`Loss`.

    >>> CriticalCrossEntropy(critical=[2])(torch.zeros(2, 3), torch.tensor([0, 2]))
    tensor([0.4055, 1.0986])
    """

    critical: Tensor

    def __init__(self, critical: Sequence[int] = (1,), reduction: Reduction = "none") -> None:
        super().__init__(reduction)
        self.register_buffer("critical", torch.tensor(check.class_numbers("critical", critical)))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        return self.of_score(*functional.critical_scores(logits, target, self.critical))

    def of_score(self, score: Tensor, positive: Tensor) -> Tensor:
        """The (N,) losses of scores (N,); ``positive`` (N,) marks the samples of critical classes."""
        return F.softplus(-towards(score, positive))


class SymmetricMargin(CriticalCrossEntropy):
    """Binary cross-entropy that asks both sides for a margin, in units of the logits.

    Args:
        critical: as in :class:`CriticalCrossEntropy`.
        margin: >= 0; 0 is cross-entropy.
        reduction: as in :class:`Loss`.

    >>> SymmetricMargin(margin=0.5)(torch.tensor([[0.5, 0.0], [0.0, 0.5]]), torch.tensor([0, 1]))
    tensor([0.6931, 0.6931])
    """

    def __init__(
        self, critical: Sequence[int] = (1,), margin: float = 0.5, reduction: Reduction = "none"
    ) -> None:
        super().__init__(critical, reduction)
        self.margin = check.at_least("margin", margin, 0)

    def of_score(self, score: Tensor, positive: Tensor) -> Tensor:
        """The (N,) losses, as in :class:`CriticalCrossEntropy`."""
        return F.softplus(self.margin - towards(score, positive))


class AsymmetricMargin(SymmetricMargin):
    """Binary cross-entropy that asks the critical side alone for a margin.

    Arguments as in :class:`SymmetricMargin`.

    References:
        Li, Kamnitsas, Glocker, "Overfitting of neural nets under class imbalance", MICCAI 2019.

    >>> AsymmetricMargin(margin=0.5)(torch.tensor([[0.5, 0.0], [0.0, 0.5]]), torch.tensor([0, 1]))
    tensor([0.4741, 0.6931])
    """

    def of_score(self, score: Tensor, positive: Tensor) -> Tensor:
        """The (N,) losses, as in :class:`CriticalCrossEntropy`."""
        return F.softplus(self.margin * positive - towards(score, positive))


class SymmetricFocal(CriticalCrossEntropy):
    """Binary focal loss: samples of either side that are classified well count less.

    Args:
        critical: as in :class:`CriticalCrossEntropy`.
        gamma: >= 0; 0 is cross-entropy.
        reduction: as in :class:`Loss`.

    >>> SymmetricFocal(gamma=2)(torch.zeros(1, 2), torch.tensor([1]))
    tensor([0.1733])
    """

    def __init__(
        self, critical: Sequence[int] = (1,), gamma: float = 2.0, reduction: Reduction = "none"
    ) -> None:
        super().__init__(critical, reduction)
        self.gamma = check.at_least("gamma", gamma, 0)

    def of_score(self, score: Tensor, positive: Tensor) -> Tensor:
        """The (N,) losses, as in :class:`CriticalCrossEntropy`."""
        return focal_of_cross_entropy(super().of_score(score, positive), self.gamma)


class AsymmetricFocal(SymmetricFocal):
    """Binary focal loss in which critical samples always count in full.

    Arguments as in :class:`SymmetricFocal`.

    References:
        Li, Kamnitsas, Glocker, "Overfitting of neural nets under class imbalance", MICCAI 2019.

    >>> AsymmetricFocal(gamma=2)(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.1733, 0.6931])
    """

    def of_score(self, score: Tensor, positive: Tensor) -> Tensor:
        """The (N,) losses, as in :class:`CriticalCrossEntropy`."""
        full = CriticalCrossEntropy.of_score(self, score, positive)
        return torch.where(positive, full, focal_of_cross_entropy(full, self.gamma))


class WeightedBCE(CriticalCrossEntropy):
    """Binary cross-entropy in which critical samples weigh more, in proportion to their rarity.

    Args:
        class_counts: (C,) training samples of each class.
        critical: as in :class:`CriticalCrossEntropy`.
        share: > 0; a critical sample weighs ``share`` times the other samples per critical one, the others 1.
        reduction: as in :class:`Loss`.

    >>> WeightedBCE([90, 10])(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.6931, 6.2383])
    """

    side_counts: Tensor

    def __init__(
        self,
        class_counts: Sequence[int] | Tensor,
        critical: Sequence[int] = (1,),
        share: float = 1.0,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(critical, reduction)
        self.share = check.positive("share", share)
        self.register_buffer("side_counts", _side_counts(class_counts, self.critical))

    def of_score(self, score: Tensor, positive: Tensor) -> Tensor:
        """The (N,) losses, as in :class:`CriticalCrossEntropy`."""
        rest, critical = self.side_counts.to(score).clamp_min(1).unbind()
        return torch.where(positive, self.share * rest / critical, 1.0) * super().of_score(score, positive)


class BalancedBCE(CriticalCrossEntropy):
    """Binary cross-entropy weighted by the inverse effective number of samples of each side.

    Args:
        class_counts: (C,) training samples of each class.
        critical: as in :class:`CriticalCrossEntropy`.
        beta: in [0, 1); see :func:`steelyard.functional.effective_number_weights`.
        reduction: as in :class:`Loss`.

    >>> BalancedBCE([90, 10], beta=0.9)(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.6579, 1.0101])
    """

    side_counts: Tensor

    def __init__(
        self,
        class_counts: Sequence[int] | Tensor,
        critical: Sequence[int] = (1,),
        beta: float = 0.999,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(critical, reduction)
        self.beta = check.below_one("beta", beta)
        self.register_buffer("side_counts", _side_counts(class_counts, self.critical))

    def of_score(self, score: Tensor, positive: Tensor) -> Tensor:
        """The (N,) losses, as in :class:`CriticalCrossEntropy`."""
        rest, critical = functional.effective_number_weights(self.side_counts.to(score), self.beta).unbind()
        return torch.where(positive, critical, rest) * super().of_score(score, positive)


class SquaredFalseError(CriticalCrossEntropy):
    """Mean squared error of the probability, taken on each side and added.

    The two means are over the training samples: each side is weighted by its count there, so that a batch
    without critical samples changes nothing.

    Args:
        class_counts: (C,) training samples of each class.
        critical: as in :class:`CriticalCrossEntropy`.
        reduction: as in :class:`Loss`.

    References:
        Wang, Liu, Wu, Cao, Meng, Kennedy, "Training deep neural networks on imbalanced data sets", IJCNN
        2016.

    >>> SquaredFalseError([90, 10])(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.2778, 2.5000])
    """

    side_counts: Tensor

    def __init__(
        self,
        class_counts: Sequence[int] | Tensor,
        critical: Sequence[int] = (1,),
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(critical, reduction)
        self.register_buffer("side_counts", _side_counts(class_counts, self.critical))

    def of_score(self, score: Tensor, positive: Tensor) -> Tensor:
        """The (N,) losses, as in :class:`CriticalCrossEntropy`."""
        counts = self.side_counts.to(score)
        rest, critical = (counts.sum() / counts.clamp_min(1)).unbind()
        return torch.where(positive, critical, rest) * (-towards(score, positive)).sigmoid().square()


class MiniBatchAUC(CriticalCrossEntropy):
    """Squared surrogate of the AUC over the batch's pairs, on the probability of the critical classes.

    See :func:`steelyard.functional.squared_rank_loss`. Zero in batches without one of the sides. Under
    ``torch.distributed`` the pairs are those of each rank's own batch.

    >>> logits = torch.tensor([[0.0, 9.0], [9.0, 0.0]])
    >>> MiniBatchAUC()(logits, torch.tensor([0, 1])).mean()
    tensor(3.9990)
    """

    separable = False

    def of_score(self, score: Tensor, positive: Tensor) -> Tensor:
        """The (N,) losses, as in :class:`CriticalCrossEntropy`; their mean is the mean over pairs."""
        return functional.squared_rank_loss(score.sigmoid(), positive)


def towards(score: Tensor, positive: Tensor) -> Tensor:
    """The scores, with the sign under which larger is right."""
    return torch.where(positive, score, -score)


def _side_counts(class_counts: Sequence[int] | Tensor, critical: Tensor) -> Tensor:
    """(2,) training samples of the rest and of the critical classes."""
    counts = counts_of_classes(class_counts)
    check.some_of_classes("critical", critical.tolist(), len(counts))
    chosen = counts[critical.to(counts.device)].sum()
    return torch.stack([counts.sum() - chosen, chosen])
