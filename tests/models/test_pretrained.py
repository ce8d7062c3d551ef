"""Networks of timm: what they are given, where their weights come from, what cannot be had."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.fake_timm import NETWORKS, Network, Timm, install
from torch import nn

from steelyard import InputError, catalog
from steelyard.models import from_timm, seen_size, without_weights
from steelyard.models.pretrained import AsPretrained
from steelyard.uncertainty import stochastic_logits
from steelyard.words import Word

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> Timm:
    return install(monkeypatch)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Network]:
    """A file of the weights of a network with classes, and that network."""
    network = Network(NETWORKS["resnet18"], 1000).eval()
    torch.save(network.state_dict(), tmp_path / "kept.safetensors")
    return tmp_path / "kept.safetensors", network


@pytest.mark.parametrize(("size", "seen"), [((8, 8), (24, 20)), ((40, 30), (16, 16)), ((16, 16), (16, 16))])
def test_images_are_resized_as_pillow_does_and_standardised_by_hand(
    size: tuple[int, int], seen: tuple[int, int]
) -> None:
    x = torch.rand(2, 3, *size)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    found = AsPretrained(seen, mean, std)(x).numpy()
    for image, pixels in zip(found, x.numpy(), strict=True):
        for c, (channel, plane) in enumerate(zip(image, pixels, strict=True)):
            small = Image.fromarray(plane, mode=None).resize(seen[::-1], Image.Resampling.BILINEAR)
            np.testing.assert_allclose(channel, (np.asarray(small) - mean[c]) / std[c], atol=1e-5)


def test_features_are_those_of_the_network_on_its_own_scale(kept: tuple[Path, Network]) -> None:
    path, network = kept
    model = from_timm((3, 16, 16), 5, weights=str(path)).eval()
    x = torch.rand(4, 3, 16, 16)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    network.fc = nn.Identity()
    expected = network((x - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(model.features(x), expected)
    assert model(x).shape == (4, 5)
    assert model.last_linear is model.head
    assert model.standardises


def test_grey_images_become_three_equal_channels(kept: tuple[Path, Network]) -> None:
    grey = from_timm((1, 16, 16), 2, weights=str(kept[0])).eval()
    coloured = from_timm((3, 16, 16), 2, weights=str(kept[0])).eval()
    x = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(grey.features(x), coloured.features(x.repeat(1, 3, 1, 1)))


def test_the_head_of_the_paper() -> None:
    model = from_timm((3, 16, 16), 5, hidden=7, dropout=0.5)
    added = list(model.backbone)[2:]
    assert [type(layer) for layer in added] == [nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout]
    assert (added[0].p, added[3].p) == (0.5, 0.5)
    assert (added[1].in_features, added[1].out_features) == (6, 7)
    assert (model.head.in_features, model.head.out_features) == (7, 5)
    plain = from_timm((3, 16, 16), 5)
    assert [type(layer) for layer in list(plain.backbone)[2:]] == [nn.Dropout]


def test_only_what_follows_the_first_dropout_is_repeated() -> None:
    model = from_timm((3, 8, 8), 3, hidden=7, dropout=0.5)
    sizes = []
    for layer in (model.backbone[1], model.backbone[3], model.head):
        layer.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    logits = stochastic_logits(model, torch.rand(4, 3, 8, 8), passes=5)
    assert sizes == [4, 20, 20]
    assert logits.shape == (5, 4, 3)
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize(
    ("word", "asked"),
    [
        ("timm", {"name": "resnet18.a1_in1k", "pretrained": True}),
        ("timm(name=resnet18, pretrained=false)", {"name": "resnet18", "pretrained": False}),
        ("timm(name=resnet18, image_size=32)", {"name": "resnet18", "pretrained": True}),
        ("timm(name=vit)", {"name": "vit", "pretrained": True}),
        ("timm(name=vit, image_size=32)", {"name": "vit", "pretrained": True, "img_size": (32, 32)}),
    ],
)
def test_what_timm_is_asked_for(timm: Timm, word: str, asked: dict[str, Any]) -> None:
    model = catalog.model(word, (1, 8, 8), 3)
    assert timm.made == [{"num_classes": 0, **asked}]
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 3)
    seen = []
    model.backbone[1].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    model(torch.rand(2, 1, 8, 8))
    assert seen == [(2, 3, *seen_size(Word.parse(word)))]


def test_the_size_that_a_network_sees() -> None:
    assert seen_size(Word.parse("timm")) == (16, 16)
    assert seen_size(Word.parse("timm(name=vit)")) == (24, 16)
    assert seen_size(Word.parse("timm(name=vit, image_size=64)")) == (64, 64)
    with pytest.raises(InputError, match="image_size must be a whole number of at least 32, got 'large'"):
        seen_size(Word.parse("timm(image_size=large)"))


def test_random_weights_come_from_torchs_random_state() -> None:
    one, again, other = (from_timm((3, 16, 16), 2, pretrained=False) for _ in seeded(1, 1, 2))
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(one(x), again(x))
    assert not torch.equal(one(x), other(x))
    first, second = (from_timm((3, 16, 16), 2).backbone[1].state_dict() for _ in seeded(1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def seeded(*seeds: int) -> Any:
    for seed in seeds:
        torch.manual_seed(seed)
        yield


def test_a_file_stands_in_the_place_of_timms_weights(timm: Timm, kept: tuple[Path, Network]) -> None:
    timm.offline = OSError("nobody must fetch")
    model = from_timm((3, 16, 16), 2, "resnet18", weights=str(kept[0]))
    own = kept[1].state_dict()
    assert all(torch.equal(tensor, own[key]) for key, tensor in model.backbone[1].state_dict().items())


def test_files_that_do_not_fit_are_refused(tmp_path: Path, kept: tuple[Path, Network]) -> None:
    def refused(path: Path, message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            from_timm((3, 16, 16), 2, "resnet18", weights=str(path))
        assert "\n" not in str(caught.value)

    refused(
        tmp_path / "kept.pt", r"expected weights as a \.safetensors file, which holds no code, got .*\.pt"
    )
    refused(tmp_path / "none.safetensors", r"none\.safetensors: no such file of weights")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    refused(tmp_path / "bad.safetensors", r"cannot read .*bad\.safetensors: header too large")
    tensors = kept[1].state_dict()
    few = {key: tensor for key, tensor in tensors.items() if key != "pre_logits.bias"}
    torch.save(few, kept[0])
    refused(kept[0], r"1 tensors differ, such as pre_logits\.bias, expected of shape \(6,\), got none")
    torch.save(tensors | {"more.weight": torch.zeros(3)}, kept[0])
    refused(kept[0], r"1 tensors differ, such as more\.weight, expected of shape none, got \(3,\)")
    torch.save(tensors | {"pre_logits.bias": torch.zeros(7)}, kept[0])
    refused(kept[0], r"does not fit resnet18: .* expected of shape \(6,\), got \(7,\)")


def test_a_word_without_its_weights_makes_the_same_network(timm: Timm) -> None:
    word = without_weights(Word.parse("timm(name=vit, weights=x.safetensors, hidden=3)"))
    timm.offline = OSError("nobody must fetch")
    model = catalog.model(word, (1, 8, 8), 3)
    assert model.head.in_features == 3
    other = Word.parse("my.nets:make(pretrained=true)")
    assert without_weights(other) is other


@pytest.mark.parametrize("error", [FileNotFoundError, RuntimeError])
def test_weights_that_cannot_be_fetched(timm: Timm, error: type[Exception]) -> None:
    timm.offline = error("the hub is away. Please check\nyour connection.")
    with pytest.raises(
        InputError,
        match=r"^cannot get the weights of resnet18: the hub is away\. Connect to the network once, or give "
        r"weights=FILE\.safetensors, or pretrained=false for random ones\.$",
    ):
        from_timm((3, 16, 16), 2, "resnet18")


@pytest.mark.parametrize("found", [None, RuntimeError("operator torchvision::nms does not exist")])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, found: Exception | None) -> None:
    def broken(name: str) -> None:
        raise found or ImportError(f"No module named {name!r}")

    monkeypatch.setitem(sys.modules, "timm", None)
    if found:
        monkeypatch.setattr("steelyard.models.pretrained.import_module", broken)
    with pytest.raises(InputError, match=r'^the model timm needs the extra vision: pip install "steelyard\['):
        from_timm((3, 16, 16), 2)


def test_names_that_timm_does_not_know() -> None:
    with pytest.raises(
        InputError, match=r"timm has no network 'resnt18'\. Near: resnet18, resnet18\.a1_in1k\."
    ):
        from_timm((3, 16, 16), 2, "resnt18")
    with pytest.raises(InputError, match=r"timm has no network 'xyz'\. timm\.list_models\(\) names all\."):
        from_timm((3, 16, 16), 2, "xyz")


@pytest.mark.parametrize(
    ("shape", "wrong", "message"),
    [
        ((4, 16, 16), {}, "timm reads images of 1 or 3 channels, got 4"),
        ((3, 16, 16), {"pretrained": "no"}, "pretrained must be true or false, got 'no'"),
        ((3, 16, 16), {"dropout": 2}, "dropout must lie between 0 and 1"),
        ((3, 16, 16), {"hidden": -1}, "hidden must be a whole number of at least 0, got -1"),
        ((3, 16, 16), {"image_size": 16}, "image_size must be a whole number of at least 32, got 16"),
        ((3, 16, 16), {"image_size": 33}, "resnet18 cannot read images of 33 x 33 pixels: no such size"),
    ],
)
def test_other_values_are_refused(shape: tuple[int, ...], wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_timm(shape, 2, "resnet18", **wrong)
