"""Resampling: the numbers of samples that each way leaves, and what it says where it cannot."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from imblearn import over_sampling, under_sampling

from steelyard import InputError, catalog
from steelyard.refit import (
    ADASYN,
    SMOTE,
    ClusterCentroids,
    InstanceHardness,
    LogisticRefit,
    NearMiss,
    NeighbourhoodCleaning,
    RefitError,
    WeightedSVM,
)

if TYPE_CHECKING:
    from steelyard.refit.resampling import Resampled

Y = np.repeat([0, 1, 2], [60, 25, 8])
X = np.random.default_rng(0).normal(size=(len(Y), 4)) + Y[:, None] * 0.7
WAYS = [SMOTE, ADASYN, NearMiss, ClusterCentroids, NeighbourhoodCleaning, InstanceHardness]


def counts(way: Resampled, x: Any = X, y: Any = Y) -> list[int]:
    return np.bincount(way.resample(x, y, int(np.bincount(y).min()), 0)[1]).tolist()


def test_how_many_samples_each_way_leaves() -> None:
    assert counts(SMOTE()) == [60, 60, 60]
    assert counts(NearMiss()) == counts(ClusterCentroids()) == [8, 8, 8]
    assert counts(ADASYN()) == pytest.approx([60, 60, 60], abs=5)
    assert counts(ADASYN())[0] == 60
    assert counts(InstanceHardness()) == pytest.approx([8, 8, 8], abs=2)
    cleaned = counts(NeighbourhoodCleaning())
    assert cleaned[2] == 8
    assert cleaned[0] < 60


def test_the_samples_are_those_of_imbalanced_learn() -> None:
    for ours, theirs in (
        (SMOTE(3), over_sampling.SMOTE(k_neighbors=3, random_state=0)),
        (NearMiss(2), under_sampling.NearMiss(n_neighbors=2)),
        (NeighbourhoodCleaning(5), under_sampling.NeighbourhoodCleaningRule(n_neighbors=5)),
    ):
        expected = theirs.fit_resample(X, Y)
        for found, wanted in zip(ours.resample(X, Y, 8, 0), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("way", WAYS)
def test_a_refit_is_logistic_regression_on_the_resampled(way: type[Resampled]) -> None:
    found = way()(X, Y * 2, 5, 7)  # classes 1 and 3 are absent
    x, y = way().resample(X, Y, 8, 7)
    for ours, wanted in zip(found, LogisticRefit()(x, y * 2, 5, 7), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    again = way()(X, Y * 2, 5, 7)
    np.testing.assert_array_equal(found.weight, again.weight)


def test_adasyn_fills_classes_without_neighbours_of_others_as_smote_does() -> None:
    apart = X + 100 * Y[:, None]
    with pytest.raises(RuntimeError):
        over_sampling.ADASYN(random_state=0).fit_resample(apart, Y)
    assert counts(ADASYN(), apart) == [60, 60, 60]


@pytest.mark.parametrize("fewest", [2, 3])
@pytest.mark.parametrize("way", WAYS)
def test_tiny_classes_take_fewer_neighbours(way: type[Resampled], fewest: int) -> None:
    rows = np.flatnonzero((Y < 2) | (np.cumsum(Y == 2) <= fewest))
    assert way()(X[rows], Y[rows], 3, 0).weight.shape == (3, 4)


@pytest.mark.parametrize("way", [SMOTE, ADASYN, InstanceHardness])
def test_a_class_of_one_sample_is_refused(way: type[Resampled]) -> None:
    rows = np.flatnonzero((Y < 2) | (np.cumsum(Y == 2) <= 1))
    with pytest.raises(RefitError, match="the rarest class has only one training sample; give it a second"):
        way()(X[rows], Y[rows], 3, 0)


def test_what_the_library_refuses_is_said_in_one_line() -> None:
    with pytest.raises(RefitError, match="NeighbourhoodCleaning cannot resample these features: Expected n_"):
        NeighbourhoodCleaning(neighbours=500)(X, Y, 3, 0)


def test_without_the_library_the_mend_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imblearn", None)
    with pytest.raises(InputError, match=r"SMOTE needs imbalanced-learn; pip install steelyard\[resample\]"):
        SMOTE()(X, Y, 3, 0)
    WeightedSVM().check_installed()


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="unknown parameter of method 'smote' 'k'"):
        catalog.method("smote(k=3)", catalog.Facts([9, 1], 10))
    with pytest.raises(InputError, match="neighbours must be a whole number of at least 1, got 0"):
        SMOTE(neighbours=0)
