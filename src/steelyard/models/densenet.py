"""DenseNet-BC: every layer reads the maps of all the layers before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steelyard import _checks as check
from steelyard.models.classifier import Classifier, image_shape
from steelyard.models.layers import GlobalAverage, conv3x3, depth_per_stage, he_initialised, norm_relu, stem


def densenet_bc(
    input_shape: tuple[int, ...], num_classes: int, depth: int = 100, growth: int = 12, dropout: float = 0.0
) -> Classifier:
    """DenseNet-BC: three dense blocks of (depth - 4) / 6 layers; half the maps between them.

    Depth 100 with growth 12 has 769,162 parameters for RGB and 10 classes, and 342 features. For images of
    128 pixels and more the ImageNet stem stands in front.

    Args:
        input_shape: (channels, height, width), at least 8x8.
        num_classes: C >= 1 logits.
        depth: 10, 16, ..., 100, ...; the number of convolutions plus the output layer.
        growth: maps >= 1 that each layer adds.
        dropout: probability in [0, 1] after each convolution but the first.

    Raises:
        InputError: for another shape or depth, no class, ``growth`` below 1 or ``dropout`` outside [0, 1].

    References: Huang et al., "Densely connected convolutional networks", CVPR 2017, section 3 and table 2.

    >>> from steelyard.models import parameter_count
    >>> parameter_count(densenet_bc((3, 32, 32), 10))
    769162
    """
    shape = image_shape("densenet-bc", input_shape, num_classes)
    check.at_least("growth", growth, 1)
    check.between("dropout", dropout, 0, 1)
    per_block = depth_per_stage("densenet-bc", depth)
    channels = 2 * growth
    layers: list[nn.Module] = [stem(shape, channels, preactivation=True)]
    for block in range(3):
        if block > 0:
            layers += _transition(channels, dropout)
            channels //= 2
        for _ in range(per_block):
            layers.append(DenseLayer(channels, growth, dropout))
            channels += growth
    layers += [*norm_relu(channels), GlobalAverage()]
    return he_initialised(Classifier(nn.Sequential(*layers), nn.Linear(channels, num_classes)))


def _transition(channels: int, dropout: float) -> list[nn.Module]:
    """Half the maps at half the size."""
    conv = nn.Conv2d(channels, channels // 2, 1, bias=False)
    return [*norm_relu(channels), conv, nn.Dropout(dropout), nn.AvgPool2d(2)]


class DenseLayer(nn.Module):
    """A 1x1 convolution to four times ``growth`` maps, a 3x3 one to ``growth``, put beside the input."""

    def __init__(self, channels: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.new = nn.Sequential(
            *norm_relu(channels), nn.Conv2d(channels, 4 * growth, 1, bias=False), nn.Dropout(dropout),
            *norm_relu(4 * growth), conv3x3(4 * growth, growth), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """From (N, channels, H, W) to (N, channels + growth, H, W)."""
        return torch.cat([x, self.new(x)], 1)
