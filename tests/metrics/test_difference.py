from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from steelyard import metrics
from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDING = 1e-12

runs = st.lists(st.integers(-50, 50).map(lambda n: n / 64), min_size=2, max_size=6)
resamples = st.lists(st.integers(-50, 50).map(lambda n: n / 64), min_size=2, max_size=20)


def reach_by_tables(differences: np.ndarray, resampled: np.ndarray, level: float) -> float:
    n, tail = len(differences), (1 - level) / 2
    over_runs = stats.t.isf(tail, n - 1) * math.sqrt(
        sum((differences - differences.mean()) ** 2) / (n - 1) / n
    )
    over_samples = stats.norm.isf(tail) * math.sqrt(
        sum((resampled - resampled.mean()) ** 2) / (len(resampled) - 1)
    )
    return math.sqrt(over_runs**2 + over_samples**2)


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_interval_adds_both_half_widths_in_quadrature(n: int, level: float) -> None:
    rng = np.random.default_rng(n)
    differences, resampled = rng.normal(size=n), rng.normal(size=500)
    found = metrics.difference_interval(differences, resampled, level)
    reach = reach_by_tables(differences, resampled, level)
    assert found.estimate == pytest.approx(differences.mean(), rel=0, abs=ROUNDING)
    assert found.high - found.estimate == pytest.approx(reach, rel=1e-9)
    assert found.estimate - found.low == pytest.approx(reach, rel=1e-9)
    assert found.level == level


def test_without_one_of_the_spreads_the_other_is_left() -> None:
    differences, still = np.array([0.25, 0.5, 1.5]), np.full(9, 0.75)
    over_runs = metrics.mean_interval(differences, 0.9)
    assert metrics.difference_interval(differences, still, 0.9) == over_runs
    p = metrics.difference_p_value(differences, still)
    assert p == pytest.approx(metrics.paired_t_test(differences, np.zeros(3)).p_value, rel=1e-9)

    resampled = np.array([0.25, 0.5, 1.5])
    found = metrics.difference_interval([0.75, 0.75], resampled)
    assert found.high - 0.75 == pytest.approx(stats.norm.isf(0.025) * resampled.std(ddof=1), rel=1e-9)
    p = metrics.difference_p_value([0.75, 0.75], resampled)
    assert p == pytest.approx(2 * stats.norm.sf(0.75 / resampled.std(ddof=1)), rel=1e-9)

    assert metrics.difference_interval([0.75, 0.75], still) == metrics.Interval(0.75, 0.75, 0.75, 0.95)
    assert metrics.difference_p_value([0.75, 0.75], still) == 0.0
    assert metrics.difference_p_value([0.0, 0.0], np.zeros(9)) == 1.0


@given(runs, resamples, st.floats(0.01, 0.9999))
def test_p_value_and_interval_never_contradict_each_other(
    differences: list[float], resampled: list[float], level: float
) -> None:
    found = metrics.difference_interval(differences, resampled, level)
    p = metrics.difference_p_value(differences, resampled)
    assume(abs(p - (1 - level)) > 1e-9)
    assert (p < 1 - level) == (found.low > 0 or found.high < 0)


@given(runs, resamples)
def test_interval_at_the_level_of_the_p_value_ends_at_0(
    differences: list[float], resampled: list[float]
) -> None:
    p = metrics.difference_p_value(differences, resampled)
    assume(1e-9 < p < 1)
    found = metrics.difference_interval(differences, resampled, 1 - p)
    assert min(abs(found.low), abs(found.high)) < 1e-5 * (found.high - found.low)


@given(runs, resamples, st.sampled_from([-4.0, -1.0, 0.25]))
def test_p_value_has_no_side_and_no_unit(
    differences: list[float], resampled: list[float], factor: float
) -> None:
    scaled = factor * np.array(differences), factor * np.array(resampled)
    assert metrics.difference_p_value(*scaled) == pytest.approx(
        metrics.difference_p_value(differences, resampled), rel=1e-6
    )


def test_what_cannot_be_known_is_nan() -> None:
    one = metrics.difference_interval([0.5], [0.4, 0.6])
    assert one.estimate == 0.5
    for figure in (one.low, one.high, metrics.difference_p_value([0.5], [0.4, 0.6])):
        assert math.isnan(figure)  # the spread over trainings is not known
    assert math.isnan(metrics.difference_p_value([0.5, math.nan], [0.4, 0.6]))
    assert math.isnan(metrics.difference_p_value([0.5, 0.6], [0.4, math.nan]))
    assert math.isnan(metrics.difference_interval([], []).estimate)
    assert math.isnan(metrics.difference_interval([], []).low)
    with_gaps = metrics.difference_interval([0.5, 0.6], [0.4, math.nan, 0.6])
    assert with_gaps == metrics.difference_interval([0.5, 0.6], [0.4, 0.6])


def test_a_sure_difference_has_a_small_p_value_and_not_a_failed_search() -> None:
    assert metrics.difference_p_value([1.0, 1.0 + 1e-14], [1.0, 1.0 + 1e-14]) < 1e-12
    assert metrics.difference_p_value(np.full(9, 1e9), [1.0, 1.1]) == 0.0
    assert metrics.difference_p_value([1e-9, 1 - 1e-9], [0.5, 0.5]) == pytest.approx(0.5, abs=1e-6)


