"""Splits: their properties, over many data sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard._checks import InputError
from steelyard.data import Dataset, Split, Table, split

Array = np.ndarray


def data_of(target: Array, group: Array | None = None, part: list[str] | None = None) -> Dataset:
    return Dataset(
        "toy",
        Table(np.zeros((len(target), 1)), ("x",)),
        torch.as_tensor(target),
        tuple(f"c{c}" for c in range(max(target) + 1)),
        group=group,
        part=np.empty(0, dtype="<U5") if part is None else np.array(part),
    )


def assert_covers(parts: Split, number: int) -> None:
    together = np.concatenate([parts.train, parts.val, parts.test])
    assert np.array_equal(np.sort(together), np.arange(number))
    assert all((np.diff(rows) > 0).all() for rows in (parts.train, parts.val, parts.test))


targets = st.lists(st.integers(3, 40), min_size=2, max_size=5).flatmap(
    lambda sizes: st.permutations([c for c, size in enumerate(sizes) for _ in range(size)]).map(np.array)
)


@settings(deadline=None)
@given(target=targets, seed=st.integers(0, 2**63), val=st.floats(0.05, 0.6), test=st.floats(0.05, 0.6))
def test_parts_are_disjoint_cover_all_and_keep_the_shares(
    target: Array, seed: int, val: float, test: float
) -> None:
    data = data_of(target)
    parts = split(data, seed=seed, val_fraction=val, test_fraction=test)
    assert_covers(parts, len(target))
    for c, number in enumerate(data.counts()):
        in_val, in_test = data.counts(parts.val)[c], data.counts(parts.test)[c]
        assert abs(in_test - test * number) < 1 or in_test == number - 2  # two stay for the others
        assert abs(in_val - val * (number - in_test)) < 1
        assert min(in_val, in_test, data.counts(parts.train)[c]) >= 1
    assert abs(len(parts.test) - test * len(target)) <= len(data.classes)


@settings(deadline=None)
@given(target=targets, folds=st.integers(2, 3), seed=st.integers(0, 99))
def test_folds_are_stratified_and_their_tests_cover_all_once(target: Array, folds: int, seed: int) -> None:
    data = data_of(target)
    all_parts = [split(data, seed=seed, fold=f, folds=folds, val_fraction=0) for f in range(folds)]
    for parts in all_parts:
        assert_covers(parts, len(target))
        assert (abs(data.counts(parts.test) - data.counts() / folds) < 1).all()
    assert np.array_equal(np.sort(np.concatenate([p.test for p in all_parts])), np.arange(len(target)))
    sizes = [len(parts.test) for parts in all_parts]
    assert max(sizes) - min(sizes) <= 1


@st.composite
def grouped(draw: st.DrawFn) -> tuple[Array, Array]:
    """Groups of one to four samples of one class, at least four groups a class; some of mixed classes."""
    target: list[int] = []
    group: list[int] = []
    classes = draw(st.integers(2, 4))
    owners = [c for c in range(classes) for _ in range(draw(st.integers(4, 9)))]
    for number, owner in enumerate(owners):
        members = draw(st.integers(1, 4))
        target += [owner] * members
        group += [number] * members
    for number in range(draw(st.integers(0, 3))):
        target += [0, classes - 1]
        group += [len(owners) + number] * 2
    order = draw(st.permutations(range(len(target))))
    return np.array(target)[order], np.array(group)[order]


@settings(deadline=None)
@given(pair=grouped(), seed=st.integers(0, 99), folds=st.sampled_from([None, 2, 3]))
def test_groups_never_cross(pair: tuple[Array, Array], seed: int, folds: int | None) -> None:
    target, group = pair
    data = data_of(target, group)
    parts = split(data, seed=seed, folds=folds)
    assert_covers(parts, len(target))
    sides = [set(group[rows].tolist()) for rows in (parts.train, parts.val, parts.test)]
    assert not (sides[0] & sides[1])
    assert not (sides[0] & sides[2])
    assert not (sides[1] & sides[2])
    assert all((data.counts(rows) >= 1).all() for rows in (parts.train, parts.val, parts.test))


@settings(deadline=None)
@given(pair=grouped(), seed=st.integers(0, 99), folds=st.sampled_from([None, 2, 3]))
def test_grouped_parts_have_nearly_their_shares(
    pair: tuple[Array, Array], seed: int, folds: int | None
) -> None:
    target, group = pair
    data = data_of(target, group)
    parts = split(data, seed=seed, folds=folds, test_fraction=0.25, val_fraction=0.25)
    wanted = 0.25 if folds is None else 1 / folds
    largest = 4
    assert (abs(data.counts(parts.test) - wanted * data.counts()) <= 2 * largest).all()
    assert abs(len(parts.test) - wanted * len(target)) <= 2 * largest
    assert (abs(data.counts(parts.val) - 0.25 * (1 - wanted) * data.counts()) <= 2 * largest).all()


def sizes_of(group: Array, rows: Array) -> Array:
    return np.unique(group[rows], return_counts=True)[1]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("folds", [None, 5])
def test_groups_are_as_large_in_each_part_as_in_the_data(several: bool, folds: int | None) -> None:
    """By class: the mean size, and the share of groups up to each size (the distance of Kolmogorov)."""
    rng = np.random.default_rng(0)
    size = rng.integers(1, 9, size=800)
    group = rng.permutation(np.repeat(np.arange(800), size))
    if several:
        target = (rng.random((800, 3)) < [0.5, 0.3, 0.2]).astype(np.int64)[group]
        member = np.hstack([target == 1, target == 0])
    else:
        target = rng.choice(3, size=800, p=[0.5, 0.3, 0.2])[group]
        member = target[:, None] == np.arange(3)
    features = Table(np.zeros((len(group), 1)), ("x",))
    data = Dataset("toy", features, torch.as_tensor(target), ("a", "b", "c"), group)
    drawn = [split(data, seed=s, fold=s % (folds or 1), folds=folds, val_fraction=0.05) for s in range(10)]
    for rows_of in (lambda parts: parts.train, lambda parts: parts.val, lambda parts: parts.test):
        for mine in member.T:
            known = sizes_of(group, np.flatnonzero(mine))
            found = np.concatenate([sizes_of(group, rows[mine[rows]]) for rows in map(rows_of, drawn)])
            assert found.mean() == pytest.approx(known.mean(), rel=0.08)
            steps = np.arange(1, 9)
            apart = (found <= steps[:, None]).mean(axis=1) - (known <= steps[:, None]).mean(axis=1)
            assert abs(apart).max() < 0.12


def test_the_seed_moves_groups_also_where_no_two_are_of_one_size() -> None:
    sizes = np.arange(1, 61)  # no two groups of one size
    data = data_of(np.repeat(np.arange(60) % 2, sizes), np.repeat(np.arange(60), sizes))
    assert len({tuple(split(data, seed=seed).val) for seed in range(5)}) == 5


def test_with_as_few_groups_as_are_needed_each_part_gets_one_of_each_class() -> None:
    """However unequal they are; the test part also leaves two, for training and validation."""
    sizes = np.array([90, 9, 1, 50, 50, 50])
    target, group = np.repeat([0, 0, 0, 1, 1, 1], sizes), np.repeat(np.arange(6), sizes)
    for folds in (None, 3):
        parts = split(data_of(target, group), seed=0, folds=folds)
        for rows in (parts.train, parts.val, parts.test):
            assert len(np.unique(group[rows])) == 2
            assert set(target[rows]) == {0, 1}


TARGET = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [60, 30, 10]))


@pytest.mark.parametrize("group", [None, np.arange(100) // 2 + 1000 * TARGET])
@pytest.mark.parametrize("folds", [None, 4])
def test_the_seed_moves_validation_alone(group: Array | None, folds: int | None) -> None:
    data = data_of(TARGET, group)
    one, same, other = (split(data, seed=seed, folds=folds) for seed in (1, 1, 2))
    assert np.array_equal(one.test, other.test)
    assert np.array_equal(one.val, same.val)
    assert not np.array_equal(one.val, other.val)


def test_parts_of_the_source_stay() -> None:
    part = ["test" if row % 5 == 0 else "" if row % 7 == 0 else "train" for row in range(100)]
    parts = split(data_of(TARGET, part=part), seed=0)
    assert parts.test.tolist() == list(range(0, 100, 5))
    assert_covers(parts, 100)
    assert abs(len(parts.val) - 0.15 * 80) < 3
    part = ["val" if row % 4 == 0 else "train" for row in range(100)]
    parts = split(data_of(TARGET, part=part), seed=0)
    assert parts.val.tolist() == list(range(0, 100, 4))
    assert_covers(parts, 100)
    assert len(split(data_of(TARGET), seed=0, val_fraction=0).val) == 0


def test_imbalance_spares_the_test_part_and_comes_before_validation() -> None:
    data = data_of(TARGET)
    seen = []

    def thinned(rows: Array) -> Array:
        seen.append(rows)
        return rows[::2]

    parts, whole = split(data, seed=0, imbalance=thinned), split(data, seed=0)
    assert np.array_equal(parts.test, whole.test)
    assert np.array_equal(np.sort(np.concatenate([parts.train, parts.val])), seen[0][::2])
    assert np.array_equal(np.sort(np.concatenate([whole.train, whole.val])), seen[0])


@pytest.mark.parametrize(
    ("target", "group", "options", "message"),
    [
        (
            [0] * 9 + [1] * 2,
            None,
            {},
            "the class 'c1' has 2 samples for a test part and what is left; it needs at least 3",
        ),
        ([0] * 9 + [1], None, {}, "the class 'c1' has 1 sample for a test part"),
        ([0] * 9 + [1] * 4, None, {"folds": 5}, r"the class 'c1' has 4 samples for 5 folds \(fewer"),
        (
            [0] * 9 + [1] * 9,
            [*range(9), *[9] * 9],
            {},
            "the class 'c1' has 1 group for a test part",
        ),
        ([0, 1, 0, 1], [0, 0, 1, 1], {"folds": 1}, "expected at least 2 folds"),
        (
            [0, 1, 0, 1],
            None,
            {"folds": 2, "fold": 2},
            "expected at least 2 folds and fold in 0..folds - 1, got 2 and 2",
        ),
        ([0, 1, 0, 1], None, {"fold": 1}, "fold 1 needs folds"),
        ([0, 1, 0, 1], None, {"val_fraction": 1}, "val_fraction must lie between 0 and 0.9"),
        ([0, 1, 0, 1], None, {"test_fraction": 0.001}, "test_fraction must lie between 0.01 and 0.9"),
    ],
)
def test_impossible_splits_are_refused(
    target: list[int], group: list[int] | None, options: dict[str, float], message: str
) -> None:
    data = data_of(np.array(target), None if group is None else np.array(group))
    with pytest.raises(InputError, match=message):
        split(data, seed=0, **options)


def test_groups_that_cannot_be_told_apart_by_class_are_refused() -> None:
    target, group = np.array([0, 1, 2, 0, 1, 2, 2]), np.array([0, 0, 0, 1, 2, 2, 3])
    with pytest.raises(InputError, match=r"cannot be divided|has \d groups? for"):
        split(data_of(target, group), seed=0)


def test_parts_of_the_source_that_do_not_serve_are_refused() -> None:
    part = ["train", "train", "test", "test"]
    with pytest.raises(InputError, match="comes with a test part of its own; leave folds out"):
        split(data_of(np.array([0, 1, 0, 1]), part=part), seed=0, folds=2)
    crossing = data_of(np.array([0, 1, 0, 1]), np.array([5, 6, 7, 5]), part)
    with pytest.raises(InputError, match=r"1 groups lie in more than one part of the source, .* sample 0"):
        split(crossing, seed=0)
    with pytest.raises(InputError, match="expected training samples"):
        split(data_of(np.array([0, 1]), part=["test", "test"]), seed=0, val_fraction=0)


@pytest.mark.parametrize("own_test", [False, True])
def test_a_test_fraction_of_0_draws_no_test_part(own_test: bool) -> None:
    target = np.arange(60) % 3
    part = ["test"] * 9 + ["train"] * 51 if own_test else None
    parts = split(data_of(target, part=part), seed=0, test_fraction=0)
    np.testing.assert_array_equal(parts.test, np.arange(9 if own_test else 0))
    assert len(parts.train) + len(parts.val) == 60 - len(parts.test)
