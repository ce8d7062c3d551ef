"""Several labels per sample: their measures under resampling weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steelyard.report.evidence import Scored

    Values = NDArray[np.float64]


def rarest_label(target: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the rarest of the labels (N, L) that each sample has, by its number; L for none.

    >>> rarest_label(np.array([[1, 1], [1, 0], [0, 0]])).tolist()
    [1, 0, 2]
    """
    common_first = np.argsort(-target.sum(axis=0), kind="stable")
    found = np.full(len(target), target.shape[1], dtype=np.int64)
    for label in common_first:  # of a sample's labels the rarest is written last
        found[target[:, label] == 1] = label
    return found


class PreparedLabels:
    """What one run needs for its measures under any weights."""

    def __init__(self, run: Scored) -> None:
        there = run.test.target == 1
        right = run.test.decision == run.test.target
        sides = (there, there & right, ~there, ~there & right)
        self.sides = [side.astype(np.float32) for side in sides]  # (N, L) each

    def plain(self) -> dict[str, float]:
        """Measures of the test samples as they are."""
        once = self.measures(np.ones((1, len(self.sides[0])), np.float32))
        return {name: float(value[0]) for name, value in once.items()}

    def measures(self, weight: NDArray[np.float32]) -> dict[str, Values]:
        """Measures (B,) by name, under each row of ``weight`` (B, N)."""
        there, found, absent, rejected = ((weight @ side).astype(np.float64) for side in self.sides)
        with np.errstate(invalid="ignore"):  # 0 / 0: a label without weight on one side is left out
            balanced = (found / there + rejected / absent) / 2
            known = np.isfinite(balanced)
            mean = np.where(known, balanced, 0).sum(axis=1) / known.sum(axis=1)
            accuracy = (found + rejected).sum(axis=1) / (there + absent).sum(axis=1)
        return {"accuracy": accuracy, "balanced_accuracy": mean}
