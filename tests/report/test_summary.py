"""The numbers of the page against the store's own files, counted another way."""

from __future__ import annotations

import csv
import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from steelyard import metrics, report
from steelyard._checks import InputError
from steelyard.report import comparison, evidence
from steelyard.report.resample import resample
from steelyard.report.summarise import summarise
from steelyard.studies.evaluate import evaluate
from steelyard.studies.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from steelyard.report.summary import Summary
    from steelyard.studies.store import StoredRun

    Build = Callable[..., Store]


@pytest.fixture(scope="module")
def summary(store: Store) -> Summary:
    return summarise(evidence.read(store))


def values(store: Store, method: str, measure: str) -> list[float]:
    with (store.folder / "results.csv").open() as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["method"], row["metric"], row["split"]) == (method, measure, "test")
        ]
    return [float(row["value"]) for row in rows]


def test_cells_are_mean_and_deviation_over_runs(store: Store, summary: Summary) -> None:
    assert [row.method for row in summary.methods][:3] == ["ce", "balanced-ce", "low(lam=0.1)"]
    for row in summary.methods:
        for measure, cell in row.cells.items():
            found = values(store, row.method, measure)
            assert cell.runs == len(found)
            assert cell.mean == pytest.approx(np.mean(found))
            assert cell.sd == pytest.approx(np.std(found, ddof=1))


def test_best_is_marked_among_trained_methods(summary: Summary) -> None:
    trained = [row for row in summary.methods if row.trained]
    for column in summary.measures:
        best = [row.method for row in summary.methods if row.cells[column.key].best]
        if column.better == "neither":
            assert best == []
            continue
        choose = max if column.better == "higher" else min
        assert best == [choose(trained, key=lambda row: row.cells[column.key].mean).method]
        assert not any(row.cells[column.key].tied for row in summary.methods if row.cells[column.key].best)
    free = [row for row in summary.methods if not row.trained]
    assert len(free) == 3 * len(trained)
    assert not any(cell.best or cell.tied for row in free for cell in row.cells.values())


def test_tied_methods_are_those_not_shown_to_differ_from_the_best(store: Store, summary: Summary) -> None:
    resampled = resample(evidence.read(store))
    best = resampled["low(lam=0.1)"]
    p_values = []
    for name in ("ce", "balanced-ce"):
        keys = sorted(set(resampled[name]) & set(best))
        pairs = [(resampled[name][key], best[key]) for key in keys]
        change = [a.plain["balanced_accuracy"] - b.plain["balanced_accuracy"] for a, b in pairs]
        drawn = [a.resampled["balanced_accuracy"] - b.resampled["balanced_accuracy"] for a, b in pairs]
        p_values.append(metrics.difference_p_value(change, np.mean(drawn, axis=0)))
    for row, p in zip(summary.methods[:2], metrics.holm(p_values), strict=True):
        assert row.cells["balanced_accuracy"].tied == (p >= 0.05)
        assert not row.cells["g_mean"].tied  # a column that is not tested claims nothing


def test_comparisons_pair_the_runs_that_both_finished(store: Store, summary: Summary) -> None:
    found = {(one.measure, one.method): one for one in summary.comparisons}
    assert found["auc", "balanced-ce"].runs == 2  # seed 2 failed
    low = found["fpr_at_tpr", "low(lam=0.1)"]
    ours, theirs = (values(store, name, "fpr_at_tpr") for name in ("low(lam=0.1)", "ce"))
    assert low.difference == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert low.low < low.difference < low.high
    assert low.effect_size == pytest.approx(metrics.cohens_d_paired(ours, theirs))
    runs = metrics.mean_interval(np.subtract(ours, theirs))
    assert (low.runs_low, low.runs_high) == pytest.approx((runs.low, runs.high))
    assert low.same_side == 3
    family = [one for one in summary.comparisons if one.measure == "fpr_at_tpr"]
    np.testing.assert_allclose([one.p_holm for one in family], metrics.holm([one.p_value for one in family]))


