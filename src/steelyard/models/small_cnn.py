"""A small convolutional network: the default for images on a CPU."""

from __future__ import annotations

from torch import nn

from steelyard import _checks as check
from steelyard.models.classifier import Classifier, image_shape
from steelyard.models.layers import GlobalAverage, HalvingMaxPool, conv3x3, he_initialised, norm_relu


def small_cnn(
    input_shape: tuple[int, ...], num_classes: int, width: int = 32, dropout: float = 0.0
) -> Classifier:
    """Three stages of two 3x3 convolutions with batch normalisation and ReLU, for images of 8 to 128 pixels.

    The stages have ``width``, ``2 * width`` and ``4 * width`` maps; max-pooling halves the size between them,
    and a global average gives ``4 * width`` features. Its parameters do not depend on the size of the image.

    Args:
        input_shape: (channels, height, width), at least 8x8.
        num_classes: C >= 1 logits.
        width: maps of the first stage, >= 1.
        dropout: probability in [0, 1] before the head.

    Raises:
        InputError: for another shape, no class, ``width`` below 1 or ``dropout`` outside [0, 1].

    >>> from steelyard.models import parameter_count
    >>> parameter_count(small_cnn((3, 32, 32), 10))
    288746
    """
    shape = image_shape("small-cnn", input_shape, num_classes)
    check.at_least("width", width, 1)
    check.between("dropout", dropout, 0, 1)
    backbone = nn.Sequential(
        *_stage(shape[0], width), HalvingMaxPool(),
        *_stage(width, 2 * width), HalvingMaxPool(),
        *_stage(2 * width, 4 * width), GlobalAverage(),
        nn.Dropout(dropout),
    )  # fmt: skip
    return he_initialised(Classifier(backbone, nn.Linear(4 * width, num_classes)))


def _stage(channels: int, width: int) -> list[nn.Module]:
    return [conv3x3(channels, width), *norm_relu(width), conv3x3(width, width), *norm_relu(width)]
