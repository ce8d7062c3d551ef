"""Projection onto the simplex, and the sample weights that it solves."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard.functional.per_sample import at_least_float32


def project_simplex(v: Tensor, total: float = 1.0) -> Tensor:
    """Nearest point to ``v`` among the non-negative vectors that sum to ``total``.

    One sort and one cumulative sum; exact to rounding for entries of any size; differentiable.

    Args:
        v: (..., N), N >= 1; each row of the last dimension is projected on its own. NaN or +inf in a row
            makes the whole row NaN.
        total: finite, > 0.

    Returns:
        (..., N), in ``v``'s type, or float32 where that is a half or integer type.

    Raises:
        InputError: if ``total`` is not above 0 or ``v`` is empty in its last dimension.

    References:
        Held, Wolfe, Crowder, "Validation of subgradient optimization", Mathematical Programming, 1974.

    >>> project_simplex(torch.tensor([3.0, 2.0, -9.0]), total=2.0)
    tensor([1.5000, 0.5000, 0.0000])
    """
    check.positive("total", total)
    return _project(_below_maximum(at_least_float32(v)), total)


def low_weights(grad_sq_norm: Tensor, lam: float) -> Tensor:
    r"""Sample weights of LOW: steepest descent of the mean loss, kept near uniform.

    Solves ``max_w  sum_i w_i g_i - lam * ||w - 1||^2``  subject to  ``w >= 0, sum_i w_i = N``, whose
    solution is the projection of ``1 + g / (2 lam)``.

    Args:
        grad_sq_norm: (..., N) >= 0, the g: squared norm of the gradient of each sample's *own* loss with
            respect to its logits; not of a mean loss, which would scale it by 1/N^2.
        lam: > 0, in units of g; larger is nearer to uniform.

    Returns:
        (..., N) weights >= 0 that sum to N, without gradient, in float32 or ``grad_sq_norm``'s own type where
        that is wider: half precision cannot hold a sum of N. NaN or +inf in g makes its batch's weights NaN.

    Raises:
        InputError: if ``lam`` is not above 0.

    References:
        Santiago, Barata, Sasdelli, Carneiro, Nascimento, "LOW: Training deep neural networks by learning
        optimal sample weights", Pattern Recognition 110, 2021.

    >>> low_weights(torch.tensor([1.0, 1.0, 4.0]), lam=1.0)
    tensor([0.5000, 0.5000, 2.0000])
    """
    check.positive("lam", lam)
    gap = _below_maximum(at_least_float32(grad_sq_norm.detach()))
    # The division comes after the difference: the near-ties that decide are exact only before it.
    return _project(gap / (2 * lam), total=float(gap.shape[-1]))


def _below_maximum(v: Tensor) -> Tensor:
    """A constant changes no projection; with the maximum at 0, ``total`` does not drown beside a large v."""
    if v.ndim == 0 or v.shape[-1] == 0:
        raise check.InputError(f"expected a tensor of shape (..., N) with N >= 1, got {tuple(v.shape)}.")
    return v - v.amax(-1, keepdim=True)


def _project(v: Tensor, total: float) -> Tensor:
    ordered = v.sort(-1, descending=True).values
    rank = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype, device=v.device)
    # The threshold of the k largest entries rises with k exactly as long as the k-th stays in the support.
    threshold = ((ordered.cumsum(-1) - total) / rank).amax(-1, keepdim=True)
    return (v - threshold).relu()
