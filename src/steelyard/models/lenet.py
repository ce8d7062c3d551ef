"""LeNet-5 in the form used with MNIST today: ReLU, max-pooling and a linear output."""

from __future__ import annotations

from torch import nn

from steelyard import _checks as check
from steelyard.models.classifier import Classifier, image_shape
from steelyard.models.layers import HalvingMaxPool


def lenet5(input_shape: tuple[int, ...], num_classes: int, dropout: float = 0.0) -> Classifier:
    """LeNet-5 with ReLU and max-pooling; features are the 84 units before the output.

    conv 5x5 to 6 maps, ReLU, max-pool 2; conv 5x5 to 16 maps, ReLU, max-pool 2; linear 120, ReLU; linear 84,
    ReLU; linear C. The first convolution pads images below 32 pixels by 2, as the 28x28 digits were padded to
    the original's 32x32; the second pads images below 16 pixels by 2, or too little would be left of them.
    Weights start at PyTorch's defaults. 61,706 parameters for 1x28x28 and 10 classes; 62,006 for 3x32x32.

    Args:
        input_shape: (channels, height, width), at least 8x8; the first linear layer grows with the image.
        num_classes: C >= 1 logits.
        dropout: probability in [0, 1] before each of the three linear layers.

    Raises:
        InputError: for another shape, no class, or ``dropout`` outside [0, 1].

    References: LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE, 1998.

    >>> from steelyard.models import parameter_count
    >>> parameter_count(lenet5((1, 28, 28), 10))
    61706
    """
    channels, *sides = image_shape("lenet5", input_shape, num_classes)
    check.between("dropout", dropout, 0, 1)
    paddings = [2 if min(sides) < 32 else 0, 2 if min(sides) < 16 else 0]
    for padding in paddings:
        sides = [(side + 2 * padding - 4) // 2 for side in sides]
    backbone = nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=paddings[0]), nn.ReLU(), HalvingMaxPool(),
        nn.Conv2d(6, 16, 5, padding=paddings[1]), nn.ReLU(), HalvingMaxPool(), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(16 * sides[0] * sides[1], 120), nn.ReLU(),
        nn.Dropout(dropout), nn.Linear(120, 84), nn.ReLU(),
        nn.Dropout(dropout),
    )  # fmt: skip
    return Classifier(backbone, nn.Linear(84, num_classes))
