"""How unsure several stochastic passes over the same samples are: of N samples, from logits (passes, N, C).

Axes between the first and the last are free, so that :func:`two_class_logits` leads to the figures of every
label of a sample, (N, L). Values are in float32 at least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard.functional.per_sample import at_least_float32

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def predictive_variance(logits: Tensor) -> Tensor:
    """(N,) variances over the passes of the class probabilities, summed over the classes.

    The trace of eq. 7 of the source without the constant precision; the mean over passes divides by their
    number.

    References:
        Khan, Hayat, Zamir, Shen, Shao, "Striking the right balance with uncertainty", CVPR 2019, eq. 7.

    >>> predictive_variance(torch.tensor([[[9.0, -9.0]], [[-9.0, 9.0]]]))
    tensor([0.5000])
    """
    variance: Tensor = _passes(logits).softmax(-1).var(0, correction=0)
    return variance.sum(-1)


def predictive_entropy(logits: Tensor) -> Tensor:
    """(N,) entropies in nats of the mean over the passes of the class probabilities; at most log C.

    >>> predictive_entropy(torch.zeros(1, 1, 2))
    tensor([0.6931])
    """
    entropy: Tensor = torch.special.entr(_passes(logits).softmax(-1).mean(0))
    return entropy.sum(-1)


def mutual_information(logits: Tensor) -> Tensor:
    """(N,) entropies of the mean minus the mean entropies of the passes, in nats: what the passes differ in.

    References:
        Houlsby, Huszar, Ghahramani, Lengyel, "Bayesian active learning for classification and preference
        learning", 2011, eq. 1.

    >>> mutual_information(torch.zeros(2, 1, 2))
    tensor([0.])
    """
    each: Tensor = torch.special.entr(_passes(logits).softmax(-1))
    # Rounding may leave the difference just below 0.
    return (predictive_entropy(logits) - each.sum(-1).mean(0)).clamp_min(0)


def misclassification_probability(logits: Tensor, target: Tensor) -> Tensor:
    """Chance that another class beats the target, each difference of logits taken as Gaussian.

    ``max_{j != y} Phi(mu_j / sigma_j)`` with the mean and the variance over the passes of ``z_j - z_y``: the
    largest over the other classes, not the chance of any of them. No covariance of features is formed.

    Args:
        logits: (passes, N, C), C >= 2. Moments divide by the number of passes.
        target: (N,) class numbers; (N, L) where :func:`two_class_logits` gives the logits.

    Returns:
        In [0, 1], in the shape of ``target``; where the passes agree, 0, 1/2 or 1.

    References:
        Khan et al., CVPR 2019, eq. 12 to 14 (eq. 11 has its inequality reversed).

    >>> logits = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]])  # z_1 - z_0 is -1 and 2
    >>> misclassification_probability(logits, torch.tensor([0]))
    tensor([0.6306])
    """
    z = _passes(logits)
    place = target.long().unsqueeze(-1)
    ahead = z - z.gather(-1, place.expand(len(z), *place.shape))
    mean, spread = ahead.mean(0), ahead.var(0, correction=0).sqrt()
    score = torch.where(mean == 0, 0, mean / spread)  # 0 / 0 where the passes agree on a draw
    probability: Tensor = torch.special.ndtr(score.scatter(-1, place, -torch.inf))
    return probability.amax(-1)


def two_class_logits(logits: Tensor) -> Tensor:
    """Logits (..., L) of yes-or-no labels as logits (..., L, 2) of two classes each: without it, with it.

    What is defined for classes then is defined for every label: a softmax over the last axis gives
    ``1 - sigmoid(z)`` and ``sigmoid(z)``.

    >>> logits = two_class_logits(torch.tensor([[[0.0, 2.0]], [[0.0, -2.0]]]))  # two passes, two labels
    >>> mutual_information(logits)
    tensor([[0.0000, 0.3278]])
    """
    return torch.stack([torch.zeros_like(logits), logits], -1)


MEASURES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "variance": predictive_variance,
    "entropy": predictive_entropy,
    "mutual-information": mutual_information,
}


def _passes(logits: Tensor) -> Tensor:
    if logits.ndim < 3:
        raise check.InputError(f"expected logits of shape (passes, N, C), got {tuple(logits.shape)}.")
    return at_least_float32(logits)
