from __future__ import annotations

import itertools
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

figures = st.lists(st.integers(-5, 5), min_size=2, max_size=8)


def predictions(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, ...]:
    a = np.repeat([0, 0, 1, 1], [both, only_a, only_b, neither])
    b = np.repeat([0, 1, 0, 1], [both, only_a, only_b, neither])
    return np.zeros(a.size, int), a, b


def test_mcnemar_on_a_published_example() -> None:
    # Agresti, Categorical Data Analysis: 150 and 86 discordant; without correction z² = 64² / 236 = 17.36.
    test = metrics.mcnemar_test(*predictions(794, 150, 86, 570))
    assert (test.only_a_right, test.only_b_right) == (150, 86)
    assert test.statistic == pytest.approx(63**2 / 236)
    assert test.p_value == pytest.approx(stats.chi2.sf(63**2 / 236, 1))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (5, 0), (12, 12), (20, 4), (7, 9)])
def test_mcnemar_with_few_discordant_samples_is_the_exact_sum(only_a: int, only_b: int) -> None:
    n = only_a + only_b
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n
    test = metrics.mcnemar_test(*predictions(3, only_a, only_b, 2))
    assert test.p_value == pytest.approx(min(1, 2 * tail), rel=1e-12)
    assert math.isnan(test.statistic)


def test_mcnemar_without_difference() -> None:
    assert metrics.mcnemar_test(*predictions(5, 0, 0, 2)).p_value == 1
    assert metrics.mcnemar_test(*predictions(0, 15, 15, 0)).p_value == 1
    assert metrics.mcnemar_test([0, 1], [2, 1], [3, 1]).p_value == 1  # both wrong, differently


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
def test_wilcoxon_is_the_share_of_all_sign_patterns(values: list[int]) -> None:
    test = metrics.wilcoxon_test(values, np.zeros(len(values)))
    kept = np.array([v for v in values if v])
    if not kept.size:
        assert (test.statistic, test.p_value) == (0, 1)
        return
    rank = stats.rankdata(np.abs(kept))
    centre = rank.sum() / 2
    sums = [
        sum(r for r, s in zip(rank, signs, strict=True) if s)
        for signs in itertools.product([0, 1], repeat=kept.size)
    ]
    extreme = abs(rank[kept > 0].sum() - centre) - 1e-9
    share = np.mean(np.abs(np.array(sums) - centre) >= extreme)
    assert test.p_value == pytest.approx(share, rel=1e-9)
    assert test.p_value >= metrics.smallest_wilcoxon_p(len(values)) - 1e-12
    assert test.mean_difference == pytest.approx(np.mean(values))


def test_the_smallest_wilcoxon_p_is_reached() -> None:
    for n in range(1, 10):
        found = metrics.wilcoxon_test(np.arange(1.0, n + 1), np.zeros(n)).p_value
        assert found == pytest.approx(metrics.smallest_wilcoxon_p(n))


def test_t_tests_agree_with_scipy_and_with_the_formula() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 9))
    theirs = stats.ttest_rel(a, b)
    ours = metrics.paired_t_test(a, b)
    assert (ours.n, ours.statistic, ours.p_value) == pytest.approx((9, theirs.statistic, theirs.pvalue))
    corrected = metrics.corrected_resampled_t_test(a, b, test_fraction=0.2)
    d = a - b
    t = d.mean() / math.sqrt((1 / 9 + 0.2 / 0.8) * d.var(ddof=1))
    assert corrected.statistic == pytest.approx(t)
    assert corrected.p_value == pytest.approx(2 * stats.t.sf(abs(t), 8))
    assert corrected.p_value > ours.p_value


def test_the_corrected_test_keeps_its_word_where_the_plain_one_does_not() -> None:
    # Splits of one data set: each difference is shared luck of the data plus luck of the test set. The
    # correlation between splits is test_fraction by construction: the case that the correction is exact for.
    rng = np.random.default_rng(0)
    n, runs, rho = 10, 2000, 0.2
    d = math.sqrt(rho) * rng.normal(size=(runs, 1)) + math.sqrt(1 - rho) * rng.normal(size=(runs, n))
    zero = np.zeros(n)
    plain = np.mean([metrics.paired_t_test(row, zero).p_value < 0.05 for row in d])
    corrected = np.mean([metrics.corrected_resampled_t_test(row, zero, rho).p_value < 0.05 for row in d])
    assert plain > 0.15
    assert 0.035 < corrected < 0.065  # 2000 draws: three standard errors are 0.015


