"""Importance sampling: spend the steps on the samples that move the model most, and stay unbiased."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from steelyard import _checks as check
from steelyard.weighting.weighting import Weighting

if TYPE_CHECKING:
    from torch import Tensor

    from steelyard.records import Signal


class ImportanceSampling(Weighting):
    """Importance sampling: draws each batch from a larger one in proportion to the logit gradients' norms.

    Of ``presample * N`` uniform candidates, scored in one forward pass without gradient, N are drawn with
    replacement with probabilities p, and weighted by ``1 / (presample * N * p)``: the weighted mean loss is
    an unbiased estimate of the candidates' mean. It begins once that pays: when ``tau``, the paper's estimate
    of the growth of a uniform batch that would save as much variance, exceeds ``threshold``. Before, a batch
    is its first N candidates, which over an epoch are all samples once, in the order of plain training.

    An epoch has as many steps as any other method's, and each step one more forward pass, over all
    candidates; before the threshold is passed too, because ``tau`` is measured on them.

    Args:
        presample: >= 2, candidates for each sample of a batch.
        threshold: >= 1, of ``tau``; by default ``(presample + 3) / 3``, from which on the method is sure to
            pay if a backward pass costs two forward passes.
        momentum: in [0, 1], the share that stays of the former ``tau`` at each step.

    References:
        Katharopoulos, Fleuret, "Not all samples are created equal: deep learning with importance sampling",
        ICML 2018, algorithm 1. There the candidates are scored only once sampling has begun.
    """

    tau: Tensor

    def __init__(self, presample: int = 3, threshold: float | None = None, momentum: float = 0.9) -> None:
        super().__init__()
        self.presample = check.whole("presample", presample, 2)
        default = (presample + 3) / 3
        self.threshold = default if threshold is None else check.at_least("threshold", threshold, 1)
        self.momentum = check.between("momentum", momentum, 0, 1)
        self.register_buffer("tau", torch.zeros(()))

    def choose(self, grad_sq_norm: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a batch from its candidates, and learn from them whether drawing pays.

        Args:
            grad_sq_norm: (presample * N,) of the candidates.
            generator: on their device.

        Returns:
            (N,) rows of the candidates, and (N,) the weight that makes up for how they were drawn.
        """
        probability = _probability(grad_sq_norm)
        candidates = len(probability)
        n = candidates // self.presample
        rows = torch.multinomial(probability, n, replacement=True, generator=generator)
        importance = 1 / (candidates * probability[rows])
        begun = self.tau > self.threshold
        self.tau.lerp_(_variance_ratio(probability).to(self.tau), 1 - self.momentum)
        first = torch.arange(n, device=rows.device)
        return rows.where(begun, first), importance.where(begun, 1.0)

    def forward(self, signal: Signal) -> Tensor:
        """(N,) ones: what was drawn unequally is weighted by what :meth:`choose` returned."""
        return torch.ones_like(signal.loss)

    def extra_repr(self) -> str:
        """The settings."""
        return f"presample={self.presample}, threshold={self.threshold:.4g}, momentum={self.momentum}"


def _probability(grad_sq_norm: Tensor) -> Tensor:
    """Proportional to the norms; uniform where they are all 0, or broken, so that the loss shows it."""
    norm = grad_sq_norm.sqrt().clamp_min(torch.finfo(grad_sq_norm.dtype).tiny)
    norm = norm.where(norm.isfinite().all(), 1.0)
    return norm / norm.sum()


def _variance_ratio(probability: Tensor) -> Tensor:
    """``tau`` of the paper, which for probabilities p of n candidates is ``sqrt(n * sum p^2)``, at least 1.

    It defines ``1 / tau`` as the root of ``1 - ||p - 1/n||^2 / sum p^2``, where ``||p - 1/n||^2`` is
    ``sum p^2 - 1/n``.
    """
    return (len(probability) * probability.square().sum()).sqrt()
