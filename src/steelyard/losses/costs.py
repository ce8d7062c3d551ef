"""Cross-entropy whose costs between classes are learned beside the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard import functional
from steelyard._features import LastInput
from steelyard._ranks import joint_rows
from steelyard.functional.per_sample import at_least_float32
from steelyard.losses.features import needed
from steelyard.losses.loss import CountedLoss, Reduction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

LEAST_COST = 1e-3  # a cost of zero would take a class out of the softmax
_SLOWER = 0.01  # by which the rate of the costs shrinks when they made the validation worse


class CostSensitive(CountedLoss):
    """Cross-entropy of logits that are raised by the log-costs of taking the target's class for another.

    The (C, C) costs start at 1, which is cross-entropy. At the start of each later epoch they move towards a
    target that is lower for a rare class itself than for taking it for a frequent one; how much depends on
    how well the classes are parted in the features, and on how often they are confused, both seen in the
    batches of the epoch before. Costs after which the validation score fell are taken back, and move
    slower from then on. They are used in training alone: predictions are the model's own.

    In a loop of your own call ``objective.start_epoch``, ``after_step`` and, if you have validation samples,
    ``after_validation``.

    Args:
        class_counts: as in :class:`CountedLoss`.
        model: whose features are looked at; as in :class:`FeatureLoss`.
        rate: in [0, 0.5], of the costs' gradient steps; 0 is cross-entropy, 0.5 goes to the target at once.
        reduction: as in :class:`Loss`.

    References:
        Khan, Hayat, Bennamoun, Sohel, Togneri, "Cost-sensitive learning of deep feature representations from
        imbalanced data", IEEE TNNLS 2018.

    >>> loss = CostSensitive([90, 10], torch.nn.Linear(4, 2))
    >>> loss(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor([0.6931, 0.6931])
    """

    costs: Tensor
    before: Tensor
    rate: Tensor
    score: Tensor
    confused: Tensor
    ratios: Tensor
    compared: Tensor

    def __init__(
        self,
        class_counts: Sequence[int] | Tensor,
        model: nn.Module | None,
        rate: float = 0.1,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(class_counts, reduction)
        self.features = LastInput(needed(model, type(self).__name__))
        size = (len(self.class_counts),) * 2
        self.register_buffer("costs", torch.ones(size))
        self.register_buffer("before", torch.ones(size))  # the costs to go back to
        self.register_buffer("rate", torch.tensor(check.between("rate", rate, 0, 0.5)))
        self.register_buffer("score", torch.tensor(-torch.inf))  # of the last validation
        self.register_buffer("confused", torch.zeros(size))  # samples of p that were taken for q
        self.register_buffer("ratios", torch.zeros(size))  # sums of separability, and how many
        self.register_buffer("compared", torch.zeros(size))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """The (N,) losses."""
        return functional.cross_entropy(self._raised(logits, target), target)

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The closed form: that of cross-entropy at the raised logits."""
        return functional.cross_entropy_and_grad(self._raised(logits, target), target)

    def start_epoch(self, epoch: int, epochs: int) -> None:  # noqa: ARG002 - a hook
        """Move the costs by what the batches since the last call showed."""
        self.before.copy_(self.costs)
        moved = self.costs - self.rate * 2 * (self.costs - self.aim())
        self.costs.copy_(moved.clamp_min(LEAST_COST).where(self.confused.sum() > 0, self.costs))
        for seen in (self.confused, self.ratios, self.compared):
            seen.zero_()

    def aim(self) -> Tensor:
        """(C, C) the costs' target: ``max(h_p, h_q)`` times two bell curves; on the diagonal ``h_p``.

        h are the class counts relative to the largest. The curves are of separability and of confusion of p
        and q; each has its top at the largest over all pairs, and that for deviation.
        """
        share = self.class_counts.clamp_min(1).to(self.costs)
        share = share / share.max()
        confusion = self.confused / self.confused.sum(1, keepdim=True).clamp_min(1)
        parted = self.ratios / self.compared.clamp_min(1)
        return torch.maximum(share.unsqueeze(1), share) * _bell(confusion) * _bell(parted)

    @torch.no_grad()
    def after_step(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> None:  # noqa: ARG002 - a hook
        """Count confusions and separability in the step's samples, of all ranks."""
        features, _ = joint_rows(self.features.rows(len(target)))
        label = joint_rows(target)[0].long()
        decision = joint_rows(logits)[0].argmax(1)
        ones = torch.ones(len(label), device=label.device).to(self.confused)
        self.confused.index_put_((label, decision), ones, accumulate=True)
        sums, counts = functional.separability(features, label, len(self.class_counts))
        self.ratios += sums
        self.compared += counts

    def after_validation(self, score: float) -> None:
        """Take the costs of this epoch back if the validation score fell; refuse a score of NaN."""
        check.known("the validation score", score)
        worse = self.score > score
        self.costs.copy_(self.before.where(worse, self.costs))
        self.rate.mul_(torch.ones_like(self.rate).where(~worse, _SLOWER))
        self.score.copy_(self.score.where(worse, score))

    def extra_repr(self) -> str:
        """The rate at the start is a buffer; nothing else is set."""
        return f"classes={len(self.class_counts)}"

    def _raised(self, logits: Tensor, target: Tensor) -> Tensor:
        z = at_least_float32(logits)
        return z + self.costs.log().to(z)[target.long()]


def _bell(values: Tensor) -> Tensor:
    """``exp(-(v - top)^2 / (2 top^2))`` of ``values`` (C, C) >= 0, whose top is off the diagonal; there 1."""
    same = torch.eye(len(values), dtype=torch.bool, device=values.device)
    top = values.where(~same, 0).max()
    below = (1 - values / top.clamp_min(torch.finfo(values.dtype).tiny)).where(~same & (top > 0), 0)
    return (-below.square() / 2).exp()
