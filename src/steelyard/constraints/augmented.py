"""The AUC as a constraint: every critical sample above all others, by an augmented Lagrangian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard import _ranks
from steelyard.constraints.lagrangian import AugmentedLagrangian, checked_index
from steelyard.functional import hinge_rank_sums, squared_hinge_rank_sums

if TYPE_CHECKING:
    from collections.abc import Sequence


class AUCConstraint(AugmentedLagrangian):
    r"""Asks every sample of a critical class to score above every other sample, by a margin.

    With the P positives (samples of critical classes) and N negatives of a batch and
    ``q_j = sum_k max(0, f_k - f_j + delta)`` over the negatives k of each positive j, the penalty is

        ``mu / (2 P N) * sum_j q_j^2  +  1 / (P N) * sum_j lambda_j q_j``

    and after the step ``lambda_j += mu * q_j``, one multiplier for each training sample, addressed by index.
    Where the validation score fell, ``mu`` is multiplied by ``rho``. A batch without positives or without
    negatives adds zero. Give it to :class:`steelyard.Objective` as ``constraint``, on a model that is trained
    already with the loss alone. In training under ``torch.distributed`` the pairs are those of the joint
    batch of all ranks, and all ranks keep the same multipliers.

    Args:
        num_samples: rows of the training set; every index is below it.
        critical: numbers of the classes that must not be missed; the score f is their log-odds.
        delta: >= 0, the margin, in units of the logits.
        mu: > 0, the coefficient of the quadratic penalty at the start.
        rho: >= 1, by which ``mu`` grows.
        mu_max: >= ``mu``, its limit.
        lambda_max: > 0, the limit of each multiplier, which otherwise only grows; None: none.
        normalize: ``"sum"`` as above, as the paper does: the penalty then grows with the number of negatives,
            and may explode where they are many. ``"mean"`` takes q as a mean over negatives and divides by P
            alone, so that batch size and imbalance do not matter.
        per: what has a constraint of its own. ``"positive"`` as above: prefers to lift the lowest positives,
            so to lower false alarms at high sensitivity. ``"negative"``: the same with the roles swapped.
            ``"pair"``: the squares are of single pairs, ``normalize`` makes no difference, and a positive's
            multiplier is the mean of its pairs' multipliers.
        memory: number of recent scores to compare with beside the batch; they carry no gradient.

    References:
        Sangalli, Erdil, Hoetker, Donati, Konukoglu, "Constrained optimization to train neural networks on
        critical and under-represented classes", NeurIPS 2021, eq. 8 and algorithm 1.

    >>> constraint = AUCConstraint(num_samples=3, delta=1.0, mu=0.5)
    >>> score, target, index = torch.tensor([0.0, 1.0, 0.5]), torch.tensor([0, 0, 1]), torch.arange(3)
    >>> constraint(score, target, index)  # q = 0.5 + 1.5
    (tensor(0.5000), tensor(1.))
    >>> constraint.after_step(score, target, index)
    >>> constraint.multiplier
    tensor([0., 0., 1.])
    """

    violation_is = "mean hinge over pairs"

    def __init__(  # noqa: PLR0913 - each is a setting of the method
        self,
        num_samples: int,
        critical: Sequence[int] = (1,),
        delta: float = 1.0,
        *,
        mu: float = 0.2,
        rho: float = 3.0,
        mu_max: float = 10.0,
        lambda_max: float | None = None,
        normalize: Literal["sum", "mean"] = "sum",
        per: Literal["positive", "negative", "pair"] = "positive",
        memory: int = 0,
    ) -> None:
        super().__init__(critical, mu, rho, mu_max, memory)
        self.delta = check.at_least("delta", delta, 0)
        self.lambda_max = None if lambda_max is None else check.positive("lambda_max", lambda_max)
        self.normalize = check.one_of("normalize", normalize, ("sum", "mean"))
        self.per = check.one_of("per", per, ("positive", "negative", "pair"))
        self.register_buffer("multiplier", torch.zeros(check.whole("num_samples", num_samples, 1)))

    def forward(self, logits: Tensor, target: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
        """The penalty, and the violation: the mean over pairs of ``max(0, f_k - f_j + delta)``, no gradient.

        Args:
            logits: (N, C), or (N, C, ...) with pixels as samples, or the scores f themselves.
            target: (N,) or (N, ...) class numbers; for scores 1 for a positive, 0 for a negative.
            index: (N,) rows of the samples in the training set; or as ``target``. Pixels that share an index
                share a multiplier, which grows by the mean over them.

        Raises:
            InputError: if shapes do not fit, or without index.
            TypeError: on logits that are no floating numbers, or targets that are.
        """
        score, label, _ = self._rows(logits, target, checked_index(logits, target, index))
        hinge, square, share = self._hinges(score, label)
        multiplier = self.multiplier.gather(0, label[:, 1].clamp_min(0)).to(hinge)
        penalty = share * (self.mu / 2 * square + multiplier * hinge).sum()
        if self.training:
            penalty = _ranks.with_joint_gradient(penalty)
        return penalty, share * hinge.detach().sum()

    @torch.no_grad()
    def after_step(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> None:
        """Let the multipliers of the batch grow by what the penalty saw, and keep the batch's scores."""
        score, label, batch = self._rows(logits, target, checked_index(logits, target, index))
        hinge, _, share = self._hinges(score, label)
        self.violations += torch.stack([share * hinge.sum(), share.new_ones(())])
        score, label, hinge = score[:batch], label[:batch], hinge[:batch].to(self.multiplier)
        row = label[:, 1]
        times = torch.zeros_like(self.multiplier).index_add_(0, row, self._is_anchor(label).to(hinge))
        growth = torch.zeros_like(self.multiplier).index_add_(0, row, self.mu * hinge)
        self.multiplier += growth / times.clamp_min(1)
        if self.lambda_max is not None:
            self.multiplier.clamp_(max=self.lambda_max)
        if self.memory:
            self._remember(score, label)

    def _hinges(self, score: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What each anchor violates and its square, (M,), 0 elsewhere; and the factor of their sums."""
        anchor, other = self._is_anchor(label), label[:, 0] == (self.per == "negative")
        s = -score if self.per == "negative" else score
        hinge = hinge_rank_sums(s, s, self.delta, weight=other) * anchor
        anchors, others = anchor.sum().to(hinge), other.sum().to(hinge).clamp_min(1)
        if self.per == "pair":
            square = squared_hinge_rank_sums(s, s, self.delta, weight=other) * anchor
            return hinge / others, square / others, 1 / anchors.clamp_min(1)
        if self.normalize == "mean":
            hinge, others = hinge / others, others.new_ones(())
        return hinge, hinge.square(), 1 / (anchors.clamp_min(1) * others)

    def _is_anchor(self, label: Tensor) -> Tensor:
        return label[:, 0] == (self.per != "negative")

    def extra_repr(self) -> str:
        """The settings."""
        return f"delta={self.delta}, rho={self.rho}, normalize={self.normalize!r}, per={self.per!r}"
