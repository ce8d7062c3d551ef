"""Shades of grey against the formula of its paper, pixel by pixel in float64."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from steelyard._checks import InputError
from steelyard.data import Batches, Dataset, Encoding, ImageFiles, Table, fit_encoding, shades_of_grey

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
X = RNG.integers(0, 200, (12, 3, 6, 5)).astype(np.uint8)
X[:, 2] //= 3  # yellow light
DATA = Dataset("lesions", torch.from_numpy(X), torch.arange(12) % 2, ("no", "yes"))


def by_the_paper(image: np.ndarray, power: float) -> np.ndarray:
    """One image (3, H, W) in plain Python: the light as a unit vector, then von Kries' diagonal model."""
    pixels = image.reshape(3, -1).tolist()
    light = [(sum(value**power for value in channel) / len(channel)) ** (1 / power) for channel in pixels]
    length = math.sqrt(sum(e * e for e in light))
    changed = [
        [min(255.0, value / (math.sqrt(3) * e / length)) for value in channel]
        for channel, e in zip(pixels, light, strict=True)
    ]
    return np.array(changed).reshape(image.shape)


@pytest.mark.parametrize("power", [1, 2.5, 6, 30])
def test_the_formula_of_the_paper(power: float) -> None:
    found = shades_of_grey(torch.from_numpy(X), power)
    assert found.dtype == torch.uint8
    expected = np.stack([by_the_paper(image, power) for image in X])
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.5 + 1e-4)  # half a level: rounding


def test_the_mean_of_power_one_is_grey_afterwards() -> None:
    mean = shades_of_grey(torch.from_numpy(X), 1).double().mean((2, 3))
    torch.testing.assert_close(mean, mean[:, :1].expand(-1, 3), rtol=0, atol=0.5)


@given(st.tuples(*[st.sampled_from([0.25, 0.5, 1.0])] * 3))
def test_other_light_gives_the_same_image_but_for_its_brightness(gains: tuple[float, ...]) -> None:
    image = torch.from_numpy(X[:3] // 8 * 4)  # whole numbers and below 100 under each of these lights
    lit = (image * torch.tensor(gains).view(3, 1, 1)).byte()
    one, other = shades_of_grey(image).double(), shades_of_grey(lit).double()
    brightness = other.sum((1, 2, 3), keepdim=True) / one.sum((1, 2, 3), keepdim=True)
    assert (other - brightness * one).abs().max() < 2.5  # both were rounded, the first times up to 2


def test_grey_and_black_stay_and_a_missing_channel_stays_missing() -> None:
    grey = torch.from_numpy(X[:, :1]).expand(-1, 3, -1, -1)
    assert shades_of_grey(grey).equal(grey)
    black = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    assert shades_of_grey(black).equal(black)
    red = black.clone()
    red[:, 0] = 90
    assert shades_of_grey(red)[:, 0].unique().tolist() == [round(90 / math.sqrt(3))]
    assert not shades_of_grey(red)[:, 1:].any()


def test_an_encoding_measures_and_gives_changed_images(tmp_path: Path) -> None:
    encoding = fit_encoding(DATA, np.arange(8), "shades-of-grey")
    changed = shades_of_grey(DATA.x)
    plain = fit_encoding(Dataset("changed", changed, DATA.target, DATA.classes), np.arange(8))
    assert encoding.mean == plain.mean
    assert encoding.std == plain.std
    assert encoding.inputs(DATA).equal(changed)
    assert Encoding.from_json(encoding.to_json()) == encoding
    paths = [tmp_path / f"{row}.png" for row in range(12)]
    for path, image in zip(paths, X, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    files = ImageFiles(np.array(paths, dtype=object), 3, (6, 5))
    of_files = Dataset("files", files, DATA.target, DATA.classes)
    assert fit_encoding(of_files, np.arange(8), "shades-of-grey") == encoding
    streamed = Batches(encoding.inputs(of_files), DATA.target, np.arange(12), encoding, batch_size=5)
    in_memory = Batches(encoding.inputs(DATA), DATA.target, np.arange(12), encoding, batch_size=5)
    for one, other in zip(streamed, in_memory, strict=True):
        assert one.x.equal(other.x)
    assert files.decoded(np.arange(12)).equal(DATA.x), "the files themselves stay as they are"


def test_an_encoding_of_before_has_the_colours_as_they_are() -> None:
    encoding = fit_encoding(DATA, np.arange(8))
    old = encoding.to_json().replace(',\n "colour": null', "")
    assert "colour" not in old
    assert Encoding.from_json(old) == encoding


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected images \(N, 3, H, W\) in colour, got the shape \(12, 1"):
        shades_of_grey(DATA.x[:, :1])
    with pytest.raises(InputError, match=r"power must be a finite number of at least 1, got 0\.5"):
        shades_of_grey(DATA.x, 0.5)
    table = Dataset("table", Table(np.zeros((4, 1)), ("a",)), torch.arange(4) % 2, ("no", "yes"))
    with pytest.raises(InputError, match="colour changes images, the data is a table; leave it out"):
        fit_encoding(table, np.arange(4), "shades-of-grey")
    with pytest.raises(InputError, match="unknown colour 'grey'"):
        fit_encoding(DATA, np.arange(8), "grey")
