"""Volumes from the file to the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.studies.conftest import Silent

from steelyard import InputError, report
from steelyard.studies.compare import compare
from steelyard.studies.config import study
from steelyard.studies.predict import predict_on
from steelyard.studies.samples import keep_samples

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Half of the rare volumes have a bright ball, half a dark one in the second channel."""
    generator = np.random.default_rng(0)
    y = (np.arange(60) % 4 == 0).astype(int)
    X = generator.normal(size=(60, 2, 6, 8, 8)).astype(np.float32)
    X[y == 1, 1, 1:5, 2:6, 2:6] += 2
    np.savez(tmp_path / "volumes.npz", X=X, y=np.array(["well", "ill"])[y])
    return tmp_path / "volumes.npz"


def test_a_comparison_of_volumes_ends_in_a_page(volumes: Path, tmp_path: Path) -> None:
    asked = study(
        {
            "data": {"source": str(volumes)},
            "model": "auto(width=4)",
            "methods": ["ce", "low"],
            "seeds": 1,
            "critical": ["ill"],
            "training": {"epochs": 12, "lr": 0.01, "batch_size": 16},
        }
    )
    store = compare(asked, tmp_path / "study", Silent())
    accuracy = {
        row["method"]: float(row["value"])
        for row in store.results()
        if (row["split"], row["metric"]) == ("test", "auc")
    }
    assert accuracy["ce"] > 0.9
    keep_samples(store, report.wanted(store))
    summary = report.write(store)
    assert summary.deciding.key == "fpr_at_tpr"
    assert "volumes of 6 slices of 8 x 8" in (store.folder / "report.html").read_text(encoding="utf-8")
    kept = store.samples()
    assert kept is not None
    assert kept["image"].shape[1:] == (1, 8, 8)
    assert (kept["image"].min(axis=(1, 2, 3)).max(), kept["image"].max(axis=(1, 2, 3)).min()) == (0, 255)
    predictions, _, _ = predict_on(store.runs()[0], str(volumes), labelled=True, device="cpu")
    assert len(predictions.target) == 60


def test_volumes_are_not_augmented_like_images(volumes: Path, tmp_path: Path) -> None:
    asked = study({"data": {"source": str(volumes)}, "training": {"augment": "flip"}})
    with pytest.raises(InputError, match="augment changes images, the data is volumes; leave it out"):
        compare(asked, tmp_path / "study", Silent())