def test_equal_differences_have_no_spread() -> None:
    same = metrics.paired_t_test([1.0, 2.0], [1.0, 2.0])
    assert (same.statistic, same.p_value, same.mean_difference) == (0, 1, 0)
    shifted = metrics.paired_t_test([1.0, 2.0], [2.0, 3.0])
    assert (shifted.statistic, shifted.p_value) == (-math.inf, 0)
    assert metrics.cohens_d_paired([1.0, 2.0], [1.0, 2.0]) == 0
    assert metrics.cohens_d_paired([2.0, 3.0], [1.0, 2.0]) == math.inf


def test_one_pair_shows_nothing() -> None:
    assert math.isnan(metrics.paired_t_test([1.0], [0.5]).p_value)
    assert math.isnan(metrics.corrected_resampled_t_test([1.0], [0.5], 0.1).p_value)
    assert math.isnan(metrics.cohens_d_paired([1.0], [0.5]))
    assert metrics.wilcoxon_test([1.0], [0.5]).p_value == 1


@given(figures)
def test_swapping_the_methods_turns_the_sign(values: list[int]) -> None:
    a, b = np.array(values, float), np.arange(len(values), dtype=float)
    for test in (metrics.paired_t_test, metrics.wilcoxon_test):
        one, other = test(a, b), test(b, a)
        assert one.mean_difference == -other.mean_difference
        assert one.p_value == pytest.approx(other.p_value)
    assert metrics.cohens_d_paired(a, b) == -metrics.cohens_d_paired(b, a)


def by_rejection(p_values: list[float]) -> list[float]:
    """Holm's steps as he words them: the smallest level at which each hypothesis is rejected."""
    levels = sorted({min(1.0, p * k) for p in p_values for k in range(1, len(p_values) + 1)} | {1.0})

    def rejected(level: float) -> set[int]:
        out: set[int] = set()
        for place, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[i] * (len(p_values) - place) > level:
                break
            out.add(i)
        return out

    return [next((level for level in levels if i in rejected(level)), 1.0) for i in range(len(p_values))]


@given(st.lists(st.floats(0, 1), max_size=7))
def test_holm_is_the_step_down_procedure(p_values: list[float]) -> None:
    adjusted = metrics.holm(p_values)
    np.testing.assert_allclose(adjusted, by_rejection(p_values), rtol=0, atol=1e-12)
    assert (adjusted >= np.array(p_values)).all()
    assert (adjusted <= np.minimum(np.array(p_values) * len(p_values), 1)).all()


def test_holm_leaves_out_tests_that_were_not_made() -> None:
    np.testing.assert_array_equal(metrics.holm([0.02, math.nan, 0.5]), [0.04, math.nan, 0.5])
    assert metrics.holm([]).size == 0


def test_mean_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).normal(size=7)
    ours = metrics.mean_interval(values, level=0.9)
    theirs = stats.t.interval(0.9, 6, loc=values.mean(), scale=stats.sem(values))
    assert (ours.low, ours.high) == pytest.approx(theirs, rel=1e-12)
    assert ours.estimate == values.mean()
    assert metrics.standard_deviation(values) == pytest.approx(stats.tstd(values))


def test_too_few_values_have_no_bounds() -> None:
    one = metrics.mean_interval([0.7])
    assert one.estimate == 0.7
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert math.isnan(metrics.mean_interval([]).estimate)
    assert math.isnan(metrics.mean_interval([0.5, math.nan]).estimate)
    assert math.isnan(metrics.standard_deviation([0.7]))
    assert metrics.mean_interval([0.7, 0.7]).high == 0.7


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_agrees_with_scipy(counts: tuple[int, int], level: float) -> None:
    ours = metrics.wilson_interval(*counts, level)
    theirs = stats.binomtest(*counts).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0, abs=1e-12)
    assert 0 <= ours.low <= ours.estimate <= ours.high <= 1


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_clopper_pearson_agrees_with_scipy(counts: tuple[int, int], level: float) -> None:
    ours = metrics.clopper_pearson_interval(*counts, level)
    theirs = stats.binomtest(*counts).proportion_ci(level, method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0, abs=1e-9)
    assert 0 <= ours.low <= ours.estimate <= ours.high <= 1


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.31, 0.5, 0.95, 1.0])
def test_clopper_pearson_never_holds_the_share_less_often_than_it_says(share: float) -> None:
    intervals = [metrics.clopper_pearson_interval(k, 40, 0.9) for k in range(41)]
    held = [one.low <= share <= one.high for one in intervals]
    assert stats.binom.pmf(np.arange(41), 40, share) @ held >= 0.9


