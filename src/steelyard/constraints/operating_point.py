"""An operating point as a constraint: few false alarms where so many critical samples are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard import _ranks
from steelyard.constraints.lagrangian import AugmentedLagrangian, checked_index
from steelyard.functional import hinge_fpr_at_tpr

if TYPE_CHECKING:
    from collections.abc import Sequence


class FalseAlarmConstraint(AugmentedLagrangian):
    r"""Asks for a false positive rate of at most ``fpr`` at a true positive rate of at least ``tpr``.

    With t the largest threshold that finds the share ``tpr`` of the positives (samples of critical classes),
    and the N negatives k of a batch, the constraint is

        ``g = 1/N * sum_k max(0, 1 + (f_k - t) / delta) - fpr <= 0``

    of which the sum counts every false alarm at least once. The penalty is that of an augmented Lagrangian
    for an inequality with one multiplier,

        ``(max(0, lambda + mu * g)^2 - lambda^2) / (2 mu)``

    and after the step ``lambda = max(0, lambda + mu * g)``: it falls again where more than the demand is met.
    Where the validation score fell, ``mu`` is multiplied by ``rho``. Where a side has no sample, the penalty
    is zero. Give it to :class:`steelyard.Objective` as ``constraint``. In training under
    ``torch.distributed`` the batch is the joint batch of all ranks.

    Args:
        critical: numbers of the classes that must not be missed; the score f is their log-odds.
        fpr: in [0, 1], the share of negatives that may be false alarms.
        tpr: in (0, 1], the share of positives to be found.
        delta: > 0, in units of the logits; a negative that is that far below the threshold costs nothing.
        mu: > 0, the coefficient of the penalty at the start.
        rho: >= 1, by which ``mu`` grows.
        mu_max: >= ``mu``, its limit.
        lambda_max: > 0, the limit of the multiplier; None: none.
        memory: number of recent scores that count beside those of the batch; they carry no gradient. A batch
            of fewer than ``1 / (1 - tpr)`` positives must find all of its own, which asks for more than
            ``tpr``; the memory corrects that, but training is slower, as fewer of the scores learn.

    References:
        Rockafellar, "A dual approach to solving nonlinear programming problems by unconstrained
        optimization", Mathematical Programming, 1973: the augmented Lagrangian of an inequality.

    >>> constraint = FalseAlarmConstraint(fpr=0.1, tpr=1.0, mu=1.0)
    >>> score, target = torch.tensor([1.0, 0.5, -3.0]), torch.tensor([1, 0, 0])
    >>> constraint(score, target)  # g = (0.5 + 0) / 2 - 0.1
    (tensor(0.0113), tensor(0.1500))
    >>> constraint.after_step(score, target)
    >>> constraint.multiplier
    tensor(0.1500)
    """

    violation_is = "false alarms above the demand"

    def __init__(  # noqa: PLR0913 - each is a setting of the method
        self,
        critical: Sequence[int] = (1,),
        fpr: float = 0.1,
        tpr: float = 0.95,
        *,
        delta: float = 1.0,
        mu: float = 1.0,
        rho: float = 2.0,
        mu_max: float = 10.0,
        lambda_max: float | None = None,
        memory: int = 0,
    ) -> None:
        super().__init__(critical, mu, rho, mu_max, memory)
        self.fpr = check.between("fpr", fpr, 0, 1)
        self.tpr = check.between("tpr", check.positive("tpr", tpr), 0, 1)
        self.delta = check.positive("delta", delta)
        self.lambda_max = None if lambda_max is None else check.positive("lambda_max", lambda_max)
        self.register_buffer("multiplier", torch.tensor(0.0))

    def forward(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The penalty, and the violation ``max(0, g)`` without gradient.

        Args:
            logits: (N, C), or (N, C, ...) with pixels as samples, or the scores f themselves.
            target: (N,) or (N, ...) class numbers; for scores 1 for a positive, 0 for a negative.
            index: (N,) rows of the samples in the training set, or as ``target``; not needed without memory.

        Raises:
            InputError: if shapes do not fit, or without an index that is needed.
            TypeError: on logits that are no floating numbers, or targets that are.
        """
        excess, both = self._excess(*self._labelled(logits, target, index))
        slope = (self.multiplier + self.mu * excess).relu()
        penalty = both * (slope.square() - self.multiplier.square()) / (2 * self.mu)
        if self.training:
            penalty = _ranks.with_joint_gradient(penalty)
        return penalty, excess.detach().relu()

    @torch.no_grad()
    def after_step(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> None:
        """Move the multiplier by what the penalty saw, and keep the batch's scores."""
        score, label, batch = self._labelled(logits, target, index)
        excess, _ = self._excess(score, label, batch)
        self.violations += torch.stack([excess.relu(), excess.new_ones(())])
        self.multiplier.add_(self.mu * excess).clamp_(min=0, max=self.lambda_max)
        if self.memory:
            self._remember(score[:batch], label[:batch])

    def _labelled(self, logits: Tensor, target: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor, int]:
        if index is None and not self.memory:
            index = torch.zeros_like(target)
        return self._rows(logits, target, checked_index(logits, target, index))

    def _excess(self, score: Tensor, label: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """By how much the bound of the false alarms exceeds ``fpr``, and whether both sides are there."""
        side, row = label.unbind(1)
        older = torch.isin(row[batch:], row[:batch])  # a sample of the batch has no second, older score
        side = torch.cat([side[:batch], side[batch:].masked_fill(older, -1)])
        positive, negative = side == 1, side == 0
        rate = hinge_fpr_at_tpr(score, positive, negative, self.tpr, self.delta)
        both = (positive.any() & negative.any()).to(rate)
        return both * (rate - self.fpr), both

    def extra_repr(self) -> str:
        """The settings."""
        return f"fpr={self.fpr}, tpr={self.tpr}, delta={self.delta}, rho={self.rho}, memory={self.memory}"
