"""What the page says, and what it refuses to say."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from steelyard.report import evidence, headline
from steelyard.report.summarise import summarise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from steelyard.report.comparison import Comparison
    from steelyard.report.summary import Summary
    from steelyard.studies.store import Store

    Build = Callable[..., Store]


def of(store: Store) -> Summary:
    return summarise(evidence.read(store))


def lead_of(found: Summary) -> Comparison:
    one = headline.lead_comparison(found)
    assert one is not None
    return one


def test_a_difference_that_stands_is_said_with_its_figures(store: Store) -> None:
    found = of(store)
    assert found.chosen is not None
    low = replace(lead_of(found), low=-0.3, high=-0.1, p_value=0.012, p_holm=0.2)
    found = replace(found, comparisons=(low,))
    texts = [
        f"{100 * value:.1f}".replace("-", "\N{MINUS SIGN}")
        for value in (low.value, low.baseline_value, low.difference)
    ]
    assert headline.headline(found) == (
        f"Validation chose {found.chosen.method}: at 95 % sensitivity for mel it raises {texts[0]} % false "
        f"alarms on the test samples. ce raises {texts[1]} % false alarms. It is shown to be better: "
        f"difference {texts[2]} points, 95 % interval \N{MINUS SIGN}30.0 to \N{MINUS SIGN}10.0 over "
        "trainings and test samples, p = 0.012."
    )


def test_a_difference_that_is_not_shown_is_not_sold_as_one(store: Store) -> None:
    found = of(store)
    unsure = replace(lead_of(found), low=-0.3, high=0.1, p_value=0.3, p_holm=0.01, runs_needed=9, same_side=2)
    text = headline.headline(replace(found, comparisons=(unsure,)))
    assert "No difference is shown: difference" in text
    assert "shown to be better" not in text

    def said(**changes: object) -> str:
        return next(headline.details(replace(found, comparisons=(replace(unsure, **changes),))))

    assert "2 of 3 runs have the sign of the mean difference." in said()
    assert "About 9 runs would show such a difference" in said()
    assert "More runs alone could not show such a difference" in said(runs_needed=None)
    assert "the mean difference is 0" in said(difference=0.0)


def test_few_positives_and_failures_are_named(store: Store) -> None:
    summary = of(store)
    text = "\n".join(summary.details)
    assert "only 24 samples of mel: one more or less moves the sensitivity by 4.2 points" in text
    assert "1 run failed and is left out of every figure." in text
    used = {one.method: one for one in summary.decisions if one.in_use}
    for name in (lead_of(summary).method, "ce"):
        found, alarms = 100 * used[name].sensitivity.value, 100 * used[name].false_alarms.value
        assert re.search(
            rf"{re.escape(name)} finds {found:.1f} % \([\d.]+ to [\d.]+\) and raises {alarms:.1f} % false",
            text,
        )


def test_another_that_looks_best_on_the_test_is_named_as_such(store: Store) -> None:
    found = replace(of(store), leader="balanced-ce")
    (text,) = [one for one in headline.details(found) if "looks best" in one]
    assert text.startswith("balanced-ce looks best on the test samples (")


def test_one_seed_says_nothing_of_another_training(build: Build, tmp_path: Path) -> None:
    found = of(build(tmp_path / "out", seeds=1, failed=()))
    assert "One run shows no difference: difference" in found.headline
    assert "interval" not in found.headline.replace("without an interval", "")
    assert found.details[0].startswith("One run per method: over other test samples alone the difference of ")


def test_models_that_learned_nothing_are_named_first(store: Store) -> None:
    found = of(store)
    some = replace(found, degenerate={"ce": "decides for one class whatever the sample in 2 of 3 runs"})
    assert headline.headline(some).startswith(
        "Not learned: ce decides for one class whatever the sample in 2 of 3 runs. Validation chose "
    )
    every = {
        row.method: "has an AUC of 0.51, near the 0.5 of guessing" for row in found.methods if row.trained
    }
    assert headline.headline(replace(found, degenerate=every)).startswith(
        "No method learned anything: ce has an AUC of 0.51, near the 0.5 of guessing. "
    )


def test_the_baseline_may_be_chosen(build: Build, tmp_path: Path) -> None:
    skill = {"low(lam=0.1)": 3.0, "ce": 0.6}
    found = of(build(tmp_path / "out", methods=("low(lam=0.1)", "ce"), failed=(), skill=skill))
    assert found.chosen is not None
    found = replace(found, chosen=replace(found.chosen, method="low(lam=0.1)"))
    text = headline.headline(found)
    assert text.startswith(
        "Validation chose low(lam=0.1), the baseline: at 95 % sensitivity for mel it raises "
    )
    assert "No method is shown to be better; the nearest is " in text


def test_without_a_critical_class_balanced_accuracy_decides(build: Build, tmp_path: Path) -> None:
    found = of(build(tmp_path / "out", critical=(), failed=()))
    assert found.deciding.key == "balanced_accuracy"
    assert re.match(
        r"Validation chose .+: it reaches a balanced accuracy of [\d.]+ % on the test", found.headline
    )
    assert not any("threshold" in text for text in found.details)


def test_a_cost_decides_where_one_is_given(build: Build, tmp_path: Path) -> None:
    found = of(build(tmp_path / "out", failed=(), cost="miss=50,alarm=1", prevalence=0.02))
    assert found.deciding.key == "expected_cost"
    assert re.search(r"it costs 0\.\d{3} per sample on the test samples\.", found.headline)
    used = {one.rule for one in found.decisions if one.in_use}
    assert used == {"cost"}
    (own, elsewhere) = found.decisions[0].prevalence
    assert elsewhere.prevalence == 0.02
    assert elsewhere.precision < own.precision


def test_without_validation_the_best_on_the_test_is_called_so(build: Build, tmp_path: Path) -> None:
    found = of(build(tmp_path / "out", failed=(), validation=False))
    assert found.chosen is None
    assert found.headline.startswith("Without validation samples none is chosen; on the test the best is ")


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ((("ce", 0), ("low(lam=0.1)", 0)), "No run has finished, so there is nothing to compare."),
        ((("ce", 0),), "The baseline ce has no finished run, so no method is compared with it."),
    ],
)
def test_broken_studies(
    build: Build, tmp_path: Path, failed: tuple[tuple[str, int], ...], expected: str
) -> None:
    found = of(build(tmp_path / "out", methods=("ce", "low(lam=0.1)"), seeds=1, failed=failed))
    assert found.headline == expected


def test_a_method_alone(build: Build, tmp_path: Path) -> None:
    found = of(build(tmp_path / "out", methods=("ce",), failed=(), validation=False, critical=()))
    assert re.match(
        r"ce reaches a balanced accuracy of \d+\.\d % on the test samples\.|Without", found.headline
    )


def test_runs_still_to_come_are_named(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", methods=("ce", "focal"), failed=())
    run = store.study.runs()[-1]
    store.run_folder(run).rename(store.unfinished_folder(run))
    assert "The comparison is not complete: 1 run still to be trained." in of(store).details
