"""Constraints: what a batch's scores must fulfil beside a small loss, as a penalty with multipliers."""

from steelyard.constraints.augmented import AUCConstraint
from steelyard.constraints.lagrangian import AugmentedLagrangian
from steelyard.constraints.operating_point import FalseAlarmConstraint

__all__ = ["AUCConstraint", "AugmentedLagrangian", "FalseAlarmConstraint"]
