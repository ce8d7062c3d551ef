from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.studies.config import Run, Study, study
from steelyard.studies.store import StoredRun


class Silent:
    """A listener that only remembers."""

    def __init__(self) -> None:
        self.trained: list[Run] = []

    def start(self, missing: list[Run], there: int) -> None: ...

    def epoch(self, run: Run, row: dict[str, float]) -> None: ...

    def finished(self, stored: StoredRun) -> None:
        self.trained.append(stored.run)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """120 samples of three classes, 4 features that tell them apart."""
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [80, 28, 12])
    X = generator.normal(size=(120, 4)) + y[:, None] * 1.2
    path = tmp_path / "blobs.npz"
    np.savez(path, X=X, y=np.array(["no", "maybe", "yes"])[y])
    return path


def asked(table: Path, **changed: Any) -> Study:
    values: dict[str, Any] = {
        "data": {"source": str(table)},
        "model": "mlp(hidden=[16], dropout=0.2)",
        "methods": ["ce", "low(lam=0.1)"],
        "seeds": 2,
        "critical": ["yes"],
        "training": {"epochs": 4, "batch_size": 32, "lr": 0.01},
    }
    return study(values | changed)
