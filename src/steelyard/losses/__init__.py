"""Losses of logits (N, C) and targets (N,): one value per sample, reduced only where asked."""

from steelyard.losses.binary import (
    BalancedBinaryCrossEntropy,
    BinaryCrossEntropy,
    BinaryFocal,
    BinaryMargin,
    WeightedBinaryCrossEntropy,
)
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
from steelyard.losses.margin import AdditiveMargin, ArcFace, LargeMargin, SphereFace
from steelyard.losses.probability import GeneralisedCrossEntropy, Sparsemax, SquaredError
from steelyard.losses.scales import SingleScale, TwoScale, TwoScaleFixed, TwoScaleSeparation
from steelyard.losses.uncertain import LiteralSampleMargin, SampleUncertaintyMargin, UncertaintyMargin
from steelyard.losses.wrapper import LossWrapper

__all__ = [
    "LDAM",
    "AdditiveMargin",
    "ArcFace",
    "AsymmetricFocal",
    "AsymmetricMargin",
    "BalancedBCE",
    "BalancedBinaryCrossEntropy",
    "BalancedCrossEntropy",
    "BalancedSoftmax",
    "BinaryCrossEntropy",
    "BinaryFocal",
    "BinaryMargin",
    "CenterLoss",
    "CostSensitive",
    "CountedLoss",
    "CriticalCrossEntropy",
    "CrossEntropy",
    "EffectiveNumber",
    "FeatureLoss",
    "Focal",
    "GeneralisedCrossEntropy",
    "LargeMargin",
    "LiteralSampleMargin",
    "LogitAdjusted",
    "Loss",
    "LossWrapper",
    "MiniBatchAUC",
    "PerImage",
    "RangeLoss",
    "SampleUncertaintyMargin",
    "SingleScale",
    "Sparsemax",
    "SphereFace",
    "SquaredError",
    "SquaredFalseError",
    "SymmetricFocal",
    "SymmetricMargin",
    "TwoScale",
    "TwoScaleFixed",
    "TwoScaleSeparation",
    "UncertaintyMargin",
    "WeightedBCE",
    "WeightedBinaryCrossEntropy",
]
