from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from steelyard import metrics
from steelyard._checks import InputError
from steelyard.metrics.guarantee import promising_rank

if TYPE_CHECKING:
    from collections.abc import Callable

DRAWS = 2000
BLUR = 3 * math.sqrt(0.95 * 0.05 / DRAWS)  # three standard errors of a share of the draws

shares = st.floats(0.5, 0.99)


def chosen(score: np.ndarray, tpr: float, confidence: float | None = None, **options: object) -> float:
    return metrics.threshold_at_tpr(np.ones(len(score), int), score, tpr, confidence, **options)


def rank_by_counting(n: int, tpr: Fraction, confidence: Fraction) -> int:
    """Largest k with P(at least k of n positives lie among the share 1 - tpr that may be missed), exactly."""
    missed = 1 - tpr
    chance = [math.comb(n, j) * missed**j * tpr ** (n - j) for j in range(n + 1)]
    return max((k for k in range(1, n + 1) if sum(chance[k:]) >= confidence), default=0)


@pytest.mark.parametrize("n", [1, 5, 14, 58, 59, 93, 150])
@pytest.mark.parametrize("tpr", [Fraction(1, 2), Fraction(4, 5), Fraction(19, 20)])
@pytest.mark.parametrize("confidence", [Fraction(1, 2), Fraction(9, 10), Fraction(19, 20)])
def test_threshold_agrees_with_exact_counting(n: int, tpr: Fraction, confidence: Fraction) -> None:
    rank, score = rank_by_counting(n, tpr, confidence), np.random.default_rng(n).permutation(n)
    if rank:
        assert chosen(score, float(tpr), float(confidence)) == rank - 1
    else:
        with pytest.raises(InputError, match="expected at least"):
            chosen(score, float(tpr), float(confidence))


def test_fifty_nine_positives_promise_95_percent_and_58_do_not() -> None:
    assert metrics.positives_needed(0.95, 0.95) == 59
    assert chosen(np.arange(59.0), 0.95, 0.95) == 0.0
    with pytest.raises(InputError) as refused:
        chosen(np.arange(58.0), 0.95, 0.95)
    assert str(refused.value) == (
        "expected at least 59 positive samples to promise a sensitivity of 0.95 with confidence 0.95, "
        "got 58, which can promise 0.949 at most; hold out more or ask for less."
    )


@given(shares, shares)
def test_needed_is_the_least_that_will_do(tpr: float, confidence: float) -> None:
    needed = metrics.positives_needed(tpr, confidence)
    assert promising_rank(needed, tpr, confidence) >= 1
    if needed > 1:
        with pytest.raises(InputError, match=f"at least {needed} positive samples"):
            promising_rank(needed - 1, tpr, confidence)


@given(st.integers(1, 10_000), shares)
def test_what_is_promised_can_be_had_and_no_more(positives: int, confidence: float) -> None:
    best = metrics.promised_tpr(positives, confidence)
    assert promising_rank(positives, best, confidence) == 1
    assert best**positives == pytest.approx(1 - confidence, rel=1e-9)
    with pytest.raises(InputError):
        promising_rank(positives, best + 1e-6 * (1 - best), confidence)


@given(st.integers(100, 5000), st.floats(0.5, 0.95), st.floats(0.5, 0.98))
def test_more_positives_or_a_smaller_promise_miss_no_less(n: int, tpr: float, confidence: float) -> None:
    rank = promising_rank(n, tpr, confidence)
    assert promising_rank(n + 1, tpr, confidence) in (rank, rank + 1)
    assert promising_rank(n, tpr - 0.01, confidence) >= rank
    assert promising_rank(n, tpr, confidence - 0.01) >= rank


def test_many_positives_give_the_plain_threshold() -> None:
    for n, gap in ((1_000, 0.02), (100_000, 0.002), (10_000_000, 0.0002)):
        assert 0 < 0.05 - promising_rank(n, 0.95, 0.95) / n < gap
    score = np.arange(100_000)
    assert chosen(score, 0.95) - chosen(score, 0.95, 0.95) < 200


def test_only_positives_count_and_order_does_not() -> None:
    rng = np.random.default_rng(0)
    target, score = rng.integers(0, 2, 400), rng.normal(size=400)
    group, order = rng.integers(0, 300, 400), rng.permutation(400)
    for of, shuffled in ((None, None), (group, group[order])):
        threshold = metrics.threshold_at_tpr(target, score, 0.9, 0.9, group=of)
        elsewhere = np.where(target == 1, score, -score)
        assert metrics.threshold_at_tpr(target, elsewhere, 0.9, 0.9, group=of) == threshold
        assert metrics.threshold_at_tpr(target[order], score[order], 0.9, 0.9, group=shuffled) == threshold


