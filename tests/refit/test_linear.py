"""Last layers against scikit-learn's own predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from steelyard import InputError
from steelyard.refit import LogisticRefit, Refit, RefitError, WeightedSVM

if TYPE_CHECKING:
    from numpy.typing import NDArray


def samples(*counts: int, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features on scales that differ, one of them constant, of classes that overlap."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    x = rng.normal(size=(len(y), 4)) + rng.normal(size=(len(counts), 4))[y]
    return np.column_stack([x * [1, 10, 100, 0.1] + 5, np.full(len(y), 3.0)]).astype(np.float32), y


def logits(refit: Refit, x: NDArray[Any], y: NDArray[Any], num_classes: int) -> NDArray[Any]:
    weight, bias = refit(x, y, num_classes, 0)
    return np.asarray(x @ weight.T + bias)


@pytest.mark.parametrize("counts", [(60, 40, 20), (60, 20)])
def test_logistic_refit_gives_the_probabilities_of_logistic_regression(counts: tuple[int, ...]) -> None:
    x, y = samples(*counts)
    z = logits(LogisticRefit(), x, y, len(counts))
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x.astype(float), y)
    ours = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, pipeline.predict_proba(x.astype(float)), atol=1e-4)


@pytest.mark.parametrize("counts", [(60, 40, 20), (60, 20)])
def test_weighted_svm_gives_the_distances_of_a_balanced_linear_machine(counts: tuple[int, ...]) -> None:
    x, y = samples(*counts)
    z = logits(WeightedSVM(cost=0.1), x, y, len(counts))
    machine = LinearSVC(C=0.1, class_weight="balanced", max_iter=10_000)
    pipeline = make_pipeline(StandardScaler(), machine).fit(x.astype(float), y)
    distance = pipeline.decision_function(x.astype(float))
    found = z if len(counts) > 2 else z[:, 1] - z[:, 0]
    np.testing.assert_allclose(found, distance, atol=1e-3)


def test_weights_bring_back_the_rare_class() -> None:
    x, y = samples(300, 8, seed=3)
    plain, weighted = (logits(refit, x, y, 2).argmax(1) for refit in (LogisticRefit(), WeightedSVM()))
    assert (weighted[y == 1] == 1).mean() > (plain[y == 1] == 1).mean()


def test_absent_classes_are_never_decided_for() -> None:
    x, y = samples(30, 30, 30)
    z = logits(LogisticRefit(), x, y * 2, 6)
    assert z.shape == (90, 6)
    assert set(z.argmax(1)) <= {0, 2, 4}
    assert (z[:, [1, 3, 5]] == -1e4).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="cost must be a finite number above 0, got 0"):
        WeightedSVM(cost=0)
    x, y = samples(10)
    with pytest.raises(RefitError, match="at least two classes to learn from, got 1"):
        LogisticRefit()(x, y, 3, 0)
