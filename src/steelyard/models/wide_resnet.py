"""Wide residual networks: pre-activation blocks, few and wide."""

from __future__ import annotations

from torch import Tensor, nn

from steelyard import _checks as check
from steelyard.models.classifier import Classifier, image_shape
from steelyard.models.layers import GlobalAverage, conv3x3, depth_per_stage, he_initialised, norm_relu, stem


def wide_resnet(
    input_shape: tuple[int, ...], num_classes: int, depth: int = 28, width: int = 2, dropout: float = 0.0
) -> Classifier:
    """Wide ResNet: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 maps times ``width``.

    WRN-28-2 has 1,467,610 parameters for RGB and 10 classes, and 128 features. For images of 128 pixels and
    more the ImageNet stem stands in front.

    Args:
        input_shape: (channels, height, width), at least 8x8.
        num_classes: C >= 1 logits.
        depth: 10, 16, 22, 28, ...; the number of convolutions, the three of shortcuts included.
        width: factor >= 1 on the number of maps.
        dropout: probability in [0, 1] between the two convolutions of each block.

    Raises:
        InputError: for another shape or depth, no class, ``width`` below 1 or ``dropout`` outside [0, 1].

    References: Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, table 1.

    >>> from steelyard.models import parameter_count
    >>> parameter_count(wide_resnet((3, 32, 32), 10))
    1467610
    """
    shape = image_shape("wrn-28-2", input_shape, num_classes)
    check.at_least("width", width, 1)
    check.between("dropout", dropout, 0, 1)
    blocks = depth_per_stage("wrn-28-2", depth)
    channels = 16
    layers: list[nn.Module] = [stem(shape, channels, preactivation=True)]
    for stage, maps in enumerate((16 * width, 32 * width, 64 * width)):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(WideBlock(channels, maps, stride, dropout))
            channels = maps
    layers += [*norm_relu(channels), GlobalAverage()]
    return he_initialised(Classifier(nn.Sequential(*layers), nn.Linear(channels, num_classes)))


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after batch normalisation and ReLU; dropout between them."""

    def __init__(self, channels: int, width: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.activation = nn.Sequential(*norm_relu(channels))
        self.residual = nn.Sequential(
            conv3x3(channels, width, stride), *norm_relu(width), nn.Dropout(dropout), conv3x3(width, width)
        )
        same = stride == 1 and channels == width
        self.shortcut = None if same else nn.Conv2d(channels, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, channels, H, W) to (N, width, H / stride, W / stride), sizes rounded up."""
        active = self.activation(x)
        # A shortcut that convolves reads the activated input, as the published code does; else the raw one.
        passed: Tensor = x if self.shortcut is None else self.shortcut(active)
        residual: Tensor = self.residual(active)
        return passed + residual
