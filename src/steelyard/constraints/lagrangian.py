"""What the constraints share: the coefficient of the penalty, the scores of a batch, recent scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard import _ranks
from steelyard.functional import critical_scores
from steelyard.hooks import ObjectivePart
from steelyard.records import LoggedValue

if TYPE_CHECKING:
    from collections.abc import Sequence


class AugmentedLagrangian(ObjectivePart):
    """A constraint on the scores of critical samples against those of the rest; its forms derive from it.

    A form gives the penalty and keeps the multipliers. This part keeps ``mu``, which grows by ``rho`` up to
    ``mu_max`` where the validation score fell, and the pool of the ``memory`` scores seen last.
    """

    violation_is: str  # what a form calls its violation, in the words of a title

    critical: Tensor
    multiplier: Tensor  # of whatever shape the form gives it
    mu: Tensor
    last_score: Tensor
    violations: Tensor
    pool_score: Tensor
    pool_label: Tensor
    pool_next: Tensor

    def __init__(self, critical: Sequence[int], mu: float, rho: float, mu_max: float, memory: int) -> None:
        super().__init__()
        self.rho = check.at_least("rho", rho, 1)
        self.mu_max = check.at_least("mu_max", mu_max, check.positive("mu", mu))
        self.memory = check.whole("memory", memory, 0)
        self.register_buffer("critical", torch.tensor(check.class_numbers("critical", critical)))
        self.register_buffer("mu", torch.tensor(float(mu)))
        self.register_buffer("last_score", torch.tensor(-torch.inf))
        self.register_buffer(
            "violations", torch.zeros(2)
        )  # their sum since values were logged last, and of how many steps
        self.register_buffer("pool_score", torch.zeros(memory))
        self.register_buffer("pool_label", torch.full((memory, 2), -1))  # positive, index; -1: empty
        self.register_buffer("pool_next", torch.tensor(0))

    @torch.no_grad()
    def after_validation(self, score: float) -> None:
        """Raise ``mu`` where ``score``, larger is better, is below that of the validation before.

        Raises:
            InputError: if the score is NaN, below which no other falls.
        """
        check.known("the validation score", score)
        factor = torch.where(score < self.last_score, self.rho, 1.0)
        self.mu.mul_(factor).clamp_(max=self.mu_max)
        self.last_score.fill_(score)

    def values_to_log(self) -> dict[str, LoggedValue]:
        """The mean violation since the last call, the mean multiplier above 0, and ``mu``."""
        total, steps = self.violations.unbind()
        mean = self.multiplier.sum() / self.multiplier.count_nonzero().clamp_min(1)
        violation, multiplier, mu = torch.stack([total / steps.clamp_min(1), mean, self.mu]).tolist()
        self.violations.zero_()
        what = f"Violation of the constraint on training samples: {self.violation_is}"
        return {
            "violation": LoggedValue(violation, what),
            "multiplier": LoggedValue(multiplier, "Mean multiplier (lambda) of the samples that have one"),
            "mu": LoggedValue(mu, "Coefficient of the quadratic penalty (mu)"),
        }

    def _rows(self, logits: Tensor, target: Tensor, index: Tensor) -> tuple[Tensor, Tensor, int]:
        """Scores (M,) and labels (M, 2), positive and index, of the joint batch, then of the pool.

        Also the number of those of the joint batch. The gradient flows to this rank's own scores. ``index``
        is as :func:`checked_index` gives it.
        """
        if logits.ndim > target.ndim:
            score, positive = critical_scores(logits, target, self.critical)
        else:
            score, positive = logits, target.bool()
        score, label = score.flatten(), torch.stack([positive.long().flatten(), index.long().flatten()], 1)
        if self.training:
            scores, own = _ranks.joint_rows(score)
            score = torch.cat([scores[: own.start], score, scores[own.stop :]])
            label, _ = _ranks.joint_rows(label)
        batch = len(score)
        if self.memory:
            score = torch.cat([score, self.pool_score.to(score)])
            label = torch.cat([label, self.pool_label])
        return score, label, batch

    def _remember(self, score: Tensor, label: Tensor) -> None:
        """Put the last of the rows of a joint batch into the pool, over the oldest there."""
        score, label = score[-self.memory :], label[-self.memory :]
        place = (self.pool_next + torch.arange(len(score), device=score.device)) % self.memory
        self.pool_score.index_copy_(0, place, score.to(self.pool_score))
        self.pool_label.index_copy_(0, place, label)
        self.pool_next.add_(len(score)).remainder_(self.memory)


def checked_index(logits: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
    """The index of each sample, in the shape of ``target``; looks at no value.

    Raises:
        InputError: if the shapes do not fit, or without index.
        TypeError: on logits that are no floating numbers, or targets that are.
    """
    if logits.shape != target.shape and logits.shape[:1] + logits.shape[2:] != target.shape:
        raise check.InputError(
            "expected logits (N, C, ...) and target (N, ...), or scores and target of the same shape, "
            f"got {tuple(logits.shape)} and {tuple(target.shape)}."
        )
    if not logits.is_floating_point() or target.is_floating_point():
        raise TypeError(
            "expected logits of a floating type and target of class numbers (int64), "
            f"got {logits.dtype} and {target.dtype}."
        )
    if index is None or index.shape not in (target.shape, target.shape[:1]):
        got = "none" if index is None else str(tuple(index.shape))
        raise check.InputError(
            "the constraint remembers training samples: expected index, their rows in the training set, of "
            f"shape {tuple(target.shape[:1])}, got {got}."
        )
    more = target.ndim - index.ndim
    return index.view(-1, *[1] * more).expand(target.shape) if more else index