def test_groups_count_by_their_lowest_positive() -> None:
    rng = np.random.default_rng(1)
    group, score = rng.integers(0, 200, 600), rng.normal(size=600)
    lowest = np.array([score[group == name].min() for name in np.unique(group)])
    names = np.array([f"patient {number}" for number in group])
    assert chosen(score, 0.9, 0.95, group=names) == chosen(lowest, 0.9, 0.95)
    assert chosen(score, 0.9, 0.95, group=np.arange(600)) == chosen(score, 0.9, 0.95)  # each sample alone
    assert chosen(score, 0.9, group=group) == chosen(score, 0.9)  # without confidence nothing changes
    with pytest.raises(InputError, match=r"at least 59 groups with a positive sample .* got 30, which can"):
        chosen(np.arange(600), 0.95, 0.95, group=np.arange(600) % 30)


def test_infinite_scores_are_scores() -> None:
    assert chosen(np.r_[-np.inf, np.zeros(58)], 0.95, 0.95) == -np.inf


def normal(rng: np.random.Generator) -> tuple[np.ndarray, None]:
    return rng.normal(size=100), None


def tied(rng: np.random.Generator) -> tuple[np.ndarray, None]:
    """Four values, of which the lowest has a share of just above 0.05."""
    return rng.choice(4, p=[0.0501, 0.2, 0.35, 0.3999], size=100), None


def grouped(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """100 groups of 1 or 4 samples; the samples of a group differ little."""
    group = np.repeat(np.arange(100), np.where(np.arange(100) < 50, 1, 4))
    return rng.normal(size=100)[group] + 0.5 * rng.uniform(size=group.size), group


def whole_groups(threshold: np.ndarray) -> np.ndarray:
    """Share of the groups that reach the threshold wholly: a mean over what their samples have in common."""
    common = np.linspace(-8, 8, 801)
    weight = np.exp(-(common**2) / 2) / np.exp(-(common**2) / 2).sum()
    alone = np.clip((common + 0.5 - threshold[:, None]) / 0.5, 0, 1)
    return (alone + alone**4) / 2 @ weight


@pytest.mark.parametrize(
    ("draw", "found"),
    [
        (normal, lambda threshold: ndtr(-threshold)),
        (tied, lambda threshold: np.array([1.0, 0.9499, 0.7499, 0.3999])[threshold.astype(int)]),
        (grouped, whole_groups),
    ],
)
def test_the_promise_is_kept_in_its_share_of_draws(
    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray | None]],
    found: Callable[[np.ndarray], np.ndarray],
) -> None:
    rng, thresholds = np.random.default_rng(2), []
    for _ in range(DRAWS):
        score, group = draw(rng)
        thresholds.append((chosen(score, 0.95, 0.95, group=group), chosen(score, 0.95)))
    kept, plain = (found(np.array(column)) >= 0.95 for column in zip(*thresholds, strict=True))
    assert kept.mean() > 0.95 - BLUR
    assert plain.mean() < 0.6  # what no guarantee comes to


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chosen([], 0.95, 0.95), "59 positive samples .* got 0, which can promise 0.0 at most"),
        (lambda: chosen(np.arange(9), 1, 0.5), "sensitivity of 1 can never be promised"),
        (lambda: chosen(np.arange(9), 0, 0.5), "tpr strictly between 0 and 1 with a confidence, got 0"),
        (lambda: chosen(np.arange(9), 0.5, 1.0), "confidence must lie strictly between 0 and 1"),
        (lambda: chosen(np.arange(9), 0.5, math.nan), "confidence must lie between"),
        (lambda: chosen(np.arange(9), 0.5, group=[1]), r"group of shape \(9,\) like target, got \(1,\)"),
        (lambda: metrics.positives_needed(95, 0.95), "tpr must lie between 0 and 1, got 95"),
        (lambda: metrics.positives_needed(0.95, 0), "confidence must lie strictly"),
        (lambda: metrics.promised_tpr(-1, 0.95), "positives must be a whole number of at least 0"),
        (lambda: metrics.promised_tpr(0, 2), "confidence must lie between"),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_no_positives_promise_nothing() -> None:
    assert metrics.promised_tpr(0, 0.95) == 0.0
