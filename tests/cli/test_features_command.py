"""The verbs of features, as a user types them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tests.fake_timm import install

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for person in ("Ada", "Bea"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        for n in range(1, 9):
            picture = generator.integers(0, 60, size=(8, 8))
            picture[:, slice(0, 4) if person == "Ada" else slice(4, 8)] += 180
            path = tmp_path / "faces" / person / f"{person}_{n:04d}.png"
            Image.fromarray(picture.astype(np.uint8)).save(path)
    return tmp_path / "faces"


def test_train_then_features_and_verify(steelyard: Run, faces: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "model", tmp_path / "features.npz"
    small = ["--model", "mlp(hidden=[16])", "--epochs", "10", "--batch-size", "8", "--lr", "0.01", "--quiet"]
    assert steelyard("train", faces, "--method", "smote(neighbours=2)", "--out", model, *small)[0] == 0
    code, said, _ = steelyard("features", model, faces, "--out", out)
    assert (code, said) == (0, f"features of 16 samples: {out}\n")
    assert np.load(out)["X"].shape == (16, 16)
    lines = [f"Ada {n} {n + 4}\nBea {n} {n + 4}\nAda {n} Bea {n}\nAda {n} Bea {n + 4}" for n in (1, 2, 3, 4)]
    code, said, _ = steelyard("features", model, faces, "--held-out", "--out", out)
    assert (code, np.unique(np.load(out)["split"]).tolist()) == (0, ["test", "train"])
    assert said == f"features of {len(np.load(out)['y'])} samples: {out}\n"
    assert len(np.load(out)["y"]) < 16
    (tmp_path / "pairs.txt").write_text("\n".join(["4 2", *lines]))
    code, said, _ = steelyard("verify", model, faces, "--pairs", tmp_path / "pairs.txt", "--json")
    assert code == 0
    figures = json.loads(said)
    assert (figures["folds"], figures["pairs"]) == (4, 16)
    assert figures["accuracy"] == 1


def test_features_by_a_network_of_timm_need_no_run(
    steelyard: Run, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    out = tmp_path / "features.npz"
    code, said, _ = steelyard("features", "timm(name=resnet18)", faces, "--out", out)
    assert (code, said) == (0, f"features of 16 samples: {out}\n")
    assert np.load(out)["X"].shape == (16, 6)
    code, _, said = steelyard("features", "timm(name=resnet18)", faces, "--held-out")
    assert (code, "--held-out is for a run" in said) == (2, True)
    code, _, said = steelyard("features", "timm(name=resnt18)", faces, "--out", out)
    assert (code, said.count("\n")) == (2, 1)
    assert "timm has no network 'resnt18'. Near: resnet18" in said


def test_without_timm_its_extra_is_named(
    steelyard: Run, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    for words in (("features", "timm"), ("train", "--model", "timm")):
        code, _, said = steelyard(*words, faces, "--out", tmp_path / "out.npz")
        assert (code, said.count("\n")) == (2, 1)
        assert 'the model timm needs the extra vision: pip install "steelyard[vision]"' in said


def test_mistakes_are_one_line(steelyard: Run, faces: Path, tmp_path: Path) -> None:
    assert steelyard("features", faces, faces)[0] == 2
    code, _, said = steelyard("features", faces, faces, "--group", "person")
    assert (code, said.count("\n")) == (2, 1)
    assert "--group and --metadata are for a network of timm" in said
    code, _, said = steelyard("train", faces, "--method", "smote(neighbours=0)", "--out", tmp_path / "model")
    assert (code, said.count("\n")) == (2, 1)
    assert "neighbours must be a whole number of at least 1, got 0" in said
