"""A convolutional network for volumes of one or two kinds of images, each kind with a path of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steelyard import _checks as check
from steelyard.models.classifier import Classifier
from steelyard.models.layers import he_initialised

SMALLEST = 4  # voxels along the shortest axis
_STAGES = 3


def cnn3d_two_path(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: int = 16,
    first: int = 1,
    dropout: float = 0.0,
) -> Classifier:
    """Two equal paths of 3-D convolution, ReLU and max-pooling, whose features meet in the last layer.

    The first path reads the ``first`` channels, the other one the rest, such as T2-weighted and
    diffusion-weighted images; volumes of no more channels have one path. A path has three stages of
    ``width``, ``2 * width`` and ``4 * width`` maps, and a mean over the volume gives its features. Pooling
    halves each axis that still has two voxels.

    Args:
        input_shape: (channels, depth, height, width) of a volume, at least 4 voxels along each axis.
        num_classes: C >= 1 logits.
        width: maps of the first stage, >= 1.
        first: channels of the first path, >= 1.
        dropout: probability in [0, 1] before the head.

    Raises:
        InputError: for another shape, no class, or a parameter out of range.

    References:
        Sangalli et al., "Constrained optimization to train neural networks on critical and under-represented
        classes", NeurIPS 2021, appendix B. It leaves open number and width of the layers.

    >>> cnn3d_two_path((4, 8, 32, 32), 2)(torch.zeros(1, 4, 8, 32, 32)).shape
    torch.Size([1, 2])
    """
    channels, *sides = _volume_shape(input_shape, num_classes)
    check.whole("width", width, 1)
    check.whole("first", first, 1)
    check.between("dropout", dropout, 0, 1)
    parts = [first, channels - first] if channels > first else [channels]
    paths = nn.ModuleList(_path(part, sides, width) for part in parts)
    backbone = nn.Sequential(_SideBySide(paths, parts), nn.Dropout(dropout))
    return he_initialised(Classifier(backbone, nn.Linear(4 * width * len(parts), num_classes)))


class _SideBySide(nn.Module):
    """Paths that share the channels of (N, channels, D, H, W); their features (N, F) beside one another."""

    def __init__(self, paths: nn.ModuleList, parts: list[int]) -> None:
        super().__init__()
        self.paths = paths
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        shares = x.split(self.parts, 1)
        features = [path(share) for path, share in zip(self.paths, shares, strict=True)]
        return torch.cat([one.mean((2, 3, 4)) for one in features], 1)


def _path(channels: int, sides: list[int], width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for stage in range(_STAGES):
        maps = width * 2**stage
        layers += [nn.Conv3d(channels, maps, 3, padding=1), nn.ReLU()]
        halved = tuple(2 if side >= 2 else 1 for side in sides)
        layers.append(nn.MaxPool3d(halved))
        channels, sides = maps, [side // by for side, by in zip(sides, halved, strict=True)]
    return nn.Sequential(*layers)


def _volume_shape(input_shape: tuple[int, ...], num_classes: int) -> tuple[int, ...]:
    check.at_least("num_classes", num_classes, 1)
    if len(input_shape) != 4 or input_shape[0] < 1 or min(input_shape[1:]) < SMALLEST:
        raise check.InputError(
            "cnn3d-two-path reads volumes of shape (channels, depth, height, width) of at least "
            f"{SMALLEST} voxels along each axis, got shape {tuple(input_shape)}. "
            "For images choose the model small-cnn, for tables mlp."
        )
    return input_shape
