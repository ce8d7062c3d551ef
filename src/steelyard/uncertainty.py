"""Monte-Carlo dropout: several passes of a trained network, each with other units dropped.

References:
    Gal, Ghahramani, "Dropout as a Bayesian approximation: representing model uncertainty in deep learning",
    ICML 2016.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from steelyard import _checks as check

if TYPE_CHECKING:
    from collections.abc import Iterator


@torch.no_grad()
def stochastic_logits(model: nn.Module, x: Tensor, passes: int = 10) -> Tensor:
    """Logits of ``passes`` runs over the same batch with dropout on and all else as in evaluation.

    All passes go through the network at once. What comes before the first dropout runs a single time where
    the network is a sequence of parts: ``nn.Sequential``, and the models of :mod:`steelyard.models`. Units
    are dropped by torch's global random state: seed it (``torch.manual_seed``) before the call.

    Args:
        model: any network with dropout; left in the mode in which it was.
        x: (N, ...) batch, on the device of the model.
        passes: >= 1.

    Returns:
        (passes, N, C), without gradient.

    Raises:
        InputError: if the model has no dropout of a probability above 0.

    >>> model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    >>> stochastic_logits(model, torch.zeros(5, 2), passes=4).shape
    torch.Size([4, 5, 3])
    """
    check.whole("passes", passes, 1)
    require_dropout(model)
    parts = _sequence(model)
    first = next(place for place, part in enumerate(parts) if dropouts(part))
    with _dropout_alone(model):
        for part in parts[:first]:
            x = part(x)
        x = x.repeat(passes, *[1] * (x.ndim - 1))
        for part in parts[first:]:
            x = part(x)
    logits: Tensor = x.unflatten(0, (passes, -1))
    return logits


def dropouts(model: nn.Module) -> list[nn.Module]:
    """The layers of ``model`` that drop something in training.

    >>> dropouts(nn.Sequential(nn.Dropout(0.0), nn.Dropout2d(0.5)))
    [Dropout2d(p=0.5, inplace=False)]
    """
    return [layer for layer in model.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]


def require_dropout(model: nn.Module) -> None:
    """Refuse a model in which nothing is dropped.

    Raises:
        InputError: if it has no dropout of a probability above 0.
    """
    if not dropouts(model):
        raise check.InputError(
            "uncertainty needs a model with dropout, this one has none above 0; give it some, "
            "as in lenet5(dropout=0.5)."
        )


def _sequence(model: nn.Module) -> list[nn.Module]:
    """Modules that, run one after the other, are ``model``."""
    if type(model).forward is nn.Sequential.forward:
        parts = tuple(model.children())
    else:
        parts = getattr(model, "in_sequence", ())
    return [piece for part in parts for piece in _sequence(part)] or [model]


@contextmanager
def _dropout_alone(model: nn.Module) -> Iterator[None]:
    """Evaluation mode but for dropout: batch normalisation keeps its statistics."""
    modes = {layer: layer.training for layer in model.modules()}
    plain = [layer for layer in dropouts(model) if type(layer) is nn.Dropout]
    model.eval()
    for layer in dropouts(model):
        layer.training = True
    for layer in plain:
        layer.forward = partial(_dropped, layer.p)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in plain:
            del layer.forward
        for layer, training in modes.items():
            layer.training = training


def _dropped(p: float, x: Tensor) -> Tensor:
    """Dropout by uniform numbers: a CPU draws them five times as fast as torch's Bernoulli numbers."""
    return (torch.rand_like(x) >= p).to(x.dtype).mul_(x).mul_(1 / (1 - p) if p < 1 else 0)
