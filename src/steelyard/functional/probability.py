"""Losses beside cross-entropy that read the probabilities, and sparsemax beside softmax.

Shapes, types and errors as in :mod:`steelyard.functional.per_sample`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from steelyard import _checks as check
from steelyard.functional.per_sample import at_least_float32, cross_entropy
from steelyard.functional.simplex import project_simplex

if TYPE_CHECKING:
    from torch import Tensor


def sparsemax(logits: Tensor) -> Tensor:
    """Probabilities (..., C) nearest to the logits; unlike those of a softmax they may be exactly 0.

    References:
        Martins, Astudillo, "From softmax to sparsemax", ICML 2016, eq. 2.

    >>> sparsemax(torch.tensor([1.0, 0.8, -1.0]))
    tensor([0.6000, 0.4000, 0.0000])
    """
    return project_simplex(logits, total=1.0)


def sparsemax_loss(logits: Tensor, target: Tensor) -> Tensor:
    """What cross-entropy is to softmax: its gradient is ``sparsemax(z) - e_y``; 0 from a margin of 1 on.

    References:
        Martins, Astudillo, ICML 2016, eq. 16, written as ``(|e_y - z|^2 - |p - z|^2) / 2``.

    >>> sparsemax_loss(torch.tensor([[0.0, 0.0], [1.5, 0.0]]), torch.tensor([0, 0]))
    tensor([0.2500, 0.0000])
    """
    z = at_least_float32(logits)
    z = z - z.detach().amax(1, keepdim=True)  # the same loss, but the two terms do not cancel at large logits
    p = sparsemax(z)
    return (z * (p - _one_hot(z, target))).sum(1) + (1 - p.square().sum(1)) / 2


def squared_error(logits: Tensor, target: Tensor, normaliser: str = "softmax") -> Tensor:
    """Squared distance of the probabilities from the target's, ``|p - e_y|^2``, in [0, 2].

    ``normaliser`` makes the probabilities: ``"softmax"`` or ``"sparsemax"``.

    >>> squared_error(torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.5000])
    """
    check.one_of("normaliser", normaliser, ("softmax", "sparsemax"))
    z = at_least_float32(logits)
    p = z.softmax(1) if normaliser == "softmax" else sparsemax(z)
    return (p - _one_hot(z, target)).square().sum(1)


def generalised_cross_entropy(logits: Tensor, target: Tensor, q: float = 0.7, least: float = 0.0) -> Tensor:
    """``(1 - p^q) / q`` of ``p = max(p_y, least)``: between cross-entropy (q = 0) and the error (q = 1).

    Bounded for q > 0, so that a wrong label cannot rule a batch. ``least`` in [0, 1) truncates it: samples
    below that probability have no gradient.

    References:
        Zhang, Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels",
        NeurIPS 2018, eqs. 6 and 9.

    >>> generalised_cross_entropy(torch.zeros(1, 2), torch.tensor([0]), q=1.0)
    tensor([0.5000])
    """
    loss = cross_entropy(logits, target)
    if least > 0:
        loss = loss.clamp_max(-math.log(least))
    return loss if q == 0 else -torch.expm1(-q * loss) / q


def _one_hot(logits: Tensor, target: Tensor) -> Tensor:
    return torch.zeros_like(logits).scatter(1, target.long().unsqueeze(1), 1.0)
