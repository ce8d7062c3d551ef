"""A comparison from Python: the study, its runs, its page. The same as ``steelyard compare digits ...``.

Run with ``python examples/compare_in_python.py FOLDER``. A second call trains nothing, it makes the page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard import report
from steelyard.studies.compare import compare
from steelyard.studies.config import study
from steelyard.studies.samples import keep_samples

if TYPE_CHECKING:
    from steelyard.studies.config import Run
    from steelyard.studies.store import StoredRun


class Lines:
    """Prints a line for every finished run."""

    def start(self, missing: list[Run], there: int) -> None:
        """Say what is to be done."""
        print(f"{len(missing)} runs to train, {there} are there")

    def epoch(self, run: Run, row: dict[str, float]) -> None:
        """Say nothing of single epochs."""

    def finished(self, stored: StoredRun) -> None:
        """Say that a run is whole."""
        print(f"{stored.run.method}, seed {stored.run.seed}: {stored.failure or 'done'}")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/digits")
    asked = study(
        {
            "data": {"source": "digits", "classes": ["1", "8"], "imbalance": "counts(8=12)"},
            "model": "mlp(hidden=[32])",
            "methods": ["ce", "low(lam=0.1)"],
            "training": {"epochs": 10},
            "seeds": 2,
            "critical": ["8"],
            "at_tpr": 0.95,
        }
    )
    store = compare(asked, folder, Lines(), device="cpu")
    keep_samples(store, report.wanted(store))  # pictures for the page's galleries
    print(report.write(store).headline)
    print(f"The page: {folder / 'report.html'}")
