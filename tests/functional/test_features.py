"""Penalties of features against their definitions, sample by sample and pair by pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from steelyard.functional import (
    center_distance,
    moved_centers,
    nearest_centers,
    separability,
    squared_distances,
    widest_ranges,
)

C, D = 4, 3  # class 3 is absent, class 2 has one sample


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.tensor([0, 1, 0, 0, 1, 2, 1, 0, 0])
    return torch.randn(len(target), D, dtype=torch.float64, generator=generator), target


def rows_of(batch: tuple[Tensor, Tensor], c: int) -> np.ndarray:
    x, y = (part.numpy() for part in batch)
    return x[y == c]


def test_squared_distances(batch: tuple[Tensor, Tensor]) -> None:
    x = batch[0].numpy()
    expected = [[((a - b) ** 2).sum() for b in x[:4]] for a in x]
    np.testing.assert_allclose(squared_distances(batch[0], batch[0][:4]), expected, atol=1e-12)


def test_center_distance_and_its_step(batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    centers = torch.randn(C, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    distance = [((x[i] - centers[y[i]]) ** 2).sum() / 2 for i in range(len(y))]
    np.testing.assert_allclose(center_distance(x, y, centers), distance)
    moved = moved_centers(x, y, centers, rate=0.3)
    for c in range(C):
        own = rows_of(batch, c)
        step = sum((centers[c].numpy() - row for row in own), np.zeros(D)) / (1 + len(own))
        np.testing.assert_allclose(moved[c], centers[c].numpy() - 0.3 * step)


@pytest.mark.parametrize("k", [1, 2, 5, 100])
def test_widest_ranges_are_harmonic_means_of_the_largest_distances(
    batch: tuple[Tensor, Tensor], k: int
) -> None:
    expected = []
    for c in range(C):
        widest = sorted(((a - b) ** 2).sum() for a, b in combinations(rows_of(batch, c), 2))[::-1][:k]
        expected.append(len(widest) / sum(1 / d for d in widest) if widest else 0.0)
    np.testing.assert_allclose(widest_ranges(*batch, C, k), expected)


def test_the_gradients_of_the_penalties_are_those_of_their_values(batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    x = x.requires_grad_()
    centers = torch.randn(C, D, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f: widest_ranges(f, y, C, 2), (x,))
    assert torch.autograd.gradcheck(lambda f: nearest_centers(f, y, C), (x,))
    assert torch.autograd.gradcheck(lambda f: center_distance(f, y, centers), (x,))


def test_samples_that_coincide_and_single_ones_have_no_range_and_a_finite_gradient() -> None:
    x = torch.tensor([[1.0], [1.0], [2.0]], requires_grad=True)
    value = widest_ranges(x, torch.tensor([0, 0, 1]), 2)
    (grad,) = torch.autograd.grad(value.sum(), x)
    assert value.tolist() == [0, 0]
    assert not grad.any()


def test_nearest_centers(batch: tuple[Tensor, Tensor]) -> None:
    means = [rows_of(batch, c).mean(axis=0) for c in range(3)]
    expected = min(((a - b) ** 2).sum() for a, b in combinations(means, 2))
    np.testing.assert_allclose(nearest_centers(*batch, C), expected)
    assert nearest_centers(batch[0], torch.ones(len(batch[1]), dtype=torch.int64), C) == torch.inf


def test_separability_is_a_sum_of_ratios_of_nearest_neighbours(batch: tuple[Tensor, Tensor]) -> None:
    x, y = (part.numpy() for part in batch)
    sums, counts = np.zeros((C, C)), np.zeros((C, C))
    for i, p in enumerate(y):
        own = [np.linalg.norm(x[i] - x[j]) for j in range(len(y)) if y[j] == p and j != i]
        for q in range(C):
            other = [np.linalg.norm(x[i] - x[j]) for j in range(len(y)) if y[j] == q and j != i]
            if own and other:
                sums[p, q] += min(own) / min(other)
                counts[p, q] += 1
    found = separability(*batch, C)
    np.testing.assert_allclose(found[0], sums)
    np.testing.assert_array_equal(found[1], counts)


def test_separability_of_samples_that_coincide_is_finite() -> None:
    sums, _ = separability(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]), 2)
    assert sums.tolist() == [[2, 2], [2, 2]]
