"""Classification losses of one value per sample, and what they make of class counts.

Everywhere: ``logits`` (N, C) floating, ``target`` (N,) class numbers in 0..C-1, ``class_counts`` (C,) numbers
of training samples; losses are (N,), computed in float32 at least. A target outside 0..C-1 is an error that
torch raises (on CUDA as a device-side assertion), never a silent value.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch user knows
from torch import Tensor

NO_LABEL = torch.iinfo(torch.int64).min  # torch ignores the label -100 by default; here no label is ignored


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32, or itself where that is its type or a wider one."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Softmax cross-entropy, ``-log p_y``.

    >>> cross_entropy(torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.6931])
    """
    z = at_least_float32(logits)
    return F.cross_entropy(z, target.long(), reduction="none", ignore_index=NO_LABEL)


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of independent yes-or-no labels, summed over the labels of each sample.

    ``logits`` and ``target`` in [0, 1] are (N,), or (N, L) for L labels.

    >>> binary_cross_entropy(torch.zeros(1, 2), torch.tensor([[0, 1]]))
    tensor([1.3863])
    """
    z = at_least_float32(logits)
    loss = F.binary_cross_entropy_with_logits(z, target.to(z), reduction="none")
    return loss.sum(1) if loss.ndim > 1 else loss


def binary_margin_cross_entropy(logits: Tensor, target: Tensor, margin: Tensor) -> Tensor:
    """Binary cross-entropy of each label after its logit is moved by a margin against the truth, summed.

    ``logits`` and ``target`` of 0 and 1 are (N, L). ``margin`` >= 0, in units of the logits, is (L,), one a
    label, or (N, L). With y = 1 where a label is there and -1 where it is not, the loss is
    ``sum_l log(1 + exp(margin_l - y_l z_l))``; margin 0 is :func:`binary_cross_entropy`.

    The additive margin in its binary form: what :func:`ldam` is to cross-entropy.

    >>> logits, margin = torch.tensor([[0.5, -1.0]]), torch.tensor([0.5, 1.0])
    >>> binary_margin_cross_entropy(logits, torch.tensor([[1, 0]]), margin)
    tensor([1.3863])
    """
    y = target.to(at_least_float32(logits))
    return binary_cross_entropy(logits + margin * (1 - 2 * y), y)


def weighted_cross_entropy(logits: Tensor, target: Tensor, class_weight: Tensor) -> Tensor:
    """Cross-entropy times the weight (C,) of the target's class.

    >>> weighted_cross_entropy(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([1.0, 10.0]))
    tensor([6.9315])
    """
    return class_weight[target.long()] * cross_entropy(logits, target)


def focal(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss, ``-(1 - p_y)^gamma log p_y``, gamma >= 0.

    Value and gradient are finite at p_y = 0 and 1 for any gamma, also below 1.

    References:
        Lin, Goyal, Girshick, He, Dollar, "Focal loss for dense object detection", ICCV 2017, eq. 4.

    >>> focal(torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.1733])
    """
    return focal_of_cross_entropy(cross_entropy(logits, target), gamma)


def focal_of_cross_entropy(loss: Tensor, gamma: float) -> Tensor:
    """The focal loss that belongs to a cross-entropy ``-log p_y`` of any shape."""
    return _error_probability(loss).pow(gamma) * loss


def focal_slope(loss: Tensor, gamma: float) -> Tensor:
    """Derivative of :func:`focal_of_cross_entropy` with respect to the cross-entropy."""
    error = _error_probability(loss)
    return error.pow(gamma) + gamma * error.pow(gamma - 1) * loss * (-loss).exp()


def _error_probability(loss: Tensor) -> Tensor:
    """``1 - p_y`` without cancellation; kept off 0, where its power below 1 has no derivative."""
    return (-torch.expm1(-loss)).clamp_min(torch.finfo(loss.dtype).tiny)


def logit_adjusted(logits: Tensor, target: Tensor, log_prior: Tensor, tau: float = 1.0) -> Tensor:
    """Cross-entropy of ``logits + tau * log_prior``, with the (C,) logarithms of the classes' frequencies.

    References:
        Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, eq. 10.

    >>> logit_adjusted(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([0.9, 0.1]).log())
    tensor([2.3026])
    """
    return cross_entropy(logits + tau * log_prior, target)


