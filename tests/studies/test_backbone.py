"""Networks of timm in the commands: features without a run, and models of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from tests.fake_timm import NETWORKS, Network, Timm, install
from tests.studies.conftest import Silent, asked
from torch import nn

from steelyard import InputError
from steelyard.data import Encoding, read
from steelyard.studies.backbone import write_backbone_features
from steelyard.studies.compare import compare
from steelyard.studies.config import Data
from steelyard.studies.predict import predict_on
from steelyard.words import Word

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = Word.parse("timm(name=resnet18, pretrained=false)")


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> Timm:
    return install(monkeypatch)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """60 coloured images of the size that the network wants, in parts and groups."""
    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = generator.integers(0, 200, size=(60, 16, 16, 3)) + 20 * y[:, None, None, None]
    part = np.where(np.arange(60) < 42, "train", "test")
    path = tmp_path / "images.npz"
    np.savez(
        path,
        X=X.astype(np.uint8),
        y=np.array(["a", "b", "c"])[y],
        split=part,
        group=np.arange(60) // 6 * 3 + y,
    )
    return path


def written(word: Word, data: Data, out: Path) -> dict[str, np.ndarray]:
    count = write_backbone_features(word, data, out, device="cpu")
    with np.load(out) as file:
        arrays = dict(file)
    assert len(arrays["X"]) == count
    return arrays


def test_features_without_a_run_are_those_of_the_network(images: Path, tmp_path: Path) -> None:
    network = Network(NETWORKS["resnet18"], 1000).eval()
    torch.save(network.state_dict(), tmp_path / "kept.safetensors")
    word = Word("timm", {"name": "resnet18", "weights": str(tmp_path / "kept.safetensors")})
    found = written(word, Data(source=str(images)), tmp_path / "f.npz")
    with np.load(images) as file:
        x = torch.from_numpy(file["X"]).permute(0, 3, 1, 2) / 255
        np.testing.assert_array_equal(found["split"], file["split"])
        np.testing.assert_array_equal(found["group"], file["group"])
        np.testing.assert_array_equal(found["classes"][found["y"]], file["y"])
    network.fc = nn.Identity()
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    expected = network((x - mean[:, None, None]) / std[:, None, None]).detach()
    np.testing.assert_allclose(found["X"], expected, atol=1e-5)
    assert found["X"].dtype == np.float32
    np.testing.assert_array_equal(found["index"], np.arange(60))
    again = read(str(tmp_path / "f.npz"))
    assert (again.classes, len(again)) == (("a", "b", "c"), 60)


def test_random_weights_are_the_same_each_time_and_disturb_no_other_numbers(
    images: Path, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = (written(RANDOM, Data(source=str(images)), tmp_path / "f.npz")["X"] for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert torch.equal(torch.rand(3), expected)


def test_a_folder_is_read_at_the_size_that_the_network_sees(tmp_path: Path) -> None:
    for n, (part, name) in enumerate(
        (part, name) for part in ("train", "test") for name in ("cat", "dog") for _ in range(3)
    ):
        (tmp_path / "pets" / part / name).mkdir(parents=True, exist_ok=True)
        picture = np.full((50 + n, 40, 3), 20 * n, dtype=np.uint8)  # each of another size
        Image.fromarray(picture).save(tmp_path / "pets" / part / name / f"{n}.png")
    rows = ["image,owner", *(f"{n}.png,owner{n // 3}" for n in range(12))]
    (tmp_path / "owners.csv").write_text("\n".join(rows))
    data = Data(source=str(tmp_path / "pets"), group="owner", metadata=str(tmp_path / "owners.csv"))
    found = written(RANDOM, data, tmp_path / "f.npz")
    assert found["X"].shape == (12, 6)
    assert sorted(found["split"]) == ["test"] * 6 + ["train"] * 6
    assert len(set(found["group"].tolist())) == 4
    larger = Word("timm", {**RANDOM.params, "image_size": 40})
    assert written(larger, data, tmp_path / "f.npz")["X"].shape == (12, 6)


def test_what_cannot_give_features_is_refused(images: Path, table: Path, tmp_path: Path) -> None:
    def refused(word: str, source: Path, out: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            write_backbone_features(Word.parse(word), Data(source=str(source)), tmp_path / out, device="cpu")

    refused("timm", images, "f.csv", r"expected --out as an \.npz file")
    refused("timm(hidden=8)", images, "f.npz", r"leave hidden out of timm\(hidden=8\)")
    refused("timm", table, "f.npz", "blobs: expected images, got a table")
    assert not (tmp_path / "f.npz").exists()


def test_a_trained_model_keeps_the_scale_of_its_network_and_needs_its_weights_no_more(
    images: Path, tmp_path: Path, timm: Timm
) -> None:
    study = asked(
        images,
        model="timm(name=resnet18.a1_in1k, hidden=8, dropout=0.5)",
        methods=["ce", "umm", "smote"],
        seeds=1,
        critical=["c"],
    )
    store = compare(study, tmp_path / "study", Silent())
    assert [stored.failure for stored in store.runs()] == [None] * 3
    timm.offline = OSError("the network is away")
    for stored in store.runs():
        kept = torch.load(stored.folder / "model.pt", weights_only=True)
        encoding = Encoding.from_json(kept["encoding"])
        assert (encoding.mean, encoding.std) == ((0, 0, 0), (1, 1, 1))
        again, _, _ = predict_on(stored, str(images), labelled=True, device="cpu")
        test = stored.predictions("test")
        np.testing.assert_allclose(again.logits[test.index], test.logits, atol=1e-5)
