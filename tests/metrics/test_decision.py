from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from steelyard import metrics
from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def gaussians(seed: int, priors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes drawn by ``priors``, x normal around the class number."""
    rng = np.random.default_rng(seed)
    target = rng.choice(priors.size, size=n, p=priors)
    return target, rng.normal(size=n) + 2 * target


def posterior(x: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Bayes' rule, written out."""
    joint = priors * np.exp(-0.5 * (x[:, None] - 2 * np.arange(priors.size)) ** 2)
    return joint / joint.sum(axis=1, keepdims=True)


BEFORE, AFTER = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])


def test_shifted_priors_are_bayes_rule_under_the_new_priors() -> None:
    _, x = gaussians(0, AFTER, 200)
    shifted = metrics.shift_priors(posterior(x, BEFORE), BEFORE, AFTER)
    np.testing.assert_allclose(shifted, posterior(x, AFTER), rtol=0, atol=1e-12)
    np.testing.assert_allclose(metrics.shift_priors(shifted, AFTER, BEFORE), posterior(x, BEFORE), atol=1e-12)


def test_adjusted_logits_are_bayes_rule_under_equal_priors() -> None:
    _, x = gaussians(0, AFTER, 200)
    logits = np.log(posterior(x, BEFORE))
    balanced = softmax(metrics.adjust_logits(logits, BEFORE), axis=1)
    np.testing.assert_allclose(balanced, posterior(x, np.full(3, 1 / 3)), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(metrics.adjust_logits(logits, BEFORE, tau=0), logits)
    target, x = gaussians(1, BEFORE, 5000)
    logits = np.log(posterior(x, BEFORE))
    adjusted = metrics.adjust_logits(logits, metrics.class_priors(target, 3)).argmax(axis=1)
    assert metrics.balanced_accuracy(target, adjusted) > metrics.balanced_accuracy(
        target, logits.argmax(axis=1)
    )


def test_estimated_priors_maximise_the_likelihood_of_the_unlabelled() -> None:
    target, x = gaussians(2, AFTER, 3000)
    probability = posterior(x, BEFORE)
    found = metrics.estimate_priors(probability, BEFORE)

    def loss(free: np.ndarray) -> float:
        priors = softmax(np.append(free, 0))
        return -np.log((probability * priors / BEFORE).sum(axis=1)).mean()

    best = minimize(loss, np.zeros(2), tol=1e-12)
    np.testing.assert_allclose(found, softmax(np.append(best.x, 0)), rtol=0, atol=1e-4)  # by value: flat
    np.testing.assert_allclose(found, metrics.class_priors(target, 3), rtol=0, atol=0.03)
    assert found.sum() == pytest.approx(1)


def test_a_class_that_vanished_is_estimated_as_0_and_can_be_shifted_to() -> None:
    probability = np.array([[0.6, 0.4, 0.0], [0.3, 0.7, 0.0]])
    found = metrics.estimate_priors(probability, BEFORE)
    assert found[2] == 0
    assert metrics.shift_priors(probability, BEFORE, found)[:, 2].tolist() == [0, 0]


def test_critical_score_is_the_log_odds() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 5)) * 3
    p = softmax(logits, axis=1)
    for critical in ([0], [1, 3], [0, 2, 3, 4]):
        share = p[:, critical].sum(axis=1)
        score = metrics.critical_score(logits, critical)
        np.testing.assert_allclose(score, np.log(share / (1 - share)), rtol=0, atol=1e-9)
        np.testing.assert_allclose(expit(score), share, rtol=0, atol=1e-12)
    np.testing.assert_allclose(metrics.critical_score(logits[:, :2], [1]), logits[:, 1] - logits[:, 0])
    huge = metrics.critical_score(np.array([[1e4, -1e4, 0.0]], np.float32), [1])
    assert huge[0] == pytest.approx(-2e4)  # where a probability would have been 0


@given(st.integers(0, 1000), st.floats(-50, 50))
def test_critical_score_ignores_a_constant(seed: int, shift: float) -> None:
    logits = np.random.default_rng(seed).normal(size=(4, 3))
    np.testing.assert_allclose(
        metrics.critical_score(logits + shift, [2]), metrics.critical_score(logits, [2]), rtol=0, atol=1e-10
    )


def test_threshold_from_validation_keeps_its_promise_there() -> None:
    target, x = gaussians(3, np.array([0.9, 0.1]), 400)
    threshold = metrics.threshold_at_tpr(target, x, 0.95)
    said = metrics.decide(x, threshold)
    assert said[target == 1].mean() >= 0.95
    assert said[target == 0].mean() == metrics.fpr_at_tpr(target, x, 0.95)
    assert metrics.decide([1.0, 2.0], math.inf).tolist() == [0, 0]


