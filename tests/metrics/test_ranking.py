from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from steelyard import metrics
from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDING = 1e-12


def drawn(seed: int, n: int = 400, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = (rng.random(n) < rng.uniform(0.05, 0.95)).astype(int)
    score = rng.normal(size=n) + target
    return target, score.round(1) if ties else score


def operating_points(target: np.ndarray, score: np.ndarray) -> list[tuple[float, float, int, float]]:
    """(FPR, TPR, missed, threshold) at every threshold that decides differently, one count at a time."""
    points = []
    for threshold in [math.inf, *np.unique(score)]:
        said = score >= threshold
        true, false = int((said & (target == 1)).sum()), int((said & (target == 0)).sum())
        positives, negatives = int((target == 1).sum()), int((target == 0).sum())
        points.append((false / negatives, true / positives, positives - true, threshold))
    return points


binary_samples = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(0, 1)),
        hnp.arrays(np.float64, n, elements=st.integers(-4, 4).map(float)),  # many ties
    )
)


@given(binary_samples)
def test_auc_is_the_share_of_pairs_in_order(sample: tuple[np.ndarray, np.ndarray]) -> None:
    target, score = sample
    assume(0 < target.sum() < target.size)
    pairs = [(p, n) for p in score[target == 1] for n in score[target == 0]]
    share = sum((Fraction(int(p > n)) + Fraction(int(p == n), 2)) for p, n in pairs) / len(pairs)
    assert metrics.auc(target, score) == float(share)  # counts: exact
    assert metrics.auc(target, -score) == pytest.approx(1 - float(share), rel=0, abs=ROUNDING)
    assert metrics.auc(1 - target, score) == pytest.approx(1 - float(share), rel=0, abs=ROUNDING)
    assert metrics.auc(target, np.exp(score) * 3 - 1) == metrics.auc(target, score)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed: int, ties: bool) -> None:
    target, score = drawn(seed, ties=ties)
    assert metrics.auc(target, score) == pytest.approx(sk.roc_auc_score(target, score), rel=0, abs=ROUNDING)
    assert metrics.average_precision(target, score) == pytest.approx(
        sk.average_precision_score(target, score), rel=0, abs=ROUNDING
    )
    for max_fpr in (0.01, 0.1, 0.5, 0.9):
        assert metrics.partial_auc(target, score, max_fpr) == pytest.approx(
            sk.roc_auc_score(target, score, max_fpr=max_fpr), rel=0, abs=ROUNDING
        )
    assert metrics.partial_auc(target, score, 1) == pytest.approx(metrics.auc(target, score))
    ours = metrics.roc_curve(target, score)
    for mine, theirs in zip(
        (ours.fpr, ours.tpr, ours.threshold),
        sk.roc_curve(target, score, drop_intermediate=False),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)
    precision, recall, threshold = sk.precision_recall_curve(target, score)
    curve = metrics.precision_recall_curve(target, score)
    np.testing.assert_allclose(curve.precision[::-1], precision[:-1], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(curve.recall[::-1], recall[:-1], rtol=0, atol=ROUNDING)
    np.testing.assert_array_equal(curve.threshold[::-1], threshold)


def test_mean_auc_agrees_with_scikit_learn_and_leaves_absent_classes_out() -> None:
    rng = np.random.default_rng(0)
    target, probability = rng.integers(4, size=200), rng.dirichlet(np.ones(4), size=200)
    expected = sk.roc_auc_score(target, probability, multi_class="ovr")
    assert metrics.mean_auc(target, probability) == pytest.approx(expected, rel=0, abs=ROUNDING)
    wider = np.column_stack([probability, rng.random(200)])
    assert metrics.mean_auc(target, wider) == pytest.approx(expected, rel=0, abs=ROUNDING)


@given(binary_samples, st.floats(0, 1), st.integers(0, 31))
def test_operating_points_are_the_best_of_all_thresholds(
    sample: tuple[np.ndarray, np.ndarray], rate: float, k: int
) -> None:
    target, score = sample
    assume(0 < target.sum() < target.size)
    points = operating_points(target, score)
    assert metrics.fpr_at_tpr(target, score, rate) == min(f for f, t, _, _ in points if t >= rate)
    assert metrics.tpr_at_fpr(target, score, rate) == max(t for f, t, _, _ in points if f <= rate)
    assert metrics.fpr_at_fn(target, score, k) == min(f for f, _, missed, _ in points if missed <= k)
    assert metrics.threshold_at_tpr(target, score, rate) == max(c for _, t, _, c in points if t >= rate)


@pytest.mark.parametrize("count", [7, 10, 20, 30, 100])
def test_a_rate_that_is_a_share_of_the_positives_is_met_exactly(count: int) -> None:
    target = np.repeat([1, 0], count)
    score = -np.arange(2 * count)  # perfect
    rng = np.random.default_rng(count)
    shuffled = rng.permutation(2 * count)
    for k in range(count + 1):
        rate = k / count  # 0.1 * 30 is a little above 3: no threshold too many may be asked for
        threshold = metrics.threshold_at_tpr(target, score, rate)
        assert metrics.decide(score, threshold)[target == 1].sum() == k
        points = operating_points(target[shuffled], score)
        assert metrics.fpr_at_tpr(target[shuffled], score, rate) == min(f for f, t, *_ in points if t >= rate)
        assert metrics.tpr_at_fpr(target[shuffled], score, rate) == max(t for f, t, *_ in points if f <= rate)


@given(binary_samples, st.floats(0, 1), st.floats(0, 1))
def test_more_sensitivity_never_costs_fewer_false_alarms(
    sample: tuple[np.ndarray, np.ndarray], one: float, other: float
) -> None:
    target, score = sample
    assume(0 < target.sum() < target.size)
    low, high = sorted([one, other])
    assert metrics.fpr_at_tpr(target, score, low) <= metrics.fpr_at_tpr(target, score, high)
    assert metrics.tpr_at_fpr(target, score, low) <= metrics.tpr_at_fpr(target, score, high)
    assert metrics.threshold_at_tpr(target, score, low) >= metrics.threshold_at_tpr(target, score, high)


def test_all_scores_equal() -> None:
    target, score = np.array([0, 1, 0, 1, 0]), np.zeros(5)
    assert metrics.auc(target, score) == 0.5
    assert metrics.fpr_at_tpr(target, score, 0.01) == 1
    assert metrics.fpr_at_tpr(target, score, 0) == 0
    assert metrics.tpr_at_fpr(target, score, 0.99) == 0
    assert metrics.fpr_at_fn(target, score, 1) == 1
    assert metrics.fpr_at_fn(target, score, 2) == 0
    assert metrics.average_precision(target, score) == 0.4
    assert metrics.partial_auc(target, score, 0.3) == pytest.approx(0.5)


def test_infinite_scores_are_scores() -> None:
    target, score = np.array([0, 0, 1, 1]), np.array([-np.inf, np.inf, np.inf, 0.0])
    assert metrics.auc(target, score) == (1 + 0.5 + 1 + 0) / 4
    assert metrics.fpr_at_tpr(target, score, 0) == 0
    assert metrics.fpr_at_tpr(target, score, 0.5) == 0.5
    assert metrics.tpr_at_fpr(target, score, 0) == 0


@pytest.mark.parametrize("target", [[], [0, 0, 0], [1, 1]])
def test_one_class_only_is_nan(target: list[int]) -> None:
    score = np.arange(len(target), dtype=float)
    for found in (
        metrics.auc(target, score),
        metrics.average_precision(target, score),
        metrics.partial_auc(target, score, 0.5),
        metrics.fpr_at_tpr(target, score, 0.9),
        metrics.tpr_at_fpr(target, score, 0.1),
        metrics.fpr_at_fn(target, score, 0),
        metrics.mean_auc(target, np.zeros((len(target), 2))),
    ):
        assert math.isnan(found)
    curve = metrics.roc_curve(target, score)
    assert np.isnan(curve.tpr).all() == (sum(target) == 0)
    assert np.isnan(curve.fpr).all() == (sum(target) == len(target))
    assert np.isnan(metrics.precision_recall_curve(target, score).recall).all() == (sum(target) == 0)
    assert math.isnan(metrics.threshold_at_tpr(target, score, 0.9)) == (sum(target) == 0)


def test_one_sample_of_a_class_is_enough() -> None:
    target, score = [0, 0, 0, 1], [1.0, 3.0, 2.0, 2.5]
    assert metrics.auc(target, score) == 2 / 3
    assert metrics.fpr_at_tpr(target, score, 0.95) == 1 / 3
    assert metrics.tpr_at_fpr(target, score, 0) == 0


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int32, np.bool_])
def test_any_number_type_is_compared_as_it_is(kind: type) -> None:
    rng = np.random.default_rng(0)
    target, score = rng.integers(2, size=100).astype(bool), rng.integers(0, 5, size=100).astype(kind)
    wide = score.astype(np.float64)
    assert metrics.auc(target, score) == metrics.auc(target, wide)
    assert metrics.fpr_at_tpr(target, score, 0.7) == metrics.fpr_at_tpr(target, wide, 0.7)


