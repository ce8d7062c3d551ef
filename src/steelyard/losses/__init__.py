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
from steelyard.losses.costs import CostSensitive
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
from steelyard.losses.features import CenterLoss, FeatureLoss, RangeLoss
from steelyard.losses.loss import CountedLoss, Loss
from steelyard.losses.probability import GeneralisedCrossEntropy, Sparsemax, SquaredError
from steelyard.losses.scales import SingleScale, TwoScale, TwoScaleFixed, TwoScaleSeparation

__all__ = [
    "LDAM",
    "AsymmetricFocal",
    "AsymmetricMargin",
    "BalancedBCE",
    "BalancedCrossEntropy",
    "BalancedSoftmax",
    "BinaryCrossEntropy",
    "CenterLoss",
    "CostSensitive",
    "CountedLoss",
    "CriticalCrossEntropy",
    "CrossEntropy",
    "EffectiveNumber",
    "FeatureLoss",
    "Focal",
    "GeneralisedCrossEntropy",
    "LogitAdjusted",
    "Loss",
    "MiniBatchAUC",
    "PerImage",
    "RangeLoss",
    "SingleScale",
    "Sparsemax",
    "SquaredError",
    "SquaredFalseError",
    "SymmetricFocal",
    "SymmetricMargin",
    "TwoScale",
    "TwoScaleFixed",
    "TwoScaleSeparation",
    "WeightedBCE",
]
