"""Scores of critical samples against those of the rest: sums over all pairs, without the pairs.

Everywhere: ``pos`` (..., P) and ``neg`` (..., N) are raw scores, of which those of ``pos`` should be larger.
Sums run in float64, so that cumulative sums of a million float32 scores lose no digits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch user knows
from torch import Tensor

from steelyard import _checks as check
from steelyard.functional.per_sample import at_least_float32


def critical_log_odds(logits: Tensor, critical: Tensor) -> Tensor:
    """Log-odds of the critical classes against the rest; of two classes the difference of their logits.

    Args:
        logits: (N, C, ...), C >= 2.
        critical: (K,) different class numbers, 0 < K < C.

    Returns:
        (N, ...) in float32 at least. NaN or +inf among a sample's logits makes its score NaN.

    Raises:
        InputError: if every class is critical.

    >>> critical_log_odds(torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.tensor([1]))
    tensor([2., 0.])
    """
    z = at_least_float32(logits)
    z = z - z.detach().amax(1, keepdim=True)  # cancels below, but not where it is infinite
    chosen = _is_critical(z.shape[1], critical).view(-1, *[1] * (z.ndim - 2))
    lowest = -torch.inf
    return z.masked_fill(~chosen, lowest).logsumexp(1) - z.masked_fill(chosen, lowest).logsumexp(1)


def critical_scores(logits: Tensor, target: Tensor, critical: Tensor) -> tuple[Tensor, Tensor]:
    """The scores of :func:`critical_log_odds`, and whether each sample's class is critical.

    Args:
        logits: (N, C, ...), C >= 2.
        target: (N, ...) class numbers; one outside 0..C-1 is an error that torch raises.
        critical: (K,) different class numbers, 0 < K < C.

    >>> critical_scores(torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.tensor([1, 0]), torch.tensor([1]))
    (tensor([2., 0.]), tensor([ True, False]))
    """
    positive = _is_critical(logits.shape[1], critical).gather(0, target.long().flatten()).view(target.shape)
    return critical_log_odds(logits, critical), positive


def _is_critical(num_classes: int, critical: Tensor) -> Tensor:
    if len(critical) >= num_classes:
        raise check.InputError(
            f"expected fewer critical classes than the {num_classes} of the logits, got {len(critical)}."
        )
    return torch.zeros(num_classes, dtype=torch.bool, device=critical.device).index_fill(0, critical, True)


def hinge_rank_sums(pos: Tensor, neg: Tensor, margin: float, weight: Tensor | None = None) -> Tensor:
    """For each positive how far negatives stand above it: ``q_j = sum_k max(0, neg_k - pos_j + margin)``.

    One sort, one cumulative sum and one binary search for each positive: O((P + N) log N) time and O(P + N)
    memory, for the gradient too. Exact with ties: a pair exactly at the margin has value and gradient 0.
    ``hinge_rank_sums(-neg, -pos, margin)`` gives the sums over positives for each negative.

    Args:
        pos: (..., P)
        neg: (..., N), with the same leading axes.
        margin: by which a positive should be above a negative, in units of the scores.
        weight: (..., N) of the negatives in the sum, such as 0 and 1; None: all 1. No gradient flows to it.

    Returns:
        (..., P) >= 0, in the type of the scores, float32 at least. Zeros without negatives.

    Raises:
        InputError: if the leading axes differ.

    References:
        Sangalli, Erdil, Hoetker, Donati, Konukoglu, "Constrained optimization to train neural networks on
        critical and under-represented classes", NeurIPS 2021, eq. 7 and 8.

    >>> hinge_rank_sums(torch.tensor([2.0, 0.5]), torch.tensor([0.0, 1.0, 2.0]), margin=1.0)
    tensor([1.0000, 4.5000])
    """
    gap, (count, depth) = _above(pos, neg, margin, weight, power=1)
    return (depth - count * gap).clamp_min(0).to(_common_type(pos, neg))


def squared_hinge_rank_sums(pos: Tensor, neg: Tensor, margin: float, weight: Tensor | None = None) -> Tensor:
    """``sum_k max(0, neg_k - pos_j + margin)^2`` for each positive; as :func:`hinge_rank_sums` in all else.

    >>> squared_hinge_rank_sums(torch.tensor([2.0, 0.5]), torch.tensor([0.0, 1.0, 2.0]), margin=1.0)
    tensor([1.0000, 8.7500])
    """
    gap, (count, depth, square) = _above(pos, neg, margin, weight, power=2)
    return (square - 2 * gap * depth + gap.square() * count).clamp_min(0).to(_common_type(pos, neg))


def squared_rank_loss(score: Tensor, positive: Tensor) -> Tensor:
    """Each sample's part in the mean of ``(1 - (s_j - s_k))^2`` over all pairs of a positive j, a negative k.

    The mean of the parts is the mean over pairs. It follows from the means and variances of both sides.

    Args:
        score: (N,), for the surrogate of the paper the probability of being positive.
        positive: (N,) bool.

    Returns:
        (N,) >= 0, in float32 at least: for a sample its mean over the other side's samples, times half the
        share by which its side is rarer. Zeros where a side has no sample.

    References:
        Gultekin, Saha, Ratnaparkhi, Paisley, "MBA: mini-batch AUC optimization", IEEE Transactions on Neural
        Networks and Learning Systems, 2020.

    >>> squared_rank_loss(torch.tensor([0.9, 0.4, 0.2]), torch.tensor([True, False, False])).mean()
    tensor(0.1700)
    """
    s = at_least_float32(score)
    side = torch.stack([~positive, positive]).to(s)  # (2, N): rows of the negatives and of the positives
    count = side.sum(1).clamp_min(1)
    mean = (side * s).sum(1) / count
    variance = (side * (s - mean.unsqueeze(1)).square()).sum(1) / count
    sign = torch.where(positive, 1.0, -1.0).to(s)
    other = torch.where(positive, mean[0], mean[1])
    spread = torch.where(positive, variance[0], variance[1])
    share = len(s) / (2 * torch.where(positive, count[1], count[0]))
    both = side.amax(1).prod() if len(s) else 0.0
    return both * share * ((1 - sign * (s - other)).square() + spread)


def hinge_fpr_at_tpr(score: Tensor, positive: Tensor, negative: Tensor, tpr: float, margin: float) -> Tensor:
    """A bound of the false positive rate at the largest threshold that finds the share ``tpr`` of positives.

    With t that threshold, it is the mean of ``max(0, 1 + (f_k - t) / margin)`` over the negatives k: at least
    1 for each false alarm, 0 from ``margin`` below t on. t is the score of one positive, which has its
    gradient.

    Args:
        score: (N,)
        positive: (N,) bool, the samples to find.
        negative: (N,) bool, those that should raise no alarm; samples may be neither.
        tpr: in (0, 1].
        margin: > 0, in units of the scores.

    Returns:
        A scalar >= 0, in float32 at least; 0 where a side has no sample.

    >>> score = torch.tensor([3.0, 1.0, 0.0, 2.0])
    >>> positive = torch.tensor([True, True, False, False])
    >>> hinge_fpr_at_tpr(score, positive, ~positive, tpr=0.5, margin=2.0)  # t = 3
    tensor(0.2500)
    """
    s = at_least_float32(score)
    wide = torch.float32 if s.device.type == "mps" else torch.float64
    share = tpr * (1 - 1e-9)  # so that 0.95 of 20 is 19, whatever its last digit
    needed = (share * positive.sum().to(wide)).ceil().long().clamp_min(1)
    found = s.masked_fill(~positive, -torch.inf).sort(descending=True).values
    threshold = found.gather(0, needed.view(1) - 1).where(positive.any(), 0.0)
    alarm = (1 + (s - threshold) / margin).relu().masked_fill(~negative, 0)
    return positive.any() * alarm.sum() / negative.sum().clamp_min(1)


def _above(
    pos: Tensor, neg: Tensor, margin: float, weight: Tensor | None, power: int
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What stands above ``cut = pos - margin``, in float64.

    Returns ``cut - top`` (..., P), top being the largest negative, and for k up to ``power`` the (..., P)
    weighted sums of ``(neg - top) ** k`` over the negatives above the cut.
    """
    if pos.shape[:-1] != neg.shape[:-1] or min(pos.ndim, neg.ndim) < 1:
        raise check.InputError(
            "expected pos (..., P) and neg (..., N) with the same leading axes, "
            f"got {tuple(pos.shape)} and {tuple(neg.shape)}."
        )
    wide = torch.float32 if pos.device.type == "mps" else torch.float64  # which MPS does not have
    ordered, order = neg.sort(-1)
    ordered, cut = ordered.to(wide), pos.to(wide) - margin
    first = torch.searchsorted(ordered.detach(), cut.detach().contiguous(), right=True)
    # Counted from the largest, scores far from 0 lose no digits; the search came first, so ties are exact.
    top = ordered.detach()[..., -1:] if neg.shape[-1] else 0.0
    depth = ordered - top
    each = torch.stack([depth.pow(k) for k in range(power + 1)])
    if weight is not None:
        each = each * weight.detach().to(wide).gather(-1, order)
    suffix = F.pad(each.flip(-1).cumsum(-1).flip(-1), (0, 1))  # at place N: none is above
    sums = suffix.gather(-1, first.expand(len(suffix), *first.shape))
    return cut - top, sums.unbind()


def _common_type(pos: Tensor, neg: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(pos.dtype, neg.dtype), torch.float32)
