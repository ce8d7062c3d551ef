"""Batches: what they hold, and that their order depends on the seed and the epoch alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from steelyard._checks import InputError
from steelyard.data import Batches, Dataset, Encoding, ImageFiles, Table, augmentation, fit_encoding

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
PIXELS = torch.from_numpy(RNG.integers(0, 256, (40, 3, 6, 6)).astype(np.uint8))
DATA = Dataset("images", PIXELS, torch.arange(40) % 3, ("a", "b", "c"))
ROWS = RNG.permutation(40)[:23]
ENCODING = fit_encoding(DATA, ROWS)


def batches_of(
    x: Any = PIXELS, encoding: Encoding = ENCODING, rows: np.ndarray = ROWS, **options: Any
) -> Batches:
    return Batches(x, DATA.target, rows, encoding, **{"batch_size": 5, "workers": 0} | options)


def order(batches: Batches, epoch: int = 0) -> list[int]:
    batches.set_epoch(epoch)
    return torch.cat([batch.index for batch in batches]).tolist()


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    paths = [tmp_path / f"{row}.png" for row in range(40)]
    for path, image in zip(paths, PIXELS.numpy(), strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    return ImageFiles(np.array(paths, dtype=object), 3, (6, 6))


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_row_comes_once_with_its_own_image_and_target(shuffle: bool) -> None:
    batches = batches_of(shuffle=shuffle)
    seen = list(batches)
    assert [len(batch.index) for batch in seen] == [5, 5, 5, 5, 3]
    assert len(batches) == len(seen)
    index = torch.cat([batch.index for batch in seen]).numpy()
    assert index.dtype == np.int64
    assert sorted(index) == sorted(ROWS)
    assert (index.tolist() == ROWS[: len(index)].tolist()) != shuffle
    assert len(set(index)) == len(index)
    np.testing.assert_array_equal(torch.cat([batch.target for batch in seen]), index % 3)
    mean, std = (np.array(values)[:, None, None] for values in (ENCODING.mean, ENCODING.std))
    expected = (PIXELS.numpy()[index] / 255 - mean) / std
    np.testing.assert_allclose(torch.cat([batch.x for batch in seen]), expected, rtol=0, atol=1e-5)


def test_tables_are_cut_as_they_are_encoded() -> None:
    table = Dataset("t", Table(RNG.normal(size=(40, 2)), ("x", "y")), DATA.target, DATA.classes)
    encoding = fit_encoding(table, ROWS)
    x = encoding.inputs(table)
    for batch in batches_of(x, encoding, shuffle=True):
        assert torch.equal(batch.x, x[batch.index])
    with pytest.raises(InputError, match="augmentation changes images, the data is a table"):
        batches_of(x, encoding, augment=augmentation("flip"))


@settings(deadline=None)
@given(seed=st.integers(0, 2**63), epoch=st.integers(0, 10**6))
def test_the_order_depends_on_seed_and_epoch_alone(seed: int, epoch: int) -> None:
    batches = batches_of(shuffle=True, seed=seed)
    torch.manual_seed(0)
    order(batches, epoch + 1)  # what came before leaves no trace
    one = order(batches, epoch)
    torch.manual_seed(1)
    assert order(batches_of(shuffle=True, seed=seed), epoch) == one
    assert order(batches_of(shuffle=True, seed=seed), epoch + 1) != one
    assert order(batches_of(shuffle=True, seed=seed + 1), epoch) != one
    assert order(batches_of(shuffle=True, seed=seed, batch_size=7), epoch) == one


def test_orders_are_even() -> None:
    batches = batches_of(rows=np.arange(4), shuffle=True)
    places = np.zeros((4, 4))
    for epoch in range(800):
        places[order(batches, epoch), range(4)] += 1
    assert abs(places - 200).max() < 60  # standard deviation 12


def test_augmentation_is_of_the_batch_and_repeats_with_the_epoch() -> None:
    plain, changed = batches_of(shuffle=True), batches_of(shuffle=True, augment=augmentation("flip"))
    kept = mirrored = 0
    for one, other in zip(plain, changed, strict=True):
        assert torch.equal(one.index, other.index)  # augmenting leaves the order alone
        for before, after in zip(one.x, other.x, strict=True):
            kept += torch.equal(before, after)
            mirrored += torch.equal(before.flip(-1), after)
    assert kept + mirrored == 23
    assert min(kept, mirrored) > 4
    first = [batch.x for batch in changed]
    assert all(torch.equal(a, batch.x) for a, batch in zip(first, changed, strict=True))
    changed.set_epoch(1)
    assert not all(torch.equal(a, batch.x) for a, batch in zip(first, changed, strict=True))


def test_probabilities_draw_with_replacement() -> None:
    batches = batches_of(rows=np.array([30, 10, 20]), shuffle=True)
    batches.set_probabilities(torch.tensor([0.0, 0.75, 0.25]))
    drawn = np.concatenate([order(batches, epoch) for epoch in range(1000)])
    assert len(drawn) == 3000
    share = {row: (drawn == row).mean() for row in (30, 10, 20)}
    assert share[30] == 0
    assert abs(share[10] - 0.75) < 0.04  # standard deviation 0.008
    assert order(batches, 5) == order(batches, 5)
    batches.set_probabilities(None)
    assert sorted(order(batches)) == [10, 20, 30]
    with pytest.raises(InputError, match=r"a probability for each of the 3 rows, got the shape \(2,\)"):
        batches.set_probabilities(torch.ones(2))


@pytest.mark.parametrize(
    ("rows", "shuffle", "sizes"),
    [(11, True, [5, 6]), (11, False, [5, 5, 1]), (6, True, [6]), (1, True, [1]), (12, True, [5, 5, 2])],
)
def test_no_training_batch_has_a_single_sample(rows: int, shuffle: bool, sizes: list[int]) -> None:
    batches = batches_of(rows=ROWS[:rows], shuffle=shuffle)
    assert [len(batch.index) for batch in batches] == sizes
    assert len(batches) == len(sizes)
    assert sorted(order(batches)) == sorted(ROWS[:rows])


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_files_give_the_batches_of_memory(files: ImageFiles, workers: int) -> None:
    options: dict[str, Any] = {
        "shuffle": True,
        "seed": 4,
        "augment": augmentation("crop+flip"),
    }
    state = torch.get_rng_state()
    streamed, held = batches_of(files, **options | {"workers": workers}), batches_of(**options)
    for epoch in (0, 3):
        streamed.set_epoch(epoch)
        held.set_epoch(epoch)
        for one, other in zip(streamed, held, strict=True):
            assert torch.equal(one.index, other.index)
            assert torch.equal(one.target, other.target)
            assert torch.equal(one.x, other.x)
    assert len(streamed) == len(held) == 5
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is nobody's business


def test_a_broken_file_is_named_from_a_worker(files: ImageFiles) -> None:
    files.paths[ROWS[0]].write_bytes(b"broken")
    with pytest.raises(InputError, match=rf"cannot read the image .*{ROWS[0]}.png"):
        list(batches_of(files, workers=1))


def test_memory_is_shared_not_copied() -> None:
    assert batches_of().x.data_ptr() == PIXELS.data_ptr()


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="batch_size must be a finite number of at least 1, got 0"):
        batches_of(batch_size=0)
    with pytest.raises(InputError, match="expected rows to make batches of, got none"):
        batches_of(rows=np.arange(0))


@pytest.mark.parametrize("batch_size", [16, 11])
def test_batches_of_candidates_begin_with_the_plain_batches(batch_size: int) -> None:
    """Of 23 rows, 11 leaves a last batch of one, which joins the one before."""

    def batches() -> Batches:
        return Batches(PIXELS, DATA.target, ROWS, ENCODING, batch_size=batch_size, shuffle=True, seed=1)

    plain, candidates = batches(), batches()
    candidates.set_presample(3)
    assert len(candidates) == len(plain) == 2
    seen = []
    for small, large in zip(plain, candidates, strict=True):
        assert len(large.index) == 3 * len(small.index)
        assert torch.equal(large.index[: len(small.index)], small.index)
        seen += large.index.tolist()
    assert sorted(seen) == sorted(3 * ROWS.tolist())


def test_the_generator_of_choices_is_the_epochs_own() -> None:
    batches = Batches(PIXELS, DATA.target, ROWS, ENCODING, batch_size=16, seed=1)

    def numbers(epoch: int) -> list[float]:
        batches.set_epoch(epoch)
        drawn: list[float] = torch.rand(3, generator=batches.generator()).tolist()
        return drawn

    assert numbers(4) == numbers(4) != numbers(5)
