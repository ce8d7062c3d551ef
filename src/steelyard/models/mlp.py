"""Multilayer perceptron: for tables, and a plain baseline on images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from steelyard import _checks as check
from steelyard.models.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Sequence


def mlp(
    input_shape: tuple[int, ...], num_classes: int, hidden: Sequence[int] = (256, 256), dropout: float = 0.0
) -> Classifier:
    """Fully connected layers with ReLU; features are those of the last hidden layer.

    Args:
        input_shape: (D,) of a table; any other shape is flattened.
        num_classes: C >= 1 logits.
        hidden: width of each hidden layer; empty for a linear model.
        dropout: probability in [0, 1] after each hidden layer.

    Raises:
        InputError: for an empty shape, a width or number of classes below 1, or ``dropout`` outside [0, 1].

    >>> mlp((30,), 2, hidden=[16])
    Classifier(
      (backbone): Sequential(
        (0): Flatten(start_dim=1, end_dim=-1)
        (1): Linear(in_features=30, out_features=16, bias=True)
        (2): ReLU()
        (3): Dropout(p=0.0, inplace=False)
      )
      (head): Linear(in_features=16, out_features=2, bias=True)
    )
    """
    check.at_least("num_classes", num_classes, 1)
    check.between("dropout", dropout, 0, 1)
    if not input_shape or min(input_shape) < 1:
        raise check.InputError(f"mlp needs at least one input per sample, got shape {tuple(input_shape)}.")
    layers: list[nn.Module] = [nn.Flatten()]
    size = math.prod(input_shape)
    for width in hidden:
        check.at_least("hidden", width, 1)
        layers += [nn.Linear(size, width), nn.ReLU(), nn.Dropout(dropout)]
        size = width
    return Classifier(nn.Sequential(*layers), nn.Linear(size, num_classes))
