from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from steelyard import metrics
from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noted(seen: list[tuple[np.ndarray, np.ndarray]]) -> Callable[[np.ndarray, np.ndarray], float]:
    """A statistic that keeps what it was given."""

    def statistic(target: np.ndarray, row: np.ndarray) -> float:
        seen.append((target, row))
        return float(row.mean())

    return statistic


def test_every_resample_has_the_class_counts() -> None:
    target, seen = np.repeat([0, 1, 2], [20, 5, 1]), []
    metrics.bootstrap_interval(noted(seen), target, np.arange(26), repeats=50, rng=rng())
    for drawn, rows in seen:
        assert Counter(drawn.tolist()) == {0: 20, 1: 5, 2: 1}
        np.testing.assert_array_equal(target[rows], drawn)  # rows stay with their labels
    assert len({tuple(rows) for _, rows in seen}) > 45


def test_groups_stay_whole() -> None:
    generator = rng(1)
    names = np.array(["a", "b", "c", "d", "e", "f"])
    group = generator.choice(names, size=60)
    target = (group == "a").astype(int)  # one class per group, as with lesions
    target[np.flatnonzero(group == "b")[:1]] = 1  # but for a patient with one rare sample
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    metrics.bootstrap_interval(noted(seen), target, np.arange(60), group=group, repeats=100, rng=rng())
    size = Counter(group.tolist())
    draws_of_rare = []
    for _, rows in seen[:-1]:  # the last is the test set itself
        count = Counter(rows.tolist())
        times = {name: {count[int(row)] for row in np.flatnonzero(group == name)} for name in names}
        assert all(len(t) == 1 for t in times.values())  # each group whole, as often as drawn
        drawn = {name: t.pop() for name, t in times.items()}
        assert sum(drawn[name] * size[name] for name in names) == rows.size
        draws_of_rare.append(drawn["a"] + drawn["b"])
        assert sum(drawn.values()) == 6
    assert set(draws_of_rare) == {2}  # groups with the rare class are drawn from among themselves


def test_singleton_groups_are_no_groups() -> None:
    target, score = np.repeat([0, 1], [30, 6]), rng(2).normal(size=36)
    plain = metrics.bootstrap_interval(metrics.auc, target, score, repeats=50, rng=rng(3))
    grouped = metrics.bootstrap_interval(
        metrics.auc, target, score, group=np.arange(36), repeats=2000, rng=rng(3)
    )
    assert grouped.estimate == plain.estimate
    wide = metrics.bootstrap_interval(metrics.auc, target, score, repeats=2000, rng=rng(4))
    assert (grouped.low, grouped.high) == pytest.approx((wide.low, wide.high), abs=0.04)


def test_grouped_samples_widen_the_interval() -> None:
    """Ten copies of each sample are no new evidence."""
    target = np.repeat([0, 1], 25)
    score = rng(5).normal(size=50) + target
    copies, group = np.repeat(np.arange(50), 10), np.repeat(np.arange(50), 10)
    once = metrics.bootstrap_interval(metrics.auc, target, score, rng=rng())
    blind = metrics.bootstrap_interval(metrics.auc, target[copies], score[copies], rng=rng())
    aware = metrics.bootstrap_interval(metrics.auc, target[copies], score[copies], group=group, rng=rng())
    assert aware.high - aware.low == pytest.approx(once.high - once.low, rel=0.15)
    assert blind.high - blind.low < 0.5 * (once.high - once.low)


def test_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = rng(6).normal(size=400)
    ours = metrics.bootstrap_interval(
        lambda _, v: float(v.mean()), np.zeros(400, int), values, repeats=4000, level=0.9, rng=rng()
    )
    theirs = stats.norm.interval(0.9, values.mean(), values.std() / 20)
    assert (ours.low, ours.high) == pytest.approx(theirs, abs=0.006)  # 4000 draws of a 0.05-wide law
    assert ours.estimate == values.mean()


def test_auc_interval_is_near_delongs() -> None:
    target = np.repeat([0, 1], [300, 100])
    score = rng(7).normal(size=400) + target
    ours = metrics.bootstrap_interval(metrics.auc, target, score, rng=rng())
    theirs = metrics.delong_interval(target, score)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_the_same_generator_gives_the_same_interval() -> None:
    target, score = np.repeat([0, 1], 20), rng(8).normal(size=40)
    one, other, third = (
        metrics.bootstrap_interval(metrics.auc, target, score, repeats=100, rng=rng(seed))
        for seed in (1, 1, 2)
    )
    assert one == other != third


def test_nan_resamples_are_left_out() -> None:
    target = np.zeros(10, int)
    mean_of_large = lambda _, v: float(v[v > 8].mean()) if (v > 8).any() else math.nan  # noqa: E731 short
    found = metrics.bootstrap_interval(mean_of_large, target, np.arange(10.0), repeats=200, rng=rng())
    assert (found.low, found.high) == (9, 9)
    nothing = metrics.bootstrap_interval(metrics.auc, target, np.arange(10.0), repeats=20, rng=rng())
    assert math.isnan(nothing.low)
    test = metrics.bootstrap_difference(
        metrics.auc, target, np.arange(10.0), np.ones(10), repeats=20, rng=rng()
    )
    assert math.isnan(test.p_value)


def test_difference_uses_the_same_rows_for_both() -> None:
    target = np.repeat([0, 1], 30)
    a = rng(9).normal(size=60) + target
    same = metrics.bootstrap_difference(metrics.auc, target, a, 2 * a, repeats=100, rng=rng())
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    better = metrics.bootstrap_difference(metrics.auc, target, a + 5 * target, a, repeats=200, rng=rng())
    assert better.p_value == pytest.approx(2 / 201)  # none on the other side, and one added
    assert 0 < better.low < better.difference < better.high
    assert better.difference == better.estimate_a - better.estimate_b
    mirrored = metrics.bootstrap_difference(metrics.auc, target, a, a + 5 * target, repeats=200, rng=rng())
    assert (mirrored.low, mirrored.high) == pytest.approx((-better.high, -better.low))
    assert mirrored.p_value == better.p_value


def test_difference_agrees_with_delong() -> None:
    generator = rng(10)
    target = np.repeat([0, 1], [200, 80])
    common = generator.normal(size=280) + target
    a, b = common + 0.5 * generator.normal(size=280), common + generator.normal(size=280)
    ours = metrics.bootstrap_difference(metrics.auc, target, a, b, repeats=2000, rng=rng())
    theirs = metrics.delong_test(target, a, b)
    assert ours.difference == pytest.approx(theirs.difference)
    assert (ours.low, ours.high) == pytest.approx((theirs.interval().low, theirs.interval().high), abs=0.01)
    assert ours.p_value == pytest.approx(theirs.p_value, abs=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.bootstrap_interval(metrics.auc, [0, 1], [0.1], rng=rng()),
            r"arrays of shape \(N, ...\) like target, got \(2,\) and \(1,\)",
        ),
        (lambda: metrics.bootstrap_interval(metrics.auc, [], [], rng=rng()), "at least one sample"),
        (
            lambda: metrics.bootstrap_interval(metrics.auc, [0, 1], [0.1, 0.2], group=[1], rng=rng()),
            r"group of shape \(2,\) like target, got \(1,\)",
        ),
        (
            lambda: metrics.bootstrap_interval(metrics.auc, [0, 1], [0.1, 0.2], repeats=0, rng=rng()),
            "repeats must be a whole number of at least 1",
        ),
        (
            lambda: metrics.bootstrap_difference(metrics.auc, [0, 1], [1, 2], [1, 2], level=95, rng=rng()),
            "level must lie strictly between",
        ),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