def test_shares_without_samples_are_nan() -> None:
    for interval in (metrics.wilson_interval(0, 0), metrics.clopper_pearson_interval(0, 0)):
        assert math.isnan(interval.estimate)
        assert math.isnan(interval.low)


def test_ranks_and_friedman_agree_with_scipy() -> None:
    matrix = np.random.default_rng(0).normal(size=(12, 4)).round(1)  # with ties
    test = metrics.friedman_test(matrix)
    theirs = stats.friedmanchisquare(*matrix.T)
    assert (test.statistic, test.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert metrics.average_ranks(matrix).sum() == pytest.approx(4 * 5 / 2)
    best = matrix.copy()
    best[:, 2] += 100
    assert metrics.average_ranks(best)[2] == 1
    tied = metrics.friedman_test(np.ones((5, 3)))
    assert (tied.statistic, tied.p_value) == (0, 1)


def test_ranks_on_a_published_example() -> None:
    # Demšar (2006), section 3.2.2: C4.5 in four settings on 14 data sets.
    auc = [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
    ]  # fmt: skip
    np.testing.assert_allclose(metrics.average_ranks(auc), [3.143, 2.000, 2.893, 1.964], rtol=0, atol=5e-4)


@pytest.mark.parametrize(
    ("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)]
)
def test_critical_difference_agrees_with_the_published_table(methods: int, q: float) -> None:
    # Demšar (2006), table 5 (a), level 0.05.
    found = metrics.critical_difference(methods, data_sets=20)
    assert found == pytest.approx(q * math.sqrt(methods * (methods + 1) / 120), rel=3e-4)
    assert metrics.critical_difference(methods, 20, level=0.9) < found


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.mcnemar_test([0, 1], [0, 1], [0]), "equal length, got 2 and 1"),
        (
            lambda: metrics.paired_t_test([1.0], [1.0, 2.0]),
            "a and b of the same length, at least 1, got 1 and 2",
        ),
        (lambda: metrics.wilcoxon_test([], []), "at least 1, got 0 and 0"),
        (lambda: metrics.wilcoxon_test([math.nan], [1.0]), "finite pairs, got NaN or infinity; leave failed"),
        (
            lambda: metrics.corrected_resampled_t_test([1], [2], 1.0),
            "test_fraction must lie strictly between",
        ),
        (lambda: metrics.smallest_wilcoxon_p(0), "n must be a whole number of at least 1"),
        (lambda: metrics.holm([1.2]), "p_values within 0 and 1, got 1.2 to 1.2"),
        (lambda: metrics.mean_interval([[1.0]]), r"values of shape \(n,\)"),
        (lambda: metrics.mean_interval([1.0], level=0), "level must lie strictly between 0 and 1"),
        (lambda: metrics.wilson_interval(3, 2), "at most n = 2 successes, got 3"),
        (lambda: metrics.clopper_pearson_interval(3, 2), "at most n = 2 successes, got 3"),
        (lambda: metrics.clopper_pearson_interval(-1, 2), "successes must be a whole number"),
        (lambda: metrics.clopper_pearson_interval(0, 0, level=95), "level must lie strictly between 0 and 1"),
        (lambda: metrics.average_ranks([1.0, 2.0]), r"\(data sets, at least 2 methods\), got \(2,\)"),
        (lambda: metrics.friedman_test([[1.0], [2.0]]), r"at least 2 methods\), got \(2, 1\)"),
        (lambda: metrics.friedman_test([[1.0, math.nan]]), "matrix without NaN"),
        (lambda: metrics.critical_difference(1, 5), "methods must be a whole number of at least 2"),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_mcnemar_is_exact_below_25_discordant_samples_and_no_further() -> None:
    def tested(only_a: int, only_b: int) -> float:
        right_a = [0] * only_a + [1] * only_b
        return metrics.mcnemar_test(
            [0] * (only_a + only_b), right_a, [1 - wrong for wrong in right_a]
        ).statistic

    assert np.isnan(tested(17, 7))
    assert tested(18, 7) == pytest.approx((11 - 1) ** 2 / 25)
