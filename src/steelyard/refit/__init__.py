"""Refits: a trained model's last linear layer learned anew on the features of its training samples."""

from steelyard.refit.linear import LastLayer, LogisticRefit, Refit, RefitError, WeightedSVM
from steelyard.refit.resampling import (
    ADASYN,
    SMOTE,
    ClusterCentroids,
    InstanceHardness,
    NearMiss,
    NeighbourhoodCleaning,
)

__all__ = [
    "ADASYN",
    "SMOTE",
    "ClusterCentroids",
    "InstanceHardness",
    "LastLayer",
    "LogisticRefit",
    "NearMiss",
    "NeighbourhoodCleaning",
    "Refit",
    "RefitError",
    "WeightedSVM",
]