def studies(
    rng: np.random.Generator, methods: int, trainings: int, of_runs: float, of_samples: float
) -> tuple[np.ndarray, np.ndarray]:
    """(methods, runs) differences from a baseline that is no worse, (methods, B) resamples of their mean."""
    run, sample = rng.normal(size=(methods + 1, trainings)), rng.normal(size=methods + 1)
    figures = of_runs * run + of_samples * sample[:, None]
    differences = figures[1:] - figures[0]
    noise = of_samples * math.sqrt(2) * rng.normal(size=(methods, 200))
    return differences, differences.mean(axis=1, keepdims=True) + noise


@pytest.mark.parametrize("trainings", [2, 3, 5, 10])
@pytest.mark.parametrize("of_runs", [0.0, 2.0, 5.0])
def test_interval_holds_the_truth_over_trainings_and_samples(trainings: int, of_runs: float) -> None:
    """Where both parts are exactly known, no cell may fall below 95 % but by chance."""
    rng, repeats = np.random.default_rng([trainings, int(of_runs)]), 600
    held, held_by_samples = 0, 0
    for _ in range(repeats):
        (differences,), (resampled,) = studies(rng, 1, trainings, of_runs, of_samples=2.0)
        found = metrics.difference_interval(differences, resampled)
        held += found.low <= 0 <= found.high
        low, high = np.quantile(resampled, [0.025, 0.975])
        held_by_samples += low <= 0 <= high
    blur = 3 * math.sqrt(0.05 * 0.95 / repeats)
    assert held / repeats > 0.95 - blur
    if of_runs == 5.0 and trainings < 10:
        assert held_by_samples / repeats < 0.9  # the percentiles take the trained models as they are


@pytest.mark.parametrize(("methods", "repeats"), [(4, 300), (12, 150), (40, 60)])
@pytest.mark.parametrize("trainings", [3, 5])
def test_what_is_no_better_is_not_shown_to_be(methods: int, repeats: int, trainings: int) -> None:
    rng, false, by_samples = np.random.default_rng([methods, trainings]), 0, 0
    for _ in range(repeats):
        differences, resampled = studies(rng, methods - 1, trainings, of_runs=3.0, of_samples=1.0)
        pairs = zip(differences, resampled, strict=True)
        false += (metrics.holm([metrics.difference_p_value(*pair) for pair in pairs]) < 0.05).any()
        z = abs(differences.mean(axis=1)) / resampled.std(axis=1, ddof=1)
        by_samples += (metrics.holm(2 * stats.norm.sf(z)) < 0.05).any()
    assert false / repeats <= 0.05
    assert by_samples / repeats > 0.2


def test_planned_runs_show_the_difference_as_often_as_planned() -> None:
    rng, differences, resampled = np.random.default_rng(3), [0.0, 2.0, 4.0, 6.0], [2.5, 3.0, 3.5]
    needed = metrics.runs_needed(differences, resampled)
    assert needed == 10
    spread, shown = np.std(differences, ddof=1), 0
    for _ in range(800):
        again = 3.0 + rng.normal() * 0.5 + spread * rng.normal(size=needed)
        shown += metrics.difference_p_value(again, again.mean() + 0.5 * rng.normal(size=200)) < 0.05
    assert 0.75 < shown / 800 < 0.87  # the plan takes the spreads for known


@given(runs, resamples)
def test_what_is_not_shown_needs_more_runs(differences: list[float], resampled: list[float]) -> None:
    needed = metrics.runs_needed(differences, resampled)
    if metrics.difference_p_value(differences, resampled) >= 0.05:
        assert needed is None or needed > len(differences)
    stricter = metrics.runs_needed(differences, resampled, level=0.99, power=0.9)
    assert stricter is None or (needed is not None and needed <= stricter)


def test_where_the_test_samples_decide_no_number_of_runs_will_do() -> None:
    differences = [0.02, 0.04, 0.06]
    assert metrics.runs_needed(differences, [0.0, 0.04, 0.08]) is None
    assert metrics.runs_needed([-0.02, 0.02], [-0.01, 0.01]) is None  # no difference at all
    assert metrics.runs_needed(differences, [0.035, 0.04, 0.045]) is not None
    assert metrics.runs_needed(differences, [0.035, 0.04, 0.045], most=2) is None
    assert metrics.runs_needed([0.04, 0.04], [0.04, 0.04]) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.difference_interval([1.0, 2.0], [1.0, 2.0], level=95), "level must lie strictly"),
        (lambda: metrics.difference_interval([[1.0]], [1.0]), r"differences of shape \(n,\), got \(1, 1\)"),
        (lambda: metrics.difference_p_value([1.0, math.inf], [1.0, 2.0]), "finite differences and resampled"),
        (lambda: metrics.difference_p_value([1.0, 2.0], [1.0, math.inf]), "finite differences and resampled"),
        (lambda: metrics.runs_needed([1.0], [1.0, 2.0]), "at least 2 runs and 2 resamples"),
        (lambda: metrics.runs_needed([1.0, 2.0], [1.0, math.nan]), "at least 2 runs and 2 resamples"),
        (lambda: metrics.runs_needed([1.0, 2.0], [1.0, 2.0], power=1.0), "power must be at least 0.5"),
        (lambda: metrics.runs_needed([1.0, 2.0], [1.0, 2.0], most=1), "most must be a whole number"),
        (lambda: metrics.runs_needed([1.0, 2.0], [1.0, 2.0], level=0.0), "level must lie strictly"),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
