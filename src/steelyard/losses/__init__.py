"""Losses of logits (N, C) and targets (N,): one value per sample, reduced only where asked."""

from steelyard.losses.binary import BinaryCrossEntropy
from steelyard.losses.classification import (
    LDAM,
    BalancedCrossEntropy,
    BalancedSoftmax,
    CrossEntropy,
    EffectiveNumber,
    Focal,
    LogitAdjusted,
)
from steelyard.losses.critical import (
    AsymmetricFocal,
    AsymmetricMargin,
    BalancedBCE,
    CriticalCrossEntropy,
    MiniBatchAUC,
    SquaredFalseError,
    SymmetricFocal,
    SymmetricMargin,
    WeightedBCE,
)
from steelyard.losses.dense import PerImage
from steelyard.losses.loss import CountedLoss, Loss

__all__ = [
    "LDAM",
    "AsymmetricFocal",
    "AsymmetricMargin",
    "BalancedBCE",
    "BalancedCrossEntropy",
    "BalancedSoftmax",
    "BinaryCrossEntropy",
    "CountedLoss",
    "CriticalCrossEntropy",
    "CrossEntropy",
    "EffectiveNumber",
    "Focal",
    "LogitAdjusted",
    "Loss",
    "MiniBatchAUC",
    "PerImage",
    "SquaredFalseError",
    "SymmetricFocal",
    "SymmetricMargin",
    "WeightedBCE",
]
