"""Augmentation, each sample against what may become of it by brute force."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard._checks import InputError
from steelyard.data import augmentation, crop, flip, vflip

X = torch.from_numpy(np.random.default_rng(0).integers(1, 256, (300, 3, 5, 6)).astype(np.uint8))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crops(image: np.ndarray, padding: int) -> dict[tuple[int, int], np.ndarray]:
    """Every crop of one padded image (C, H, W), by its place."""
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    _, height, width = image.shape
    return {
        (top, left): padded[:, top : top + height, left : left + width]
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
    }


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_each_crop_is_one_of_those_possible_and_all_come_up(padding: int, dtype: torch.dtype) -> None:
    x = X.to(dtype)
    found = crop(x, generator(), padding=padding)
    assert found.shape == x.shape
    assert found.dtype == dtype
    places: Counter[tuple[int, int]] = Counter()
    for image, result in zip(x.numpy(), found.numpy(), strict=True):
        possible = [place for place, one in crops(image, padding).items() if np.array_equal(one, result)]
        assert len(possible) == 1
        places.update(possible)
    assert len(places) == (2 * padding + 1) ** 2
    assert max(places.values()) < 4 * 300 / len(places)


@pytest.mark.parametrize(("change", "axis"), [(flip, 2), (vflip, 1)])
def test_about_half_of_the_images_are_mirrored(change: object, axis: int) -> None:
    found = change(X, generator()).numpy()
    mirrored = [np.array_equal(r, np.flip(image, axis)) for image, r in zip(X.numpy(), found, strict=True)]
    unchanged = [np.array_equal(r, image) for image, r in zip(X.numpy(), found, strict=True)]
    assert all(a != b for a, b in zip(mirrored, unchanged, strict=True))
    assert 110 < sum(mirrored) < 190


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32), text=st.sampled_from(["crop", "flip", "vflip", "crop(padding=1)+flip+vflip"])
)
def test_the_generator_alone_decides(seed: int, text: str) -> None:
    augment, before = augmentation(text), X.clone()
    torch.manual_seed(1)
    one = augment(X, generator(seed))
    torch.manual_seed(2)
    assert torch.equal(one, augment(X, generator(seed)))
    assert not torch.equal(one, augment(X, generator(seed + 1)))
    assert torch.equal(X, before)


def test_words_are_steps_in_their_order() -> None:
    rolling = generator(3)
    expected = flip(crop(X, rolling, padding=2), rolling)
    assert torch.equal(augmentation("crop(padding=2) + flip")(X, generator(3)), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop+flp", "unknown augmentation 'flp'. Did you mean 'flip'"),
        ("crop(pading=3)", "unknown parameter of crop 'pading'. Did you mean 'padding'"),
        ("flip(padding=3)", "unknown parameter of flip 'padding'"),
        ("crop(padding=-1)", "padding must be a whole number of pixels of at least 0, got -1"),
        ("crop(padding=1.5)", "got 1.5"),
        ("crop+", "expected 'name'"),
    ],
)
def test_unknown_words_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        augmentation(text)
