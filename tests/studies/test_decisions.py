"""Thresholds: which held-out scores choose them, what they promise, and what they do on other samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats
from tests.report.conftest import build_store

from steelyard import metrics
from steelyard.studies import config
from steelyard.studies.decisions import Scores, choose, decided
from steelyard.studies.evaluate import in_use
from steelyard.studies.outcomes import changes, kept_scores, outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from steelyard.studies.config import Study


def study(**settings: Any) -> Study:
    return config.study({"data": {"source": "toy"}, "critical": ["bad"]} | settings)


def scores(positives: int, others: int = 400, seed: int = 0, group: bool = False) -> Scores:
    rng = np.random.default_rng(seed)
    positive = np.arange(positives + others) < positives
    groups = np.arange(positives + others) // 2 if group else None
    return Scores(positive, rng.normal(size=positives + others) + 2 * positive, groups)


@pytest.mark.parametrize("positives", [59, 100, 250])
def test_the_guarantee_is_taken_where_the_positives_suffice(positives: int) -> None:
    held_out = scores(positives)
    found = choose(held_out, study())
    assert found is not None
    ascending = np.sort(held_out.score[held_out.positive])
    rank = max(k for k in range(1, positives + 1) if stats.beta.cdf(0.05, k, positives - k + 1) >= 0.95)
    assert found.by_rule["guaranteed"] == found.value == ascending[rank - 1]
    assert found.by_rule["plain"] == ascending[positives - math.ceil(0.95 * positives)]
    assert (found.in_use, found.positives, found.shortfall) == ("guaranteed", positives, "")
    assert found.promise == (
        f"With 95 % confidence at least 95 % of new critical samples are found (chosen from the scores of "
        f"{positives} critical samples)."
    )


def test_with_fewer_the_plain_threshold_says_what_is_lacking() -> None:
    found = choose(scores(58), study())
    assert found is not None
    assert (found.in_use, list(found.by_rule)) == ("plain", ["plain"])
    assert found.shortfall == (
        "58 critical samples are held out, 59 are needed for 95 % with 95 % confidence; "
        f"these can promise at most {100 * 0.05 ** (1 / 58):.1f} %"
    )
    assert found.promise.endswith(f"nothing is promised of new ones: {found.shortfall}.")
    unasked = choose(scores(58), study(confidence=0))
    assert unasked is not None
    assert unasked.shortfall == ""
    certain = choose(scores(500), study(at_tpr=1))
    assert certain is not None
    assert "no finite number of samples can promise a sensitivity of 100 %" in certain.promise


def test_groups_are_the_units_of_a_promise() -> None:
    assert choose(scores(116, group=True), study()).in_use == "plain"  # type: ignore[union-attr]
    held_out = scores(118, group=True)
    found = choose(held_out, study())
    assert found is not None
    lowest = np.sort(held_out.score[:118].reshape(-1, 2).min(axis=1))
    assert (found.positives, found.in_use, found.value) == (59, "guaranteed", lowest[0])
    assert "at least 95 % of new groups with a critical sample have all of them found" in found.promise
    on_new = decided(scores(60, seed=1, group=True), found.value, study())
    other = scores(60, seed=1, group=True)
    missed = (other.score[:60] < found.value).reshape(-1, 2).any(axis=1)
    assert on_new["group_sensitivity"] == pytest.approx(1 - missed.mean())


def test_costs_choose_the_cheapest_threshold_and_decide() -> None:
    held_out = scores(50)
    asked = study(cost="miss=50,alarm=1", prevalence=0.02)
    found = choose(held_out, asked)
    assert found is not None
    assert found.in_use == "cost"

    def cost(cut: float) -> float:
        alarm = held_out.score >= cut
        return float(50 * 0.02 * (~alarm[held_out.positive]).mean() + 0.98 * alarm[~held_out.positive].mean())

    every = [*held_out.score.tolist(), math.inf]
    assert cost(found.value) == pytest.approx(min(map(cost, every)))
    assert decided(held_out, found.value, asked)["expected_cost"] == pytest.approx(cost(found.value))
    with pytest.raises(ValueError, match="must give both costs, as in miss=50,alarm=1"):
        study(cost="miss=50")


def test_figures_hold_at_the_share_of_the_samples_and_at_another() -> None:
    held_out, asked = scores(50), study(prevalence=0.02)
    thresholds = choose(held_out, asked)
    assert thresholds is not None
    found = in_use(held_out, thresholds, asked)
    alarm = held_out.score >= thresholds.value
    tpr, fpr = alarm[:50].mean(), alarm[50:].mean()
    assert found["precision"] == pytest.approx(alarm[:50].sum() / alarm.sum())
    assert found["npv"] == pytest.approx((~alarm[50:]).sum() / (~alarm).sum())
    assert found["alarms_per_1000"] == pytest.approx(1000 * alarm.mean())
    assert found["alarms_per_case_found"] == pytest.approx(alarm.sum() / alarm[:50].sum())
    raised = 0.02 * tpr + 0.98 * fpr
    assert found["precision[prevalence=0.02]"] == pytest.approx(0.02 * tpr / raised)
    assert found["alarms_per_case_found[prevalence=0.02]"] == pytest.approx(raised / (0.02 * tpr))
    assert found["sensitivity[plain]"] == found["sensitivity"] == tpr


def test_what_has_no_value_is_no_number() -> None:
    one_sided = Scores(np.zeros(5, bool), np.arange(5.0))
    assert choose(one_sided, study()) is None
    found = decided(one_sided, 2.0, study())
    assert math.isnan(found["sensitivity"])
    assert found["false_alarm_rate"] == 0.6


def test_with_folds_a_threshold_never_sees_its_own_test_samples(tmp_path: Path) -> None:
    store = build_store(tmp_path / "out", folds=3, seeds=1, failed=(), grouped=False, pictures=False)
    own = [one for one in outcomes(store) if one.name == "ce"]
    assert [one.run.fold for one in own] == [0, 1, 2]
    parts = [one.held_out["test"] for one in own]
    for one in own:
        others = [part for fold, part in enumerate(parts) if fold != one.run.fold]
        positive = np.concatenate([part.target == 1 for part in others])
        score = np.concatenate([metrics.critical_score(part.logits, [1]) for part in others])
        assert one.thresholds is not None
        assert one.thresholds.by_rule["plain"] == metrics.threshold_at_tpr(positive, score, 0.95)
        assert (one.thresholds.positives, one.thresholds.models) == (48, 2)
        assert "each by one of 2 models that was not trained on it" in one.thresholds.promise
    kept = kept_scores(store, own[0].stored, [1])  # for new data no sample is held back
    assert kept is not None
    assert (len(kept.score), kept.units, kept.models) == (900, 72, 3)


def test_an_ensemble_chooses_on_what_its_members_held_out(tmp_path: Path) -> None:
    store = build_store(
        tmp_path / "out",
        seeds=1,
        ensemble=2,
        failed=(),
        grouped=False,
        pictures=False,
        methods=("ce", "focal"),
    )
    (whole,) = [one for one in outcomes(store) if one.name == "ce, ensemble of 2"]
    vals = [member.predictions("val").in_order() for member in whole.members]
    score = np.mean([metrics.critical_score(val.logits, [1]) for val in vals], axis=0)
    assert whole.thresholds is not None
    assert whole.thresholds.by_rule["plain"] == metrics.threshold_at_tpr(vals[0].target == 1, score, 0.95)
    assert whole.thresholds.models == 2


def test_changes_after_training_serve_any_predictions(tmp_path: Path) -> None:
    store = build_store(tmp_path / "out", seeds=1, failed=(), methods=("ce",), pictures=False)
    (stored,) = store.runs()
    own = changes(stored)
    assert list(own) == ["logit adjustment", "prior shift", "temperature"]
    test = stored.predictions("test").in_order()
    by_name = {one.name: one for one in outcomes(store)}
    for how, change in own.items():
        np.testing.assert_array_equal(change(test).logits, by_name[f"ce + {how}"].held_out["test"].logits)
    priors = np.array([600, 60, 120, 220]) / 1000
    np.testing.assert_allclose(own["logit adjustment"](test).logits, test.logits - np.log(priors))
