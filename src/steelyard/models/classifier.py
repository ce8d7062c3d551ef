"""What every model is: a backbone that gives features and a head that gives logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

from steelyard import _checks as check
from steelyard._features import last_linear
from steelyard.models.heads import MarginHead


class Classifier(nn.Module):
    """A network in two parts, so that a method can see the features or exchange the head.

    Args:
        backbone: from a batch (N, ...) to features (N, D).
        head: from features (N, D) to logits (N, C).

    >>> import torch
    >>> model = Classifier(nn.Flatten(), nn.Linear(4, 3))
    >>> model(torch.zeros(2, 1, 2, 2)).shape, model.features(torch.zeros(2, 1, 2, 2)).shape
    (torch.Size([2, 3]), torch.Size([2, 4]))
    """

    standardises: bool = False  # whether it takes images as x / 255, and brings them to mean and deviation

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    @property
    def last_linear(self) -> nn.Linear | None:
        """The linear layer that makes the logits: the last part of the head, if it is one."""
        *_, last = self.head.modules()
        return last if isinstance(last, nn.Linear) else None

    def features(self, x: Tensor) -> Tensor:
        """Features (N, D) of a batch ``x`` (N, ...): what the head sees."""
        features: Tensor = self.backbone(x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, C) of a batch ``x`` (N, ...)."""
        logits: Tensor = self.head(self.features(x))
        return logits

    @property
    def in_sequence(self) -> tuple[nn.Module, ...]:
        """The parts that run one after the other, each on what the one before it gives."""
        return self.backbone, self.head

    def margin_head(self, kind: str) -> MarginHead:
        """Put a :class:`MarginHead` of this kind with the same weights in the place of :attr:`last_linear`.

        Raises:
            InputError: if there is no such layer.
        """
        layer = last_linear(self)
        head = MarginHead.of(layer, kind)
        self.set_submodule(next(name for name, part in self.named_modules() if part is layer), head)
        return head


Maker: TypeAlias = Callable[..., Classifier]
"""``make(input_shape, num_classes, **params)``: the form of every maker of a model."""


def parameter_count(model: nn.Module) -> int:
    """How many numbers training adjusts in ``model``.

    >>> parameter_count(nn.Linear(4, 3))
    15
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


SMALLEST_SIDE = 8  # pixels: the nets halve a side up to three times


def image_shape(model: str, input_shape: tuple[int, ...], num_classes: int) -> tuple[int, int, int]:
    """Return ``input_shape`` as (channels, height, width) if ``model`` can read such images.

    >>> image_shape("resnet18", (30,), 2)
    Traceback (most recent call last):
    steelyard._checks.InputError: resnet18 reads images of shape (channels, height, width) of at least 8 x 8
    pixels, got shape (30,). For tables choose the model mlp; give smaller images a larger image size.
    """
    check.at_least("num_classes", num_classes, 1)
    if len(input_shape) != 3 or input_shape[0] < 1 or min(input_shape[1:]) < SMALLEST_SIDE:
        raise check.InputError(
            f"{model} reads images of shape (channels, height, width) of at least {SMALLEST_SIDE} x "
            f"{SMALLEST_SIDE} pixels, got shape {tuple(input_shape)}. "
            "For tables choose the model mlp; give smaller images a larger image size."
        )
    channels, height, width = input_shape
    return channels, height, width
