"""An experiment on the features of a backbone, as a user types it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from steelyard.studies import reproduce
from steelyard.studies.reproduce import Experiment
from steelyard.studies.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backbone of eight units in place of the paper's."""
    asked = Experiment.model_validate({
        "title": "", "source": "", "parts": {"one": {}, "two": {"methods": ["ce", "refit"]}},
        "backbone": {
            "data": {"source": "digits", "val_fraction": 0.5},
            "model": "mlp(hidden=[8])", "training": {"epochs": 2}, "quick": {"training": {"epochs": 1}},
        },
        "study": {
            "data": {"imbalance": "halved", "val_fraction": 0}, "model": "mlp(hidden=[4])",
            "methods": ["ce", "focal"], "seeds": 1, "training": {"epochs": 1},
        },
        "quick": {},
    })  # fmt: skip
    monkeypatch.setattr(reproduce, "experiment", lambda _: asked)


def ages(folder: Path) -> dict[str, float]:
    """When the results of the trainings were written, and the features."""
    files = [*folder.glob("**/model.pt"), *folder.glob("features.npz")]
    return {str(file): file.stat().st_mtime_ns for file in files}


def test_all_parts_run_on_features_of_samples_that_the_backbone_has_not_learnt_from(
    steelyard: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert steelyard("reproduce", "tiny", "--out", out, "--quiet")[0] == 0
    backbone, one, two = (Store(out / part) for part in ("backbone", "one", "two"))
    (trained,) = backbone.runs()
    assert (str(trained.run.method), len(trained.history())) == ("ce", 1)
    counts = trained.facts()["counts"]
    with np.load(out / "features.npz") as file:
        assert file["X"].shape == (len(file["y"]), 8)
        learnt = np.bincount(file["y"][file["split"] == "train"]).tolist()
        judged = np.bincount(file["y"][file["split"] == "test"]).tolist()
    assert (learnt, judged) == (counts["val"], counts["test"])
    for store in (one, two):
        assert store.study.data.source == str(out / "features.npz")
        found = store.runs()[0].facts()["counts"]
        assert found["test"] == judged  # whole
        shares = np.divide(found["train"], learnt)
        np.testing.assert_allclose(np.sort(shares), [0.1] * 5 + [1] * 5, atol=0.01)


def test_nothing_is_trained_twice_and_what_is_missing_is_made(steelyard: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("reproduce", "tiny", "--out", out, "--quiet")
    steelyard(*asked)
    before = ages(out)
    assert len(before) == 6
    assert steelyard(*asked)[0] == 0
    assert ages(out) == before
    with np.load(out / "features.npz") as file:
        features = file["X"]
    (out / "features.npz").unlink()
    steelyard(*asked)
    with np.load(out / "features.npz") as file:
        np.testing.assert_array_equal(file["X"], features)
    assert ages(out / "backbone") == {k: v for k, v in before.items() if "backbone" in k}
    code, _, said = steelyard(*asked, "--scale", "full")
    assert (code, "training.epochs was 1, is 2" in said) == (2, True)  # another backbone, another folder


def test_features_of_ones_own_take_the_place_of_the_backbones(steelyard: Run, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 30)
    own = tmp_path / "own.npz"
    np.savez(own, X=generator.normal(size=(120, 3)), y=y, split=np.array(["train", "train", "test"] * 40))
    out = tmp_path / "out"
    assert steelyard("reproduce", "tiny", "--data", own, "--out", out, "--quiet")[0] == 0
    assert sorted(path.name for path in out.iterdir()) == ["one", "two"]
    assert sorted(Store(out / "one").runs()[0].facts()["counts"]["train"]) == [2, 2, 20, 20]
