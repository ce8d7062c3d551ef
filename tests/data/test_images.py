"""Decoding of image files: what the decoder leaves out, and how much one image may take."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from steelyard._checks import InputError
from steelyard.data import images
from steelyard.data.images import decode, form

if TYPE_CHECKING:
    from pathlib import Path


def photograph(height: int, width: int) -> Image.Image:
    """Smooth colours with edges, as photographs have them."""
    y, x = np.mgrid[:height, :width] / 40
    waves = np.stack([np.sin(x + y), np.cos(2 * x - y), np.sin(x * y / 30)], axis=-1)
    return Image.fromarray((127 + 120 * np.sign(waves) * waves**2).astype(np.uint8))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_reduced_with_nearly_the_same_pixels(
    tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph(600, 800).save(tmp_path / "a.jpg", exif=exif, quality=95)
    size = (75, 100) if orientation == 1 else (100, 75)
    with Image.open(tmp_path / "a.jpg") as image:
        whole = image.convert("RGB")
    turned = whole if orientation == 1 else whole.transpose(Image.Transpose.ROTATE_270)
    expected = np.array(turned.resize(size[::-1], Image.Resampling.BILINEAR), dtype=float)
    reduced = decode(tmp_path / "a.jpg", 3, size).transpose(1, 2, 0)
    difference = np.abs(reduced - expected)
    assert 0 < difference.mean() < 1  # 0 would mean that the decoder left out nothing


def test_a_jpeg_below_twice_the_size_is_decoded_whole(tmp_path: Path) -> None:
    photograph(100, 120).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        expected = np.array(image.convert("RGB").resize((70, 60), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode(tmp_path / "a.jpg", 3, (60, 70)).transpose(1, 2, 0), expected)


def test_too_many_pixels_are_refused_by_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 2_000_000)
    Image.new("1", (2000, 1001)).save(tmp_path / "a.png")
    for read in (lambda path: form(path, whole=False), lambda path: decode(path, 1, (8, 8))):
        with pytest.raises(InputError, match="2000 x 1001 pixels, expected at most 2 million"):
            read(tmp_path / "a.png")
    Image.new("L", (2000, 1001)).save(tmp_path / "a.jpg")  # this one is decoded at an eighth
    assert form(tmp_path / "a.jpg", whole=True).size == (1001, 2000)
    assert decode(tmp_path / "a.jpg", 1, (8, 8)).shape == (1, 8, 8)


@pytest.mark.parametrize(("many", "together"), [(10, [1]), (10**6, [2, 3, 4])])
def test_large_images_wait_for_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int, together: list[int]
) -> None:
    active: list[None] = []
    most = []

    def watched(image: Image.Image, *, in_place: bool) -> None:
        assert in_place
        active.append(None)
        time.sleep(0.01)
        most.append(len(active))
        active.pop()

    monkeypatch.setattr(images, "_MANY_PIXELS", many)
    monkeypatch.setattr(images.ImageOps, "exif_transpose", watched)
    photograph(8, 8).save(tmp_path / "a.png")
    images.in_threads(lambda path: decode(path, 3, (8, 8)), [tmp_path / "a.png"] * 12, threads=4)
    assert max(most) in together


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match="it is no regular file"):
        form(tmp_path / "a.png", whole=False)
