"""The size of a network's weights, a sample's confidence, and logits on one of two scales.

A network of linear and convolutional layers, ReLU and pooling without biases is homogeneous: its logits z are
R times those of its weights' direction, with R the product of the layers' norms. ``z / R`` is what it says,
R only how loudly. Biases and batch normalisation break this; R is then still the product of the norms.

References:
    Berlyand, Creese, Jabin, "A novel multi-scale loss function for classification problems in machine
    learning", 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard.functional.per_sample import at_least_float32

if TYPE_CHECKING:
    from collections.abc import Sequence


def weight_norm_product(weights: Sequence[Tensor]) -> Tensor:
    """R, the product of the Euclidean norms of ``weights``, one tensor a layer (eq. 9 of the source).

    Taken through logarithms, so that no partial product overflows. Differentiable where no norm is 0.

    Args:
        weights: at least one tensor, of any shapes, all on one device.

    Returns:
        A scalar, in float32 at least.

    Raises:
        InputError: if ``weights`` is empty.

    >>> weight_norm_product([torch.tensor([[3.0, 4.0]]), torch.eye(4)])
    tensor(10.)
    """
    if not weights:
        raise check.InputError("expected the weights of at least one layer, got none.")
    product: Tensor = _NormProduct.apply(*map(at_least_float32, weights))  # type: ignore[no-untyped-call]  # torch's own gap
    return product


def margin(logits: Tensor, target: Tensor) -> Tensor:
    """How far the target's logit is above the largest other, ``z_y - max_{i != y} z_i``.

    Args:
        logits: (N, C), C >= 2.
        target: (N,) class numbers.

    Returns:
        (N,), above 0 where the decision is right, in float32 at least.

    >>> margin(torch.tensor([[3.0, 1.0, 0.5], [3.0, 1.0, 0.5]]), torch.tensor([0, 1]))
    tensor([ 2., -2.])
    """
    z, place = at_least_float32(logits), target.long().unsqueeze(1)
    return z.gather(1, place).squeeze(1) - z.scatter(1, place, -torch.inf).amax(1)


def is_sure(logits: Tensor, target: Tensor, eta: float) -> Tensor:
    """Whether a sample's margin is at least ``eta``: the switch between the scales (eq. 13 of the source).

    The two-scale loss is that of the logits times one factor where this holds, times another elsewhere.

    Args:
        logits: (N, C), not scaled.
        target: (N,) class numbers.
        eta: > 0, in units of ``logits``.

    Returns:
        (N,) of bool.

    Raises:
        InputError: if ``eta`` is not above 0: a wrong decision would then count as a sure one.

    >>> is_sure(torch.tensor([[3.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1]), eta=0.01)
    tensor([ True, False])
    """
    check.positive("eta", eta)
    return margin(logits.detach(), target) >= eta


class _NormProduct(torch.autograd.Function):
    """The product with its closed-form gradient, ``R W / |W|^2``: one operation a layer instead of six."""

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> Tensor:
        norms, product = _norms_and_product(weights)
        ctx.save_for_backward(norms, product, *weights)
        return product

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, ...]:
        norms, product, *weights = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: what was computed in forward has no graph
            norms, product = _norms_and_product(weights)
        factors = (upstream * product / norms.square()).unbind()
        return tuple(factor * weight for factor, weight in zip(factors, weights, strict=True))


def _norms_and_product(weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    norms = torch.stack([torch.linalg.vector_norm(weight) for weight in weights])
    return norms, norms.log().sum().exp()
