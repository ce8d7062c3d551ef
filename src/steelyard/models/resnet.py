"""Residual networks of basic blocks: ResNet-10 and -18 (ImageNet family), ResNet-20 (CIFAR family)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from steelyard import _checks as check
from steelyard.models.classifier import Classifier, image_shape
from steelyard.models.layers import GlobalAverage, conv3x3, he_initialised, norm_relu, stem

if TYPE_CHECKING:
    from collections.abc import Sequence


def resnet10(input_shape: tuple[int, ...], num_classes: int, dropout: float = 0.0) -> Classifier:
    """ResNet with four stages of one block, 64, 128, 256 and 512 maps; 512 features.

    A 3x3 first convolution keeps small images whole (for 128 pixels and more: the ImageNet stem); strides
    1, 2, 2, 2; global average; linear. 4,898,625 parameters for RGB and one output.

    Args:
        input_shape: (channels, height, width), at least 8x8.
        num_classes: C >= 1 logits.
        dropout: probability in [0, 1] before the head.

    Raises:
        InputError: for another shape, no class, or ``dropout`` outside [0, 1].

    References: He et al., "Deep residual learning for image recognition", CVPR 2016.

    >>> from steelyard.models import parameter_count
    >>> parameter_count(resnet10((3, 32, 32), 1))
    4898625
    """
    return _resnet("resnet10", input_shape, num_classes, dropout, widths=(64, 128, 256, 512), blocks=1)


def resnet18(input_shape: tuple[int, ...], num_classes: int, dropout: float = 0.0) -> Classifier:
    """ResNet with four stages of two blocks, 64, 128, 256 and 512 maps; 512 features.

    Like :func:`resnet10` else. At 128 pixels and more this is the ImageNet network of the paper.

    Args:
        input_shape: (channels, height, width), at least 8x8.
        num_classes: C >= 1 logits.
        dropout: probability in [0, 1] before the head.

    Raises:
        InputError: for another shape, no class, or ``dropout`` outside [0, 1].

    References: He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.

    >>> from steelyard.models import parameter_count
    >>> parameter_count(resnet18((3, 224, 224), 1000))
    11689512
    """
    return _resnet("resnet18", input_shape, num_classes, dropout, widths=(64, 128, 256, 512), blocks=2)


def resnet20(input_shape: tuple[int, ...], num_classes: int, dropout: float = 0.0) -> Classifier:
    """ResNet for CIFAR with three stages of three blocks, 16, 32 and 64 maps; 64 features.

    Where the size changes, the shortcut is a 1x1 convolution (the paper's option B) and not the padding with
    zeros of option A, which the paper took on CIFAR: 272,474 parameters for 10 classes in place of 269,722.

    Args:
        input_shape: (channels, height, width), at least 8x8.
        num_classes: C >= 1 logits.
        dropout: probability in [0, 1] before the head.

    Raises:
        InputError: for another shape, no class, or ``dropout`` outside [0, 1].

    References: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.

    >>> from steelyard.models import parameter_count
    >>> parameter_count(resnet20((3, 32, 32), 10))
    272474
    """
    return _resnet("resnet20", input_shape, num_classes, dropout, widths=(16, 32, 64), blocks=3)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; ReLU after the sum."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv3x3(channels, width, stride), *norm_relu(width), conv3x3(width, width), nn.BatchNorm2d(width)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            conv = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(width))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """From (N, channels, H, W) to (N, width, H / stride, W / stride), sizes rounded up."""
        out: Tensor = self.relu(self.residual(x) + self.shortcut(x))
        return out


def _resnet(
    name: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    dropout: float,
    widths: Sequence[int],
    blocks: int,
) -> Classifier:
    shape = image_shape(name, input_shape, num_classes)
    check.between("dropout", dropout, 0, 1)
    channels = widths[0]
    layers: list[nn.Module] = [stem(shape, channels)]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(BasicBlock(channels, width, stride=2 if stage > 0 and block == 0 else 1))
            channels = width
    backbone = nn.Sequential(*layers, GlobalAverage(), nn.Dropout(dropout))
    return he_initialised(Classifier(backbone, nn.Linear(channels, num_classes)))
