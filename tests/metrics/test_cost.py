from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from steelyard import metrics
from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDING = 1e-12

binary_samples = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(0, 1)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 8)),  # many ties
    )
)
counts = st.integers(1, 50)


@given(counts, counts, counts, counts)
def test_rates_at_the_prevalence_of_the_counts_give_the_shares_of_the_counts(
    true: int, missed: int, false: int, quiet: int
) -> None:
    positives, negatives = true + missed, false + quiet
    n = positives + negatives
    rates = {"tpr": true / positives, "fpr": false / negatives, "prevalence": positives / n}
    assert metrics.precision_at_prevalence(**rates) == pytest.approx(true / (true + false), abs=ROUNDING)
    assert metrics.npv_at_prevalence(**rates) == pytest.approx(quiet / (quiet + missed), abs=ROUNDING)
    cost = metrics.expected_cost(**rates, miss=50, alarm=3)
    assert cost == pytest.approx((50 * missed + 3 * false) / n, rel=1e-12)


def test_an_alarm_is_worth_less_where_positives_are_rarer() -> None:
    found = [metrics.precision_at_prevalence(0.9, 0.1, share) for share in (0.0, 0.01, 0.1, 0.5, 1.0)]
    assert found == sorted(found)
    assert found[0] == 0.0
    assert found[3] == pytest.approx(0.9)
    assert found[-1] == 1.0


def test_what_has_no_value_is_nan() -> None:
    assert math.isnan(metrics.precision_at_prevalence(0.0, 0.0, 0.1))  # no alarm
    assert math.isnan(metrics.npv_at_prevalence(1.0, 1.0, 0.1))  # nothing but alarms
    for nothing_known in ((math.nan, 0.1, 0.1), (0.9, math.nan, 0.1), (0.9, 0.1, math.nan)):
        assert math.isnan(metrics.precision_at_prevalence(*nothing_known))
        assert math.isnan(metrics.npv_at_prevalence(*nothing_known))
        assert math.isnan(metrics.expected_cost(*nothing_known, miss=1, alarm=1))
    assert math.isnan(metrics.net_benefit([], [], 0.5))
    assert math.isnan(metrics.threshold_at_cost([], [], miss=1, alarm=1))
    assert math.isnan(metrics.threshold_at_cost([1, 1], [0, 1], miss=1, alarm=1))
    assert math.isnan(metrics.threshold_at_cost([0, 0], [0, 1], miss=1, alarm=1, prevalence=0.5))


@given(binary_samples, st.lists(st.integers(0, 9), max_size=5))
def test_net_benefit_by_counting(sample: tuple[np.ndarray, np.ndarray], tenths: list[int]) -> None:
    target, score = sample
    probability, thresholds = score / 10, [t / 10 for t in tenths]
    found = metrics.net_benefit(target, probability, thresholds)
    assert found.shape == (len(tenths),)
    for benefit, t, threshold in zip(found, tenths, thresholds, strict=True):
        true = int(((score >= t) & (target == 1)).sum())
        false = int(((score >= t) & (target == 0)).sum())
        exactly = Fraction(true - false * Fraction(t, 10 - t)) / len(target)
        assert benefit == pytest.approx(float(exactly), rel=0, abs=ROUNDING)
        assert metrics.net_benefit(target, probability, threshold) == benefit


def test_net_benefit_of_acting_always_and_never() -> None:
    target = np.array([0] * 9 + [1])
    assert metrics.net_benefit(target, np.ones(10), 0.1) == pytest.approx(0.0, abs=ROUNDING)  # p = prevalence
    assert metrics.net_benefit(target, np.ones(10), 0.0) == 0.1
    assert metrics.net_benefit(target, np.zeros(10), 0.5) == 0.0
    assert metrics.net_benefit(target, target, 0.5) == 0.1  # a perfect model: the prevalence


@given(binary_samples, st.integers(0, 9), st.integers(0, 9), st.sampled_from([None, 0, 1, 4, 10]))
def test_threshold_at_cost_by_trying_all(
    sample: tuple[np.ndarray, np.ndarray], miss: int, alarm: int, tenths: int | None
) -> None:
    target, score = sample
    positives = int(target.sum())
    negatives = len(target) - positives
    assume(positives and negatives)
    share = Fraction(positives, len(target)) if tenths is None else Fraction(tenths, 10)
    costs = {}
    for threshold in (math.inf, *np.unique(score).tolist()):
        missed = Fraction(int(((score < threshold) & (target == 1)).sum()), positives)
        false = Fraction(int(((score >= threshold) & (target == 0)).sum()), negatives)
        costs[threshold] = miss * share * missed + alarm * (1 - share) * false
    least = max(threshold for threshold, cost in costs.items() if cost == min(costs.values()))
    prevalence = None if tenths is None else tenths / 10
    assert metrics.threshold_at_cost(target, score, miss, alarm, prevalence) == least


def test_cheap_alarms_are_always_raised_and_dear_ones_never() -> None:
    target, score = [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]
    assert metrics.threshold_at_cost(target, score, miss=1, alarm=100, prevalence=0.5) == 0.4
    assert metrics.threshold_at_cost(target, [0.4, 0.3, 0.2, 0.1], miss=1, alarm=100) == math.inf
    assert metrics.threshold_at_cost(target, [0.4, 0.3, 0.2, 0.1], miss=100, alarm=1) == 0.1
    at_once = metrics.threshold_at_cost(target, score, miss=3, alarm=1, prevalence=0.5)
    assert at_once == 0.2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.precision_at_prevalence(95, 0.1, 0.1), "tpr must lie between 0 and 1, got 95"),
        (lambda: metrics.npv_at_prevalence(0.9, -0.1, 0.1), "fpr must lie between"),
        (lambda: metrics.expected_cost(0.9, 0.1, 2, 1, 1), "prevalence must lie between"),
        (lambda: metrics.expected_cost(0.9, 0.1, 0.2, -1, 1), "miss must be a finite number of at least 0"),
        (lambda: metrics.expected_cost(0.9, 0.1, 0.2, 1, math.inf), "alarm must be a finite number"),
        (lambda: metrics.threshold_at_cost([0, 1], [0, 1], -1, 1), "miss must be"),
        (lambda: metrics.threshold_at_cost([0, 1], [0, 1], 1, math.nan), "alarm must be"),
        (lambda: metrics.threshold_at_cost([0, 1], [0, 1], 1, 1, 2), "prevalence must lie between"),
        (lambda: metrics.net_benefit([0, 1], [0.5, 3.0], 0.5), "probability within 0 and 1, got 0.5 to 3"),
        (lambda: metrics.net_benefit([0, 1], [0.5, 0.6], 1.0), "threshold of at least 0 and below 1"),
        (lambda: metrics.net_benefit([0, 1], [0.5, 0.6], [[0.5]]), r"a number or \(T,\)"),
        (lambda: metrics.net_benefit([0, 1], [0.5, 0.6], math.nan), "threshold without NaN"),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
