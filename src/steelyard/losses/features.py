"""Losses that look at the features too: cross-entropy plus a penalty of the last linear layer's input.

Each holds on to the model that it is given and reads the features of its last forward pass; so the logits
have to be those of that pass, as they are in every training loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard import functional
from steelyard._features import LastInput
from steelyard._ranks import joint_rows
from steelyard.functional.per_sample import at_least_float32
from steelyard.losses.loss import Loss, Reduction

if TYPE_CHECKING:
    from torch import nn


class FeatureLoss(Loss):
    """Cross-entropy plus a penalty of the features; a subclass defines :meth:`penalty`.

    Args:
        model: whose logits the loss sees; it has to end in a linear layer, or to name one ``last_linear``.
        reduction: as in :class:`Loss`.
    """

    separable = (
        False  # the penalty's gradient passes the logits by, so that no sample has all of its own there
    )

    def __init__(self, model: nn.Module | None, reduction: Reduction = "none") -> None:
        super().__init__(reduction)
        self.features = LastInput(needed(model, type(self).__name__))

    def penalty(self, features: Tensor, target: Tensor, num_classes: int) -> Tensor:
        """(N,), or a scalar that every sample shares; ``features`` (N, D) are float32 at least."""
        raise NotImplementedError(
            f"{type(self).__name__} must define penalty(features, target, num_classes)."
        )

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        loss = functional.cross_entropy(logits, target)
        features = at_least_float32(self.features.rows(len(target)))
        return loss + self.penalty(features, target, logits.shape[1]).to(loss)


class CenterLoss(FeatureLoss):
    """Cross-entropy plus a price of the features' distance from their class's center.

    The price is ``strength`` times half the squared distance. The centers start at 0 and follow the features:
    a step moves each by ``rate`` towards its samples. They are a buffer; call
    ``objective.after_step(logits, target)`` after each step of a loop of your own.

    Args:
        model: as in :class:`FeatureLoss`.
        num_classes: C.
        strength: >= 0; 0 is cross-entropy. In units of 1 / squared distance.
        rate: in [0, 1]; 0 leaves the centers where they are.
        reduction: as in :class:`Loss`.

    References:
        Wen, Zhang, Li, Qiao, "A discriminative feature learning approach for deep face recognition", ECCV
        2016.

    >>> model = torch.nn.Linear(2, 2)
    >>> loss = CenterLoss(model, num_classes=2, strength=0.1)
    >>> logits = 0 * model(torch.tensor([[3.0, 4.0]]))
    >>> loss(logits, torch.tensor([0])).detach()  # log 2 + 0.1 * 25 / 2
    tensor([1.9431])
    """

    centers: Tensor

    def __init__(
        self,
        model: nn.Module | None,
        num_classes: int,
        strength: float = 0.003,
        rate: float = 0.5,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, reduction)
        check.whole("num_classes", num_classes, 2)
        self.strength = check.at_least("strength", strength, 0)
        self.rate = check.between("rate", rate, 0, 1)
        self.register_buffer("centers", torch.zeros(num_classes, self.features.size))

    def penalty(self, features: Tensor, target: Tensor, num_classes: int) -> Tensor:  # noqa: ARG002 - of the centers
        """(N,) weighted distances."""
        return self.strength * functional.center_distance(features, target, self.centers)

    @torch.no_grad()
    def after_step(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> None:  # noqa: ARG002 - a hook
        """Move the centers towards the features of the step, of all ranks."""
        features, _ = joint_rows(self.features.rows(len(target)))
        label, _ = joint_rows(target)
        self.centers.copy_(functional.moved_centers(features, label, self.centers, self.rate))

    def extra_repr(self) -> str:
        """Strength and rate."""
        return f"strength={self.strength}, rate={self.rate}"


class RangeLoss(FeatureLoss):
    """Cross-entropy plus a price of wide classes and one of near classes, in the batch's features.

    Every sample of the batch has the same penalty: ``within`` times the sum over classes of the harmonic
    mean of the ``k`` largest squared distances in the class, and ``between`` times what the squared distance
    of the two nearest class means lacks of ``margin``. Under several processes each looks at its own batch.

    Args:
        model: as in :class:`FeatureLoss`.
        within: >= 0.
        between: >= 0; 0 with ``within`` = 0 is cross-entropy.
        margin: >= 0, a squared distance.
        k: >= 1, pairs of a class that count.
        reduction: as in :class:`Loss`.

    References:
        Zhang, Fang, Wen, Li, Qiao, "Range loss for deep face recognition with long-tailed training data",
        ICCV 2017.

    >>> model = torch.nn.Linear(1, 2)
    >>> loss = RangeLoss(model, within=0.1, between=0.01, margin=20.0)
    >>> logits = 0 * model(torch.tensor([[0.0], [2.0], [5.0]]))
    >>> loss(logits, torch.tensor([0, 0, 1])).detach()  # log 2 + 0.1 * 4 + 0.01 * (20 - 4^2)
    tensor([1.1331, 1.1331, 1.1331])
    """

    def __init__(
        self,
        model: nn.Module | None,
        within: float = 5e-5,
        between: float = 1e-4,
        margin: float = 2e4,
        k: int = 2,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, reduction)
        self.within = check.at_least("within", within, 0)
        self.between = check.at_least("between", between, 0)
        self.margin = check.at_least("margin", margin, 0)
        self.k = check.whole("k", k, 1)

    def penalty(self, features: Tensor, target: Tensor, num_classes: int) -> Tensor:
        """The scalar that all samples share."""
        wide = functional.widest_ranges(features, target, num_classes, self.k).sum()
        near = self.margin - functional.nearest_centers(features, target, num_classes)
        return self.within * wide + self.between * near.clamp_min(0)

    def extra_repr(self) -> str:
        """Both prices, margin and k."""
        return f"within={self.within}, between={self.between}, margin={self.margin}, k={self.k}"


def needed(model: nn.Module | None, loss: str) -> nn.Module:
    """``model``, refused if there is none."""
    if model is None:
        raise check.InputError(f"{loss} reads the features of the model; give it the one that is trained.")
    return model
