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

    from steelyard.report.summary import Summary
    from steelyard.studies.store import Store

    Build = Callable[..., Store]


def of(store: Store) -> Summary:
    return summarise(evidence.read(store))


def test_a_difference_that_stands_is_said_with_its_figures(store: Store) -> None:
    found = of(store)
    low = next(
        one for one in found.comparisons if one.method == "low(lam=0.1)" and one.measure == "fpr_at_tpr"
    )
    assert low.shown
    figures = [100 * value for value in (low.value, low.baseline_value, low.difference, low.low, low.high)]
    texts = [f"{value:.1f}".replace("-", "\N{MINUS SIGN}") for value in figures]
    assert re.fullmatch(
        rf"At 95 % sensitivity for mel, low\(lam=0\.1\) raises {texts[0]} % false alarms, ce {texts[1]} %; "
        rf"difference {texts[2]} points, 95 % interval {texts[3]} to {texts[4]}, "
        r"p = 0\.\d+ over test samples\.",  # all runs agree, and the test over runs finds it too
        found.headline,
    )


def test_few_seeds_few_positives_and_failures_are_named(store: Store) -> None:
    summary = of(store)
    text = "\n".join(summary.details)
    assert (
        "A signed-rank test over 3 runs cannot fall below p = 0.25, however large the difference; it needs 6."
        in text
    )
    assert "only 24 samples of mel: one more or less moves the sensitivity by 4.2 points" in text
    assert "1 run failed and is left out of every figure." in text
    rows = {row.method: row.cells for row in summary.methods}
    for name in ("low(lam=0.1)", "ce"):
        found, alarms = (100 * rows[name][key].mean for key in ("sensitivity", "false_alarm_rate"))
        assert f"{name} finds {found:.1f} % and raises {alarms:.1f} % false alarms" in text


def test_one_seed_says_nothing_of_another_training(build: Build, tmp_path: Path) -> None:
    found = of(build(tmp_path / "out", seeds=1, failed=()))
    assert found.headline.endswith("There is one run per method: training again may change it.")
    assert found.details[0] == "One run per method says nothing of another training; ask for more seeds."


def test_a_difference_that_one_seed_made_is_not_sold_as_sure(store: Store) -> None:
    found = of(store)
    unsure = tuple(replace(one, p_runs=0.55, same_side=2) for one in found.comparisons)
    text = headline.headline(replace(found, comparisons=unsure))
    assert text.endswith(" Training again may change it: 2 of 3 runs agree, p = 0.55 over runs.")


def test_no_difference_is_claimed_where_none_is_shown(build: Build, tmp_path: Path) -> None:
    found = of(build(tmp_path / "out", methods=("ce", "focal", "mixup"), failed=()))
    assert not any(one.shown for one in found.comparisons if one.measure == "fpr_at_tpr")
    assert found.headline.startswith(
        ("No method is shown to be better than ce.", "At 95 % sensitivity for mel, no method")
    )


def test_the_baseline_may_be_the_best(build: Build, tmp_path: Path) -> None:
    found = of(build(tmp_path / "out", methods=("low(lam=0.1)", "ce"), failed=()))
    assert found.headline.startswith(
        "At 95 % sensitivity for mel, no method raises fewer false alarms than low(lam=0.1) ("
    )
    assert "The nearest, ce, raises" in found.headline


def test_without_a_critical_class_balanced_accuracy_decides(build: Build, tmp_path: Path) -> None:
    found = of(build(tmp_path / "out", critical=(), failed=()))
    assert found.deciding.key == "balanced_accuracy"
    assert found.headline.startswith("low(lam=0.1) reaches a balanced accuracy of ")
    assert not any("threshold" in text for text in found.details)


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
    found = of(build(tmp_path / "out", methods=("ce",), failed=()))
    assert re.fullmatch(
        r"At 95 % sensitivity for mel, ce raises \d+\.\d % false alarms\. No other method finished with it\.",
        found.headline,
    )


def test_runs_still_to_come_are_named(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", methods=("ce", "focal"), failed=())
    run = store.study.runs()[-1]
    store.run_folder(run).rename(store.unfinished_folder(run))
    assert "The comparison is not complete: 1 run still to be trained." in of(store).details


def test_runs_that_agree_are_counted_in_words_that_fit(store: Store) -> None:
    found = of(store)
    lead = headline.lead_comparison(found)
    assert lead is not None

    def said(**changes: object) -> str:
        return next(headline.details(replace(found, comparisons=(replace(lead, **changes),))))

    assert "3 runs paired by seed and fold 2 point the same way as the mean" in said(same_side=2)
    assert "3 runs paired by seed and fold 1 points the same way as the mean" in said(same_side=1)
    assert "3 runs paired by seed and fold the mean difference is 0" in said(difference=0.0)
