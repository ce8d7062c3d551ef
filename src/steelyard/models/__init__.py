"""Networks by name, each sized to the data: ``MODELS[name](input_shape, num_classes, **params)``.

Every maker returns a :class:`Classifier`, which gives features and logits. Initial weights are drawn from
PyTorch's global random state, as in any ``nn.Module``: seed it (``torch.manual_seed``) before the call.

>>> import torch
>>> model = MODELS["lenet5"]((1, 28, 28), 10)
>>> model(torch.zeros(2, 1, 28, 28)).shape, model.features(torch.zeros(2, 1, 28, 28)).shape
(torch.Size([2, 10]), torch.Size([2, 84]))
"""

from __future__ import annotations

from steelyard.models.classifier import Classifier, Maker, parameter_count
from steelyard.models.densenet import densenet_bc
from steelyard.models.heads import MarginHead
from steelyard.models.imported import from_path
from steelyard.models.lenet import lenet5
from steelyard.models.mlp import mlp
from steelyard.models.pretrained import from_timm, seen_size, without_weights
from steelyard.models.resnet import resnet10, resnet18, resnet20
from steelyard.models.small_cnn import small_cnn
from steelyard.models.two_path import cnn3d_two_path
from steelyard.models.wide_resnet import wide_resnet

MODELS: dict[str, Maker] = {
    "mlp": mlp,
    "lenet5": lenet5,
    "small-cnn": small_cnn,
    "resnet10": resnet10,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "wrn-28-2": wide_resnet,
    "densenet-bc": densenet_bc,
    "cnn3d-two-path": cnn3d_two_path,
    "timm": from_timm,
}

__all__ = [
    "MODELS",
    "Classifier",
    "Maker",
    "MarginHead",
    "cnn3d_two_path",
    "densenet_bc",
    "from_path",
    "from_timm",
    "lenet5",
    "mlp",
    "parameter_count",
    "resnet10",
    "resnet18",
    "resnet20",
    "seen_size",
    "small_cnn",
    "wide_resnet",
    "without_weights",
]
