"""Constraints: what a batch's scores must fulfil beside a small loss, as a penalty with multipliers."""

from steelyard.constraints.augmented import AUCConstraint

__all__ = ["AUCConstraint"]