def balanced_softmax(logits: Tensor, target: Tensor, class_counts: Tensor) -> Tensor:
    """Cross-entropy of a softmax whose terms are multiplied by the class counts.

    The same as :func:`logit_adjusted` with tau = 1.

    References:
        Ren et al., "Balanced meta-softmax for long-tailed visual recognition", NeurIPS 2020, eq. 4.

    >>> balanced_softmax(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([90, 10]))
    tensor([2.3026])
    """
    return logit_adjusted(logits, target, log_prior(class_counts))


def ldam(logits: Tensor, target: Tensor, margins: Tensor, scale: float = 1.0) -> Tensor:
    """Cross-entropy of ``scale`` times the logits, after each target's own is lowered by its class's margin.

    ``margins`` (C,), one a class. The paper takes scale 30 for a head whose logits are cosines, in [-1, 1].
    The logits of a linear head have no bound, and 30 would only multiply the learning rate: default is 1.

    References:
        Cao, Wei, Gaidon, Arechiga, Ma, "Learning imbalanced datasets with label-distribution-aware margin
        loss", NeurIPS 2019, eq. 13.

    >>> ldam(torch.tensor([[0.5, 0.0]]), torch.tensor([0]), margins=torch.tensor([0.5, 0.1]))
    tensor([0.6931])
    """
    return cross_entropy(scale * with_margin(logits, target, margins), target)


def with_margin(logits: Tensor, target: Tensor, margins: Tensor) -> Tensor:
    """``logits`` with the target's own lowered by its class's margin (C,)."""
    is_target = target.unsqueeze(1) == torch.arange(logits.shape[1], device=logits.device)
    return logits - margins * is_target


def log_prior(class_counts: Tensor) -> Tensor:
    """(C,) logarithms of the classes' frequencies; a class without samples counts as one: none is -inf.

    >>> log_prior(torch.tensor([90, 10])).exp()
    tensor([0.9000, 0.1000])
    """
    counts = at_least_float32(class_counts)
    return counts.clamp_min(1).log() - counts.sum().log()


def balanced_weights(class_counts: Tensor) -> Tensor:
    """(C,) weights inversely proportional to the counts, of mean 1 over the training samples; 0 for none.

    >>> balanced_weights(torch.tensor([90, 10, 0]))
    tensor([0.5556, 5.0000, 0.0000])
    """
    return _of_mean_one(class_counts, 1 / at_least_float32(class_counts))


def effective_number_weights(class_counts: Tensor, beta: float = 0.999) -> Tensor:
    """(C,) weights ``(1 - beta) / (1 - beta^count)``, of mean 1 over the training samples; 0 for none.

    Counts (C, L) are those of L questions with C answers each, and give (C, L) weights.
    ``beta`` in [0, 1): 0 gives ones, near 1 gives :func:`balanced_weights`.

    References:
        Cui, Jia, Lin, Song, Belongie, "Class-balanced loss based on effective number of samples", CVPR 2019.

    >>> effective_number_weights(torch.tensor([90, 10]), beta=0.0)
    tensor([1., 1.])
    """
    log_power = torch.special.xlogy(at_least_float32(class_counts), beta)
    return _of_mean_one(class_counts, -1 / torch.expm1(log_power))


def _of_mean_one(class_counts: Tensor, weight: Tensor) -> Tensor:
    weight = weight.where(class_counts > 0, 0)
    return weight * (class_counts.sum(0) / (class_counts * weight).sum(0))


def ldam_margins(class_counts: Tensor, max_margin: float = 0.5) -> Tensor:
    """(C,) margins ``max_margin * (smallest count / count)^(1/4)``; a class without samples has the largest.

    References:
        Cao et al., NeurIPS 2019, eq. 12 and its normalisation by the largest margin.

    >>> ldam_margins(torch.tensor([1600, 100, 0]))
    tensor([0.2500, 0.5000, 0.5000])
    """
    counts = at_least_float32(class_counts)
    smallest = counts.where(counts > 0, torch.inf).amin()
    return max_margin * (smallest / counts.maximum(smallest)).pow(0.25)
