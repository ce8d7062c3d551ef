from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

from steelyard import metrics
from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

SINGLE = 1e-6  # torchmetrics works in float32


def drawn(seed: int, n: int = 500, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(classes, size=n)
    return target, rng.normal(size=(n, classes)) * 2 + np.eye(classes)[target]


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_expected_calibration_error_agrees_with_torchmetrics(bins: int) -> None:
    target, logits = drawn(bins)
    probability = softmax(logits, axis=1)
    theirs = multiclass_calibration_error(
        torch.from_numpy(probability), torch.from_numpy(target), 4, n_bins=bins
    )
    ours = metrics.expected_calibration_error(target, probability, bins)
    assert ours == pytest.approx(theirs.item(), rel=0, abs=SINGLE)
    event, confidence = (target == 0).astype(int), probability[:, 0].copy()
    theirs = binary_calibration_error(torch.from_numpy(confidence), torch.from_numpy(event), n_bins=bins)
    ours = metrics.expected_calibration_error(event, confidence, bins)
    assert ours == pytest.approx(theirs.item(), rel=0, abs=SINGLE)


def test_reliability_agrees_with_scikit_learn_and_counts_empty_bins() -> None:
    target, logits = drawn(0)
    event, probability = (target == 0).astype(int), softmax(logits, axis=1)[:, 0] * 0.7  # none above 0.7
    true, given_ = calibration_curve(event, probability, n_bins=10)
    curve = metrics.reliability_curve(event, probability, bins=10)
    there = curve.count > 0
    np.testing.assert_allclose(curve.accuracy[there], true, rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.confidence[there], given_, rtol=0, atol=1e-12)
    assert curve.count.sum() == 500
    assert np.isnan(curve.accuracy[8:]).all()
    assert (curve.count[8:] == 0).all()


def test_a_bin_holds_its_upper_edge() -> None:
    curve = metrics.reliability_curve([1, 1, 1, 0], [0.5, 1.0, 0.0, 0.25], bins=4)
    assert curve.count.tolist() == [2, 1, 0, 1]


def test_sure_and_right_is_0_sure_and_wrong_is_1() -> None:
    assert metrics.expected_calibration_error([0, 1], np.eye(2)) == 0
    assert metrics.expected_calibration_error([1, 0], np.eye(2)) == 1
    assert metrics.brier([0, 1], np.eye(2)) == 0
    assert metrics.brier([1, 0], np.eye(2)) == 2


def test_brier_agrees_with_scikit_learn() -> None:
    target, logits = drawn(1)
    probability = softmax(logits, axis=1)
    assert metrics.brier(target, probability) == pytest.approx(
        brier_score_loss(target, probability, scale_by_half=False, labels=range(4)), rel=0, abs=1e-12
    )
    event = (target == 0).astype(int)
    binary = metrics.brier(event, probability[:, 0])
    assert binary == pytest.approx(brier_score_loss(event, probability[:, 0]), rel=0, abs=1e-12)
    both = np.column_stack([1 - probability[:, 0], probability[:, 0]])
    assert metrics.brier(event, both) == pytest.approx(2 * binary, rel=0, abs=1e-12)


def log_loss(logits: np.ndarray, target: np.ndarray, temperature: float) -> float:
    return -log_softmax(logits / temperature, axis=1)[np.arange(target.size), target].mean()


@pytest.mark.parametrize("seed", range(4))
def test_temperature_is_where_a_minimiser_ends(seed: int) -> None:
    target, logits = drawn(seed)
    best = minimize_scalar(lambda u: log_loss(logits, target, math.exp(u)), bounds=(-4, 4), method="bounded")
    # The minimum is flat: a minimiser by value knows it to the square root of rounding only.
    assert metrics.fit_temperature(logits, target) == pytest.approx(math.exp(best.x), rel=1e-4)


@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_temperature_scales_with_the_logits_and_never_raises_the_log_loss(seed: int, factor: float) -> None:
    target, logits = drawn(seed, n=60)
    found = metrics.fit_temperature(logits, target)
    assert log_loss(logits, target, found) <= log_loss(logits, target, 1.0) + 1e-12
    if 0.1 < found < 10:
        assert metrics.fit_temperature(logits * factor, target) == pytest.approx(found * factor, rel=1e-6)


def test_temperature_without_an_optimum_stops_at_its_bounds() -> None:
    right, wrong = np.eye(3) * 5, np.eye(3)[[1, 2, 0]] * 5
    assert metrics.fit_temperature(right, [0, 1, 2]) == 0.01
    assert metrics.fit_temperature(wrong, [0, 1, 2]) == 100
    assert metrics.fit_temperature(np.ones((3, 3)), [0, 1, 2]) == 1


def test_no_samples_is_nan() -> None:
    assert math.isnan(metrics.expected_calibration_error([], np.zeros((0, 3))))
    assert math.isnan(metrics.brier([], np.zeros((0, 3))))
    assert math.isnan(metrics.brier([], []))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.brier([0], [[2.0, -1.0]]), "probability within 0 and 1, got -1 to 2; a softmax"),
        (lambda: metrics.brier([0], [[0.2, 0.2]]), "probability that sum to 1"),
        (lambda: metrics.brier([0], [1.5]), "within 0 and 1, got 1.5 to 1.5; a sigmoid gives them"),
        (lambda: metrics.brier([0, 1], [[0.5, 0.5]]), r"target of shape \(N,\)"),
        (
            lambda: metrics.expected_calibration_error([0], [[0.5, 0.5]], bins=0),
            "bins must be a whole number",
        ),
        (lambda: metrics.expected_calibration_error([2], [[0.5, 0.5]]), "below the 2 classes"),
        (lambda: metrics.reliability_curve([0], [math.nan]), "without NaN"),
        (lambda: metrics.fit_temperature(np.zeros((0, 2)), []), "number of samples must be"),
        (lambda: metrics.fit_temperature([[math.inf, 0.0]], [0]), "finite logits"),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
