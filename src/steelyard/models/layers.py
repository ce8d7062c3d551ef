"""Pieces that the convolutional networks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from steelyard._checks import InputError

if TYPE_CHECKING:
    from steelyard.models.classifier import Classifier

LARGE_SIDE = 128  # pixels of the shorter side from which on a stem divides height and width by four


class GlobalAverage(nn.Module):
    """Mean of each feature map: (N, C, H, W) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Average over height and width."""
        return x.mean((2, 3))


class HalvingMaxPool(nn.MaxPool2d):
    """Largest of every 2x2 pixels: (N, C, H, W) to (N, C, H // 2, W // 2).

    Without gradient it takes the larger of strided views: the same numbers in a fraction of the time, because
    a CPU's pooling notes every position for a backward pass that will not come.
    """

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, x: Tensor) -> Tensor:
        """The pooled maps."""
        if torch.is_grad_enabled():
            return cast("Tensor", super().forward(x))
        height, width = (side // 2 * 2 for side in x.shape[-2:])
        rows = torch.maximum(x[..., 0:height:2, :width], x[..., 1:height:2, :width])
        return torch.maximum(rows[..., 0::2], rows[..., 1::2])


def conv3x3(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    """3x3 convolution that keeps the size at stride 1; no bias, since batch normalisation follows."""
    return nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)


def norm_relu(width: int) -> list[nn.Module]:
    """Batch normalisation and ReLU."""
    return [nn.BatchNorm2d(width), nn.ReLU()]


def stem(input_shape: tuple[int, int, int], width: int, *, preactivation: bool = False) -> nn.Sequential:
    """First layers of a residual or dense network, from (N, ...) to (N, width, ...).

    Images whose shorter side is below 128 pixels get the CIFAR stem, one 3x3 convolution at full size.
    Larger ones get the ImageNet stem, a 7x7 convolution and 3x3 max-pooling of stride 2 each: what follows
    then costs a sixteenth.

    Args:
        input_shape: (channels, height, width) of an image.
        width: number of feature maps.
        preactivation: the blocks normalise their own input, so the 3x3 convolution stands alone.
    """
    channels, *sides = input_shape
    if min(sides) >= LARGE_SIDE:
        conv = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        return nn.Sequential(conv, *norm_relu(width), nn.MaxPool2d(3, stride=2, padding=1))
    return nn.Sequential(conv3x3(channels, width), *([] if preactivation else norm_relu(width)))


def depth_per_stage(model: str, depth: int) -> int:
    """How many blocks of two convolutions each of the three stages of ``model`` has; four layers are others.

    >>> depth_per_stage("wrn-28-2", 28)
    4
    """
    if depth < 10 or depth % 6 != 4:
        raise InputError(f"the depth of {model} must be one of 10, 16, 22, 28, ... (6 n + 4), got {depth!r}.")
    return (depth - 4) // 6


def he_initialised(model: Classifier) -> Classifier:
    """Give ``model`` the initial weights of He et al.: normal with variance 2 / fan-out; biases zero.

    The weight of linear layers and batch normalisation keeps PyTorch's default.

    References: He et al., "Delving deep into rectifiers", ICCV 2015, section 2.2, in the backward form
        (eq. 14) that the published code of ResNet, Wide ResNet and DenseNet uses.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return model
