from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steelyard import metrics
from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def by_pairs(target: np.ndarray, *scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs and their covariance from all m times n comparisons (DeLong et al., 1988, eq. 4 to 6)."""
    of_positives, of_negatives = [], []
    for score in scores:
        difference = score[target == 1][:, None] - score[target == 0]
        wins = (difference > 0) + 0.5 * (difference == 0)
        of_positives.append(wins.mean(axis=1))
        of_negatives.append(wins.mean(axis=0))
    m, n = (target == 1).sum(), (target == 0).sum()
    covariance = np.atleast_2d(np.cov(of_positives)) / m + np.atleast_2d(np.cov(of_negatives)) / n
    return np.array([v.mean() for v in of_positives]), covariance


def drawn(seed: int, m: int, n: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.permutation(np.repeat([1, 0], [m, n]))
    common = rng.normal(size=m + n) + target
    a, b = common + rng.normal(size=m + n), common + rng.normal(size=m + n)
    return (target, a.round(), b.round()) if ties else (target, a, b)


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 30), st.booleans())
def test_equals_the_comparison_of_all_pairs(seed: int, m: int, n: int, ties: bool) -> None:
    target, a, b = drawn(seed, m, n, ties=ties)
    areas, covariance = by_pairs(target, a, b)
    test = metrics.delong_test(target, a, b)
    assert test.auc_a == pytest.approx(areas[0], rel=0, abs=1e-12)
    assert test.auc_b == pytest.approx(areas[1], rel=0, abs=1e-12)
    assert test.difference == pytest.approx(areas[0] - areas[1], rel=0, abs=1e-12)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert test.standard_error**2 == pytest.approx(variance, rel=0, abs=1e-12)
    if test.standard_error > 1e-6:
        assert test.z == pytest.approx(test.difference / test.standard_error, rel=1e-9)
        assert test.p_value == pytest.approx(2 * stats.norm.sf(abs(test.z)), rel=1e-9)
    one = metrics.delong_interval(target, a, level=0.9)
    reach = stats.norm.ppf(0.95) * math.sqrt(covariance[0, 0])
    assert one.low == pytest.approx(max(areas[0] - reach, 0), rel=0, abs=1e-9)
    assert one.high == pytest.approx(min(areas[0] + reach, 1), rel=0, abs=1e-9)


def test_auc_is_that_of_auc_and_of_mann_whitney() -> None:
    target, a, b = drawn(0, 40, 200, ties=True)
    test = metrics.delong_test(target, a, b)
    u = stats.mannwhitneyu(a[target == 1], a[target == 0]).statistic
    assert test.auc_a == pytest.approx(metrics.auc(target, a), rel=0, abs=1e-15)
    assert test.auc_a == pytest.approx(u / (40 * 200), rel=0, abs=1e-12)


def test_swapping_the_models_turns_the_sign() -> None:
    target, a, b = drawn(1, 30, 70, ties=False)
    one, other = metrics.delong_test(target, a, b), metrics.delong_test(target, b, a)
    assert (one.z, one.p_value) == (-other.z, other.p_value)
    interval, mirrored = one.interval(0.9), other.interval(0.9)
    assert (interval.low, interval.high) == (-mirrored.high, -mirrored.low)
    assert interval.low < one.difference < interval.high
    assert one.interval().low < interval.low


def test_scores_of_one_order_have_p_1() -> None:
    target, a, _ = drawn(2, 20, 50, ties=False)
    for same in (a, 3 * a + 1, np.exp(a)):
        test = metrics.delong_test(target, a, same)
        assert (test.z, test.p_value, test.standard_error) == (0.0, 1.0, 0.0)
    constant = metrics.delong_test(target, np.zeros(70), np.ones(70))
    assert (constant.auc_a, constant.p_value) == (0.5, 1.0)


def test_difference_without_variance_is_certain() -> None:
    target = np.array([0, 0, 0, 1, 1])
    test = metrics.delong_test(target, target, np.zeros(5))
    assert (test.auc_a, test.auc_b, test.z, test.p_value) == (1.0, 0.5, math.inf, 0.0)
    assert metrics.delong_test(target, -target, np.zeros(5)).z == -math.inf


@pytest.mark.parametrize("target", [[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1]])
def test_too_few_of_a_class_is_nan(target: list[int]) -> None:
    test = metrics.delong_test(target, [1.0, 2.0, 3.0], [3.0, 1.0, 2.0])
    assert math.isnan(test.p_value)
    assert math.isnan(test.standard_error)
    assert math.isnan(test.auc_a) == (len(set(target)) == 1)
    assert math.isnan(test.interval().low)
    assert math.isnan(metrics.delong_interval(target, [1.0, 2.0, 3.0]).high)


@given(st.integers(0, 1000))
def test_order_of_samples_does_not_matter(seed: int) -> None:
    target, a, b = drawn(seed, 15, 25, ties=True)
    mixed = np.random.default_rng(seed).permutation(40)
    one = metrics.delong_test(target, a, b)
    other = metrics.delong_test(target[mixed], a[mixed], b[mixed])
    assert (one.auc_a, one.auc_b) == (other.auc_a, other.auc_b)
    assert one.standard_error == pytest.approx(other.standard_error, rel=1e-12)


def test_p_values_are_uniform_and_intervals_cover_when_nothing_differs() -> None:
    tests = [metrics.delong_test(*drawn(seed, 60, 120, ties=False)) for seed in range(600)]
    p = np.array([test.p_value for test in tests])
    assert stats.kstest(p, "uniform").pvalue > 0.001  # a fixed draw; a wrong variance gives below 1e-9
    covered = [test.interval(0.8).low <= 0 <= test.interval(0.8).high for test in tests]
    assert 0.75 < np.mean(covered) < 0.85  # 600 draws: three standard errors are 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.delong_test([0, 1], [0.1, 0.2], [0.1]), r"got \(2,\) and \(1,\)"),
        (lambda: metrics.delong_test([0, 1], [0.1, 0.2], [0.1, math.nan]), "without NaN"),
        (lambda: metrics.delong_test([0, 3], [0.1, 0.2], [0.1, 0.2]), "0 and 1 only"),
        (lambda: metrics.delong_interval([0, 1], [0.1, 0.2], level=95), "level must lie strictly between"),
        (lambda: metrics.delong_test([0, 1], [0, 1], [0, 1]).interval(1), "level must lie strictly between"),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