def test_inputs_are_left_as_they_were() -> None:
    target, score = drawn(0, ties=True)
    before = score.copy()
    metrics.auc(target, score)
    metrics.fpr_at_tpr(target, score, 0.9)
    metrics.roc_curve(target, score)
    np.testing.assert_array_equal(score, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.auc([0, 1], [0.1]), r"of shape \(N,\), got \(2,\) and \(1,\)"),
        (lambda: metrics.auc([0, 1], [0.1, math.nan]), "score without NaN, got 1 of 2"),
        (lambda: metrics.auc([0, 2], [0.1, 0.2]), "target of 0 and 1 only, got values from 0 to 2"),
        (lambda: metrics.auc([-1, 1], [0.1, 0.2]), "target of 0 and 1 only, got values from -1 to 1"),
        (lambda: metrics.auc([0.0, 1.0], [0.1, 0.2]), "whole numbers 0 and 1, got float64"),
        (lambda: metrics.auc([0, 1], ["a", "b"]), "score of real numbers"),
        (lambda: metrics.fpr_at_tpr([0, 1], [0.1, 0.2], 1.1), "tpr must lie between 0 and 1, got 1.1"),
        (lambda: metrics.fpr_at_tpr([0, 1], [0.1, 0.2], 95), "tpr must lie between 0 and 1, got 95"),
        (lambda: metrics.fpr_at_tpr([0, 1], [0.1, 0.2], math.nan), "tpr must lie between"),
        (lambda: metrics.tpr_at_fpr([0, 1], [0.1, 0.2], -0.1), "fpr must lie between 0 and 1"),
        (lambda: metrics.fpr_at_fn([0, 1], [0.1, 0.2], -1), "k must be a whole number of at least 0"),
        (lambda: metrics.fpr_at_fn([0, 1], [0.1, 0.2], 0.5), "k must be a whole number"),
        (lambda: metrics.partial_auc([0, 1], [0.1, 0.2], 0), "max_fpr must lie above 0"),
        (lambda: metrics.mean_auc([0, 1], [0.1, 0.2]), r"scores of shape \(N, C\)"),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
