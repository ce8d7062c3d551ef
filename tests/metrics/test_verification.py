from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard import metrics
from steelyard._checks import InputError


def most_right(same: np.ndarray, similarity: np.ndarray) -> int:
    """Right decisions at the best of all thresholds, tried one by one."""
    cuts = [-np.inf, *np.unique(similarity), np.inf]
    return max(int(((similarity >= cut) == same).sum()) for cut in cuts)


def in_lfw_order(seed: int, sets: int = 10, each: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """As the published list: per set, first the pairs of one person, then those of two."""
    rng = np.random.default_rng(seed)
    same = np.tile(np.repeat([1, 0], each), sets)
    return same, (rng.normal(size=same.size) + same).round(1)


@given(st.integers(0, 10_000))
def test_each_threshold_is_the_best_of_the_other_folds(seed: int) -> None:
    same, similarity = in_lfw_order(seed)
    found = metrics.verification_accuracy(same, similarity)
    blocks = np.arange(same.size) // 12  # the ten sets of the list
    for k in range(10):
        rest, held = blocks != k, blocks == k
        threshold = found.fold_threshold[k]
        right = ((similarity[rest] >= threshold) == same[rest]).sum()
        assert right == most_right(same[rest], similarity[rest])
        assert found.fold_accuracy[k] == ((similarity[held] >= threshold) == same[held]).mean()
    assert float(found) == found.mean == pytest.approx(np.mean(found.fold_accuracy))
    assert found.spread == pytest.approx(np.std(found.fold_accuracy, ddof=1))


def test_sorted_pairs_are_spread_over_the_folds_all_the_same() -> None:
    same = np.repeat([1, 0], 50)
    rng = np.random.default_rng(0)
    similarity = rng.normal(size=100) + 3 * same
    order = np.argsort(np.concatenate([np.arange(50), np.arange(50) + 0.5]))  # one of each in turn
    sorted_, mixed = (
        metrics.verification_accuracy(same[rows], similarity[rows]) for rows in (np.arange(100), order)
    )
    np.testing.assert_array_equal(sorted_.fold_accuracy, mixed.fold_accuracy)


def test_separable_pairs_are_all_right_with_the_threshold_midway() -> None:
    same, similarity = np.tile([1, 0], 10), np.tile([0.8, 0.2], 10)
    found = metrics.verification_accuracy(same, similarity)
    assert (found.mean, found.spread) == (1.0, 0.0)
    np.testing.assert_allclose(found.fold_threshold, 0.5)


def test_similarity_without_information_earns_the_share_of_the_larger_kind() -> None:
    same = np.tile([1, 0, 0], 10)
    assert metrics.verification_accuracy(same, np.zeros(30)).mean == pytest.approx(2 / 3)
    assert metrics.verification_accuracy(1 - same, np.zeros(30)).mean == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("same", "similarity", "folds", "message"),
    [
        ([1, 0], [0.5, 0.5], 10, "at least 10 pairs of each kind, one per fold, got 1 same and 1 different"),
        ([1, 0], [0.5, 0.5], 1, "folds must be a whole number of at least 2"),
        ([1, 0], [0.5], 2, r"got \(2,\) and \(1,\)"),
        ([1, 1, 0, 0], [0.5, 0.5, 0.1, np.inf], 2, "finite similarities"),
    ],
)
def test_bad_input_is_one_clear_line(
    same: list[int], similarity: list[float], folds: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        metrics.verification_accuracy(same, similarity, folds)
