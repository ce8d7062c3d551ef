"""Measures under weights against the plain measures of samples that are really repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import metrics
from steelyard.report import evidence, resample

if TYPE_CHECKING:
    from steelyard.studies.store import Store


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.9, 0.95, 1.0]), st.booleans())
def test_weights_stand_for_repeated_samples(seed: int, tpr: float, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    positive = np.r_[True, False, rng.random(n - 2) < 0.3]
    score = rng.integers(0, 5, n).astype(float) if ties else rng.normal(size=n)
    weight = rng.integers(0, 4, (3, n)).astype(np.float32)
    weight[:, :2] += 1  # both classes are there
    auc, fpr = resample.Ranking(positive, score).measures(weight, tpr)
    for row in range(3):
        repeated = np.repeat(np.arange(n), weight[row].astype(int))
        assert auc[row] == pytest.approx(metrics.auc(positive[repeated], score[repeated]), abs=1e-12)
        assert fpr[row] == pytest.approx(
            metrics.fpr_at_tpr(positive[repeated], score[repeated], tpr), abs=1e-12
        )


def test_a_side_without_weight_is_unknown() -> None:
    ranking = resample.Ranking(np.array([True, False]), np.array([1.0, 0.0]))
    auc, fpr = ranking.measures(np.array([[0, 1], [1, 0], [1, 1]], np.float32), 0.95)
    np.testing.assert_array_equal(auc, [np.nan, np.nan, 1])
    np.testing.assert_array_equal(fpr, [np.nan, np.nan, 0])


def test_plain_values_are_those_of_the_metrics(store: Store) -> None:
    read = evidence.read(store)
    found = resample.resample(read, repeats=5)
    for name, runs in read.finished.items():
        for run in runs:
            plain = found[name][run.key].plain
            expected = {key: read.figures[name][key][run.key] for key in plain}
            assert plain == pytest.approx(expected, abs=1e-6)
            assert set(plain) == {
                "accuracy",
                "balanced_accuracy",
                "auc",
                "fpr_at_tpr",
                "sensitivity",
                "false_alarm_rate",
            }


def test_resamples_do_not_depend_on_how_they_are_cut_into_blocks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = evidence.read(store)
    whole = resample.resample(read, repeats=7)["ce"][0, 0].resampled["balanced_accuracy"]
    again = resample.resample(read, repeats=7)["ce"][0, 0].resampled["balanced_accuracy"]
    np.testing.assert_array_equal(whole, again)
    monkeypatch.setattr(resample, "_BLOCK_ENTRIES", 2)
    assert resample.resample(read, repeats=7)["ce"][0, 0].resampled["accuracy"].shape == (7,)


def test_draws_are_stratified_and_take_whole_groups(store: Store) -> None:
    read = evidence.read(store)
    runs = [run for scored in read.finished.values() for run in scored]
    unit, stratum = resample._units(read, runs)
    assert read.group is not None
    index, target = runs[0].test.index, runs[0].test.target
    for group in np.unique(read.group[index]):
        assert len(set(unit[index[read.group[index] == group]])) == 1
    # A group holds two neighbours; where they differ in class the rarer one decides.
    counts = np.bincount(target)
    for own in np.unique(unit[index]):
        members = target[unit[index] == own]
        assert stratum[own] == min(members, key=lambda c: counts[c])
    (block,) = resample._blocks(stratum, 50, np.random.default_rng(0))
    for c in np.unique(stratum):
        np.testing.assert_array_equal(block[:, stratum == c].sum(axis=1), (stratum == c).sum())


def test_spread_is_that_of_sampling(store: Store) -> None:
    """Without groups the bootstrap's standard deviation of accuracy is the stratified binomial one."""
    (store.folder / "groups.npy").rename(store.folder / "kept.npy")
    try:
        read = evidence.read(store)
        found = resample.resample(read, repeats=4000)["ce"][0, 0].resampled["accuracy"]
    finally:
        (store.folder / "kept.npy").rename(store.folder / "groups.npy")
    run = read.finished["ce"][0]
    right = run.test.decision == run.test.target
    n = [(run.test.target == c).sum() for c in range(4)]
    p = [right[run.test.target == c].mean() for c in range(4)]
    expected = np.sqrt(sum(m * q * (1 - q) for m, q in zip(n, p, strict=True))) / sum(n)
    assert found.std() == pytest.approx(expected, rel=0.06)  # a sixth of a percent of 4000 draws, five-fold