def test_delong_and_mcnemar_compare_run_with_run(store: Store, summary: Summary) -> None:
    found = {(one.measure, one.method): one for one in summary.comparisons}
    runs = {(str(one.run.method), one.run.seed): one for one in store.runs() if one.failure is None}
    for seed in range(3):
        a, b = (runs[name, seed].predictions("test") for name in ("low(lam=0.1)", "ce"))
        a, b = a.in_order(), b.in_order()
        scores = [metrics.critical_score(one.logits, [1]) for one in (a, b)]
        delong = metrics.delong_test(a.target == 1, *scores).p_value
        assert found["auc", "low(lam=0.1)"].p_each[seed] == pytest.approx(delong)
        mcnemar = metrics.mcnemar_test(a.target, a.decision, b.decision).p_value
        assert found["accuracy", "low(lam=0.1)"].p_each[seed] == pytest.approx(mcnemar)
    assert found["fpr_at_tpr", "low(lam=0.1)"].p_each == ()


def test_equal_methods_are_never_told_apart(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", failed=())
    for run in store.study.runs():  # every method predicts as the first one
        if str(run.method) != "ce":
            for part in ("val", "test"):
                twin = run.model_copy(update={"method": store.study.methods[0]})
                source = store.run_folder(twin) / f"{part}.npz"
                (store.run_folder(run) / f"{part}.npz").write_bytes(source.read_bytes())
    store.write_results(evaluate(store))
    for one in summarise(evidence.read(store)).comparisons:
        if "+" not in one.method:
            assert (one.difference, one.low, one.high, one.p_value, one.shown) == (0, 0, 0, 1, False)


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=12), st.floats(0.001, 0.2))
def test_corrected_intervals_agree_with_holm(p_values: list[float], alpha: float) -> None:
    levels = comparison.holm_levels(p_values, alpha)
    assume(all(abs(p * k - alpha) > 1e-9 for p in p_values for k in range(1, len(p_values) + 1)))
    rejected = metrics.holm(p_values) < alpha
    assert [p < 1 - level for p, level in zip(p_values, levels, strict=True)] == rejected.tolist()


def test_interval_and_p_never_contradict_each_other(summary: Summary) -> None:
    for one in summary.comparisons:
        if math.isfinite(one.low):
            assert (one.p_value < 0.05) == (one.low > 0 or one.high < 0)
            assert (one.p_holm < 0.05) == (one.corrected_low > 0 or one.corrected_high < 0) == one.shown
            assert one.corrected_low <= one.low <= one.difference <= one.high <= one.corrected_high


def test_the_method_is_chosen_on_validation_alone(store: Store, summary: Summary) -> None:
    def mean(name: str, part: str) -> float:
        rows = [row for row in store.results() if (row["method"], row["split"]) == (name, part)]
        return float(np.mean([float(row["value"]) for row in rows if row["metric"] == "fpr_at_tpr"]))

    names = [row.method for row in summary.methods]
    best = min(names, key=lambda name: mean(name, "val"))
    assert summary.chosen is not None
    assert (summary.chosen.method, summary.chosen.measure) == (best, "fpr_at_tpr")
    assert summary.chosen.validation == pytest.approx(mean(best, "val"))
    assert summary.chosen.test["fpr_at_tpr"] == pytest.approx(mean(best, "test"))
    assert summary.leader == min(names, key=lambda name: mean(name, "test"))


