"""The features of a trained model, and its last layer learned anew on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from steelyard._features import LastInput, last_linear
from steelyard.training.loop import predict

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    from steelyard.data import Batches
    from steelyard.recipe import Recipe
    from steelyard.records import Predictions

    Learner = Callable[[NDArray[Any], NDArray[Any], int, int], tuple[NDArray[Any], NDArray[Any]]]


class _Features(nn.Module):
    """``model`` with its features for output, so that they are taken just as predictions are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.read = LastInput(model)

    def forward(self, x: Tensor) -> Tensor:
        self.model(x)
        return self.read.rows(len(x))


def features(model: nn.Module, batches: Batches, recipe: Recipe) -> Predictions:
    """Features (N, D) of every sample of ``batches``, in place of logits, in evaluation mode.

    Raises:
        InputError: if the model does not end in a linear layer that reads one row per sample.
        NotFiniteError: if they are not finite.
    """
    reader = _Features(model)
    try:
        return predict(reader, batches, recipe)
    finally:
        reader.read.remove()


def learn_last_layer(model: nn.Module, learner: Learner, train: Batches, recipe: Recipe, seed: int) -> None:
    """Put into ``model``'s last linear layer what ``learner`` makes of the features of ``train``.

    Args:
        model: Trained; changed in place.
        learner: From features (N, D), class numbers (N,), their number C and a seed to weights (C, D) and
            bias (C,); one of :mod:`steelyard.refit`.
        train: Batches of the training samples; taken in order and as they are, without augmentation.
        recipe: That of the training.
        seed: Of what the learner draws.
    """
    found = features(model, replace(train, shuffle=False, augment=None), recipe)
    layer = last_linear(model)
    weight, bias = learner(found.logits, found.target, layer.out_features, seed)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
