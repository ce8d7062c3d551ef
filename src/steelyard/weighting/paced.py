"""Self-paced learning: samples with small losses first, the others epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from steelyard import _checks as check
from steelyard.weighting.quantile import RunningQuantile
from steelyard.weighting.weighting import Weighting

if TYPE_CHECKING:
    from torch import Tensor

    from steelyard.records import Signal


class SelfPacedWeighting(Weighting):
    """Self-paced learning: trains on samples whose loss is small, and on more of them in every epoch.

    The weights lie in [0, 1] and are not normalised, as in the papers: a batch's loss is the sum of ``w l``
    over its size. Where no sample of a batch is let in, loss and gradient are 0. Epochs are told by
    ``start_epoch``; without it the pace stays that of the first.

    Args:
        kind: ``"hard"`` gives ``w = 1`` where ``l <= threshold``, else 0; ``"linear"`` gives
            ``w = max(0, 1 - l / threshold)``.
        quantile: in (0, 1], share of the samples that the first epoch lets in: the threshold is this quantile
            of the losses, averaged over recent batches. Once the share has grown to 1, all weights are 1.
        threshold: > 0, in units of the loss: the first epoch's threshold itself, instead of a quantile.
        growth: >= 1, factor by which share or threshold grows from each epoch to the next.

    References:
        Kumar, Packer, Koller, "Self-paced learning for latent variable models", NIPS 2010 (hard, by
        threshold). Jiang, Meng, Mitamura, Hauptmann, "Easy samples first: self-paced reranking for
        zero-example multimedia search", ACM Multimedia 2014 (linear).

    >>> from steelyard.records import Signal
    >>> loss, target = torch.tensor([0.5, 1.0, 4.0]), torch.tensor([0, 1, 0])
    >>> SelfPacedWeighting("linear", threshold=2.0)(Signal(loss, None, torch.zeros(3, 2), target, None))
    tensor([0.7500, 0.5000, 0.0000])
    """

    pace: Tensor

    def __init__(
        self,
        kind: Literal["hard", "linear"] = "hard",
        quantile: float = 0.5,
        threshold: float | None = None,
        growth: float = 1.05,
    ) -> None:
        super().__init__()
        self.kind = check.one_of("kind", kind, ("hard", "linear"))
        quantile = check.between("quantile", check.positive("quantile", quantile), 0, 1)
        self.start = quantile if threshold is None else float(check.positive("threshold", threshold))
        self.growth = check.at_least("growth", growth, 1)
        self.recent = RunningQuantile() if threshold is None else None
        self.register_buffer("pace", torch.tensor(self.start))  # share or threshold of this epoch

    def start_epoch(self, epoch: int, epochs: int) -> None:  # noqa: ARG002 - the pace knows no end
        """Grow; ``epoch`` counts from 0."""
        self.pace.fill_(self.start).mul_(torch.tensor(self.growth).pow(epoch))  # overflows to inf: all are in

    def forward(self, signal: Signal) -> Tensor:
        """(N,) weights in [0, 1], without gradient."""
        threshold = self.pace.to(signal.loss)
        if self.recent is not None:
            quantile = self.recent(signal.loss, threshold.clamp(max=1))
            threshold = quantile.where(threshold < 1, torch.inf)
        if self.kind == "hard":
            return (signal.loss <= threshold).to(signal.loss)
        return (1 - signal.loss / threshold).clamp_min(0)

    def extra_repr(self) -> str:
        """The settings, as they were given."""
        what = "quantile" if self.recent is not None else "threshold"
        return f"{self.kind!r}, {what}={self.start}, growth={self.growth}"
