"""Contract checks for losses, weightings, constraints and objectives, for plug-ins as for this package's own.

Each check raises an AssertionError that says which promise was broken. They run on a CPU in about a second.
"""

from steelyard.testing.contracts import (
    check_constraint,
    check_label_loss,
    check_loss,
    check_objective,
    check_weighting,
)
from steelyard.testing.hooks import check_hooks

__all__ = [
    "check_constraint",
    "check_hooks",
    "check_label_loss",
    "check_loss",
    "check_objective",
    "check_weighting",
]