@pytest.mark.parametrize("critical", [[0], [1, 3], [4, 2]])
@pytest.mark.parametrize("threshold", [-math.inf, -1.0, 0.0, 2.0, math.inf])
def test_critical_decisions_one_sample_at_a_time(critical: list[int], threshold: float) -> None:
    logits = np.random.default_rng(5).normal(size=(200, 5)) * 2
    others = [c for c in range(5) if c not in critical]
    expected = []
    for row in logits:
        odds = np.exp(row[critical]).sum() / np.exp(row[others]).sum()
        side = critical if math.log(odds) >= threshold else others
        expected.append(max(side, key=lambda c: row[c]))
    found = metrics.decide_critical(logits, critical, threshold)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_critical_decisions_of_two_classes_are_those_of_the_score() -> None:
    logits = np.random.default_rng(6).normal(size=(50, 2))
    score = metrics.critical_score(logits, [1])
    for threshold in (0.3, score[7]):  # a score that meets the threshold counts as found
        np.testing.assert_array_equal(
            metrics.decide_critical(logits, [1], threshold), metrics.decide(score, threshold)
        )
    np.testing.assert_array_equal(metrics.decide_critical(logits, [1], 0.0), logits.argmax(axis=1))


def test_a_class_that_is_ruled_out_stays_on_its_side() -> None:
    logits = [[0.0, -np.inf, -np.inf], [-np.inf, 0.0, -1.0]]
    assert metrics.decide_critical(logits, [1, 2], -math.inf).tolist() == [1, 1]
    assert metrics.decide_critical(logits, [1, 2], math.inf).tolist() == [0, 1]  # infinite odds reach it


def test_temperature_and_priors_work_on_what_the_other_gives() -> None:
    logits = np.random.default_rng(4).normal(size=(20, 3)) * 4
    target = logits.argmax(axis=1)
    target[:8] = (target[:8] + 1) % 3
    cooled = logits / metrics.fit_temperature(logits, target)
    assert -log_softmax(cooled, axis=1)[np.arange(20), target].mean() < (
        -log_softmax(logits, axis=1)[np.arange(20), target].mean()
    )
    assert metrics.shift_priors(softmax(cooled.astype(np.float32), axis=1), BEFORE, AFTER).shape == (20, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.class_priors([], 3), "at least one sample"),
        (lambda: metrics.class_priors([3], 3), "below the 3 classes"),
        (
            lambda: metrics.adjust_logits([[1.0, 2.0]], [1.0, 0.0]),
            "above 0, got .*; leave absent classes out",
        ),
        (lambda: metrics.adjust_logits([[1.0, 2.0]], BEFORE), r"logits of shape \(N, 3\), as many as priors"),
        (lambda: metrics.shift_priors([[0.5, 0.5]], [0.5, 0.5], BEFORE), r"to_priors of shape \(2,\)"),
        (lambda: metrics.shift_priors([[2.0, 3.0]], [0.5, 0.5], [0.5, 0.5]), "within 0 and 1, got 2 to 3"),
        (lambda: metrics.shift_priors([[1.0, 0.0]], [0.5, 0.5], [0.0, 1.0]), "to_priors above 0 for a class"),
        (lambda: metrics.shift_priors([[0.5, 0.5]], [5, 5], [0.5, 0.5]), "from_priors within 0 and 1"),
        (lambda: metrics.estimate_priors(np.zeros((0, 2)), [0.5, 0.5]), "number of samples must be"),
        (
            lambda: metrics.critical_score([[1.0, 2.0]], []),
            "some, not all, of the classes 0 to 1 as critical",
        ),
        (lambda: metrics.critical_score([[1.0, 2.0]], [0, 1]), r"not all, .*got \[0, 1\]"),
        (lambda: metrics.critical_score([[1.0, 2.0]], [2]), r"got \[2\]"),
        (lambda: metrics.critical_score([1.0, 2.0], [1]), r"logits of shape \(N, C\)"),
        (lambda: metrics.decide([1.0], math.nan), "expected a threshold, got NaN"),
        (lambda: metrics.decide_critical([[1.0, 2.0]], [1], math.nan), "expected a threshold, got NaN"),
        (lambda: metrics.decide_critical([[1.0, 2.0]], [2], 0.0), "not all, of the classes 0 to 1"),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