def test_nobody_is_chosen_who_was_not_asked_for(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", failed=())
    store.write_facts(store.facts() | {"added": {"low(lam=0.1)": "control of another"}})
    found = summarise(evidence.read(store))
    assert found.chosen is not None
    assert not found.chosen.method.startswith("low")
    assert not str(found.leader).startswith("low")
    assert "low(lam=0.1) was not asked for: control of another." in found.details


def test_decisions_follow_the_thresholds_of_validation(store: Store, summary: Summary) -> None:
    (ce,) = [one for one in summary.decisions if (one.method, one.rule) == ("ce", "plain")]
    shares, alarms, kept = [], [], 0
    groups = store.groups()
    assert groups is not None
    for run in (one for one in store.runs() if str(one.run.method) == "ce"):
        val, test = run.predictions("val"), run.predictions("test")
        score, there = metrics.critical_score(val.logits, [1]), val.target == 1
        cut = np.sort(score[there])[::-1][math.ceil(0.95 * there.sum()) - 1]
        alarm, positive = metrics.critical_score(test.logits, [1]) >= cut, test.target == 1
        shares.append(alarm[positive].mean())
        alarms.append(alarm[~positive].mean())
        missed = set(groups[test.index[positive & ~alarm]].tolist())
        kept += 1 - len(missed) / len(set(groups[test.index[positive]].tolist())) >= 0.95
    assert (ce.sensitivity.value, ce.false_alarms.value) == pytest.approx((np.mean(shares), np.mean(alarms)))
    assert (ce.kept, ce.runs, ce.in_use) == (kept, 3, True)
    n = 12  # groups of the 24 critical test samples
    bounds = stats.binomtest(round(n * np.mean(shares)), n).proportion_ci(method="exact")
    assert (ce.sensitivity.low, ce.sensitivity.high) == pytest.approx(tuple(bounds))
    at = ce.prevalence[0]
    assert at.precision == pytest.approx(
        at.prevalence
        * np.mean(shares)
        / (at.prevalence * np.mean(shares) + (1 - at.prevalence) * np.mean(alarms))
    )
    assert "6 groups with critical samples are held out, 59 are needed" in summary.promise


def in_use(run: StoredRun) -> dict[int, bool]:
    """Whether each test sample is decided rightly, critical from the plain threshold of validation on."""
    val, test = run.predictions("val"), run.predictions("test")
    cut = metrics.threshold_at_tpr(val.target == 1, metrics.critical_score(val.logits, [1]), 0.95)
    score = metrics.critical_score(test.logits, [1])
    others = np.where(np.arange(4) == 1, -np.inf, test.logits).argmax(axis=1)
    decision = np.where(score >= cut, 1, others)
    return dict(zip(test.index.tolist(), (decision == test.target).tolist(), strict=True))


def test_disagreements_are_counted_sample_by_sample(store: Store, summary: Summary) -> None:
    runs = {(str(one.run.method), one.run.seed): one for one in store.runs() if one.failure is None}
    counts = dict.fromkeys(((True, True), (True, False), (False, True), (False, False)), 0)
    for seed in range(3):
        a, b = (in_use(runs[name, seed]) for name in ("low(lam=0.1)", "ce"))
        for i, right in a.items():
            counts[right, b[i]] += 1
    (low,) = [one for one in summary.disagreements if one.method == "low(lam=0.1)"]
    assert (low.both_right, low.only_method, low.only_baseline, low.both_wrong) == tuple(counts.values())


def test_recall_counts_each_group_once(store: Store, summary: Summary) -> None:
    mel = summary.classes[1]
    assert (mel.name, mel.critical, mel.counts["train"]) == ("mel", True, 60)
    for one in mel.recall:
        assert one.value == pytest.approx(np.mean(values(store, one.method, "sensitivity")))  # as decided
        interval = metrics.wilson_interval(round(one.value * 12), 12)  # 24 samples in groups of two
        assert (one.low, one.high) == pytest.approx((interval.low, interval.high))


def test_failures_costs_and_counts(summary: Summary) -> None:
    (failure,) = summary.failures
    assert (failure.method, failure.seed, failure.message) == (
        "balanced-ce",
        2,
        "loss is nan after epoch 3 <script>alert(1)</script>",
    )
    assert [cost.seconds_per_epoch for cost in summary.costs] == [1.5, 1.5, 1.5]
    assert (summary.positives, summary.units, summary.missing) == (24, 150, 0)


def test_summary_file_is_strict_json(store: Store, summary: Summary) -> None:
    loaded = json.loads(summary.as_json(), parse_constant=pytest.fail)
    assert loaded["headline"] == summary.headline
    assert loaded["methods"][0]["cells"]["auc"]["mean"] == summary.methods[0].cells["auc"].mean


def test_one_run_per_method_has_no_spread_and_no_marks_of_equality(build: Build, tmp_path: Path) -> None:
    found = summarise(evidence.read(build(tmp_path / "out", seeds=1, failed=())))
    cells = [row.cells["auc"] for row in found.methods if row.trained]
    assert [cell.best for cell in cells] == [False, False, True]
    assert not any(cell.tied for cell in cells)
    assert all(math.isnan(cell.sd) for cell in cells)
    assert json.loads(found.as_json())["methods"][0]["cells"]["auc"]["sd"] is None


def test_a_study_without_results_is_refused_in_one_line(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", seeds=1, failed=())
    (store.folder / "results.csv").unlink()
    with pytest.raises(InputError, match=r"results\.csv is missing; run the comparison again"):
        report.write(Store(store.folder))


def test_the_epoch_kept_is_the_best_only_where_that_was_asked_for(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "kept", seeds=2, failed=())
    assert [cost.kept_epoch for cost in summarise(evidence.read(store)).costs] == [6, 6, 6]
    text = (store.folder / "study.yaml").read_text(encoding="utf-8")
    (store.folder / "study.yaml").write_text(text.replace("keep: last", "keep: best"), encoding="utf-8")
    first = store.runs()[0].folder / "facts.json"
    first.write_text(json.dumps(json.loads(first.read_text()) | {"best_epoch": 0}))
    costs = summarise(evidence.read(Store(store.folder))).costs
    assert [cost.kept_epoch for cost in costs] == [5.5, 5, 5]


def test_rows_that_correct_twice_are_marked(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "twice", seeds=2, failed=())
    assert not any(row.twice for row in summarise(evidence.read(store)).methods)
    store.write_facts(store.facts() | {"balancing": ["balanced-ce"]})
    marked = [row.method for row in summarise(evidence.read(store)).methods if row.twice]
    assert marked == ["balanced-ce + logit adjustment", "balanced-ce + prior shift"]
    report.write(store)
    page = (store.folder / "report.html").read_text(encoding="utf-8")
    assert page.count('<span class="tag">corrects twice</span>') == 2
    assert "Corrects twice: the training of the method" in page


def test_classes_are_grouped_run_by_run_where_other_classes_are_rare(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", methods=("ce", "focal"), seeds=2, failed=(), critical=())
    assert summarise(evidence.read(store)).by_rarity == ()  # all runs agree
    recalls: dict[str, list[float]] = {"ce": [], "focal": []}
    for run in store.runs():
        counts = [600, 60, 600, 60] if run.run.seed == 0 else [60, 600, 60, 600]
        facts = run.facts() | {"counts": dict.fromkeys(("train", "val", "test"), counts)}
        (run.folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        test = run.predictions("test")
        rare = (1, 3) if run.run.seed == 0 else (0, 2)
        found = [float((test.decision[test.target == c] == c).mean()) for c in rare]
        recalls[str(run.run.method)].append(float(np.mean(found)))
    rare_row, frequent = summarise(evidence.read(store)).by_rarity
    assert (rare_row.name, rare_row.counts["train"], frequent.counts["train"]) == (
        "rare classes of each run",
        60,
        600,
    )
    assert {one.method: one.value for one in rare_row.recall} == pytest.approx(
        {name: np.mean(values) for name, values in recalls.items()}
    )
    report.write(store)
    page = (store.folder / "report.html").read_text(encoding="utf-8")
    assert "other runs have other rare classes" in page
