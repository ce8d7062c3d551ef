"""Imbalance makers, counted against their definitions."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard._checks import InputError
from steelyard.data import IMBALANCES, imbalance

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ["a", "b", "c", "d"]
TARGET = np.random.default_rng(5).permutation(np.repeat([0, 1, 2, 3], [600, 900, 1000, 800]))
TWO = np.repeat([0, 1], [1000, 400])


def kept(kind: str, target: NDArray[np.int64] = TARGET, seed: int = 0, **params: Any) -> list[int]:
    """Samples per class that are left."""
    names = NAMES[: target.max() + 1]
    rows = imbalance(kind, target, np.arange(len(target)), names, np.random.default_rng(seed), **params)
    return np.bincount(target[rows], minlength=len(names)).tolist()


def test_step_makes_a_share_of_the_classes_rare() -> None:
    whole = [600, 900, 1000, 800]
    chosen = set()
    for seed in range(40):
        counts = kept("step", ratio=100, fraction=0.5, seed=seed)
        rare = [c for c in range(4) if counts[c] != whole[c]]
        assert len(rare) == 2
        assert all(counts[c] == 10 for c in rare)
        chosen.add(tuple(rare))
    assert len(chosen) == 6  # every pair comes up
    assert min(kept("step", ratio=20, fraction=0.25)) == 50
    assert sum(count == 50 for count in kept("step", ratio=20, fraction=1)) == 3  # one class stays large


def test_longtail_falls_exponentially() -> None:
    assert kept("longtail", ratio=1000, order="given") == [
        600,
        100,
        10,
        1,
    ]  # 1000, 100, 10, 1 where there are as many
    orders = {tuple(kept("longtail", ratio=1000, seed=seed)) for seed in range(200)}
    assert orders == {tuple(np.minimum(p, [600, 900, 1000, 800])) for p in permutations([1000, 100, 10, 1])}


def test_powers_halve_from_class_to_class() -> None:
    orders = {tuple(kept("powers", seed=seed)) for seed in range(200)}
    assert orders == {
        tuple(np.minimum(p, [600, 900, 1000, 800])) for p in permutations([1000, 500, 250, 125])
    }
    assert sorted(kept("powers", largest=600)) == [75, 150, 300, 600]
    assert sorted(kept("powers", largest=3)) == [1, 1, 2, 3]  # never none


def test_counts_are_taken_at_their_word() -> None:
    assert kept("counts", b=7, d=800) == [600, 7, 1000, 800]
    target = np.repeat([0, 1], 5)
    rows = imbalance(
        "counts", target, np.arange(10), ["rows", "3"], np.random.default_rng(0), **{"rows": 2, "3": 1}
    )
    assert np.bincount(target[rows]).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [1000, 53]),  # 1000 / 19 = 52.6
        ({"n": 190}, [190, 10]),
        ({"n": 190, "ratio": 190}, [190, 1]),
        ({"minority": "a", "ratio": 4}, [100, 400]),
        ({"majority": "b", "n": 100, "ratio": 10}, [10, 100]),
        ({"majority": "a", "minority": "b", "ratio": 10}, [1000, 100]),
    ],
)
def test_ratio_is_of_two_classes(params: dict[str, Any], expected: list[int]) -> None:
    assert kept("ratio", TWO, **params) == expected


def test_halved_cuts_half_of_the_classes() -> None:
    whole, tenth = np.array([600, 900, 1000, 800]), np.array([60, 90, 100, 80])
    for seed in range(10):
        counts = np.array(kept("halved", seed=seed))
        assert sorted((counts == whole).tolist()) == [False, False, True, True]
        assert ((counts == whole) | (counts == tenth)).all()


@settings(deadline=None)
@given(
    kind=st.sampled_from(["step", "longtail", "powers", "halved"]),
    seed=st.integers(0, 2**32),
    first=st.integers(0, 50),
)
def test_rows_are_a_seeded_sorted_choice_in_which_every_class_stays(kind: str, seed: int, first: int) -> None:
    rows = np.arange(first, len(TARGET), 2)
    before = rows.copy()
    chosen, again, other = (
        imbalance(kind, TARGET, rows, NAMES, np.random.default_rng(s)) for s in (seed, seed, seed + 1)
    )
    assert np.array_equal(rows, before)
    assert np.array_equal(chosen, again)
    assert not np.array_equal(chosen, other)
    assert (np.diff(chosen) > 0).all()
    assert np.isin(chosen, rows).all()
    assert (np.bincount(TARGET[chosen], minlength=4) >= 1).all()


def test_samples_are_drawn_evenly() -> None:
    target = np.repeat([0, 1], [50, 10])
    drawn = np.zeros(50)
    for seed in range(400):
        drawn[
            imbalance("counts", target, np.arange(60), ["a", "b"], np.random.default_rng(seed), a=10)[:10]
        ] += 1
    assert abs(drawn - 80).max() < 40  # 400 x 10 / 50, standard deviation 8


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("stepp", {}, "unknown imbalance 'stepp'. Did you mean 'step'"),
        ("step", {"ration": 3}, "unknown parameter of step 'ration'. Did you mean 'ratio'"),
        ("step", {"ratio": 0.5}, "ratio must be a finite number of at least 1"),
        ("step", {"ratio": "big"}, "ratio must be a finite number of at least 1, got 'big'"),
        ("step", {"fraction": 2}, "fraction must lie between 0 and 1"),
        ("longtail", {"order": "givn"}, "unknown order 'givn'. Did you mean 'given'"),
        ("powers", {"largest": 0}, "largest must be"),
        ("counts", {"bb": 3}, "unknown class 'bb'. Did you mean 'b'"),
        ("counts", {"b": 901}, "samples of class 'b' must lie between 1 and 900, got 901"),
        ("counts", {"b": 0}, "must lie between 1 and 900"),
        ("counts", {"b": 2.5}, "must be a whole number"),
        ("halved", {"keep": 1.1}, "keep must lie between 0 and 1"),
        ("ratio", {}, "ratio is for two classes, got 4; select two"),
    ],
)
def test_bad_parameters_are_refused(kind: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kept(kind, **params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"majority": "b", "minority": "b"}, "expected two different classes, got 'b'"),
        ({"minority": "z"}, "unknown class 'z'"),
        ({"n": 1001}, "n must lie between 1 and 1000"),
        ({"ratio": 2}, "1000 samples at a ratio of 2 need 500 of 'b', there are 400; lower n"),
    ],
)
def test_impossible_ratios_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kept("ratio", TWO, **params)


def test_the_table_names_every_maker() -> None:
    assert list(IMBALANCES) == ["step", "longtail", "powers", "counts", "ratio", "halved"]
