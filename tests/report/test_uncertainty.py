from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steelyard.report import uncertainty
from steelyard.report.figure import Look


def run(seed: int, counts: list[int], *last: float) -> Any:
    told = {f"class_uncertainty[{c}]": value for c, value in enumerate(last)}
    return stored(seed, counts, [], told)


def stored(seed: int, counts: list[int], absent: list[int], told: dict[str, float]) -> Any:
    return SimpleNamespace(
        key=(seed, 0),
        facts={"counts": {"train": counts}},
        stored=SimpleNamespace(absent_counts=lambda: absent),
        history=[{}, {"train_loss": 1.0} | told],
    )


def plots(multilabel: bool = False, **methods: list[Any]) -> Any:
    evidence = SimpleNamespace(classes=["a", "b", "c", "d"], finished=methods, multilabel=multilabel)
    return uncertainty.plots(evidence, {name: Look(place) for place, name in enumerate(methods)})


def test_every_class_of_every_run_is_a_mark_with_its_own_count() -> None:
    (plot,) = plots(
        ce=[run(0, [5, 5, 5, 5])],
        umm=[run(0, [100, 10, 1, 50], 0.1, 0.3, 0.9, 0.2), run(1, [1, 10, 100, 5], 0.1, 0.3, 0.9, 0.2)],
    )
    assert plot.rows[2] == ("umm", 0, 0, "c", 1.0, 0.9)
    assert plot.rows[6] == ("umm", 1, 0, "c", 100.0, 0.9)
    assert len(plot.rows) == 8
    assert "umm 0.00 (-1.00 to 1.00)" in plot.finding, "the rank correlations are -1 and 1"
    assert plot.svg.startswith("<svg")
    assert "mathdefault" not in plot.svg, "no formula as text"


def test_the_correlation_is_that_of_ranks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        counts, values = rng.permutation([7, 70, 700, 9]), rng.random(4)
        (plot,) = plots(umm=[run(0, counts.tolist(), *values)])
        ranks = np.corrcoef(counts.argsort().argsort(), values.argsort().argsort())[0, 1]
        assert f"umm {ranks:.2f}." in plot.finding.replace("-0.00", "0.00")


def test_without_uncertainty_there_is_no_plot() -> None:
    nan = float("nan")
    assert plots(ce=[run(0, [1, 2, 3, 4])], umm=[run(0, [1, 2, 3, 4], nan, nan, nan, nan)]) == []


def test_members_of_ensembles_are_told_apart() -> None:
    member = run(0, [1, 2, 3, 4], 0.4, 0.3, 0.2, 0.1)
    member.key = (0, 0, 1)
    (plot,) = plots(umm=[member])
    assert dict(zip(plot.columns, plot.rows[0], strict=True)) == {
        "method": "umm", "seed": 0, "fold": 0, "member": 1,
        "class": "a", "training_samples": 1.0, "uncertainty": 0.4,
    }  # fmt: skip


@pytest.mark.parametrize("counts", [[5, 5, 5, 5]])
def test_classes_of_one_size_have_no_correlation(counts: list[int]) -> None:
    (plot,) = plots(umm=[run(0, counts, 0.1, 0.2, 0.3, 0.4)])
    assert "all have as many samples" in plot.finding


def test_of_labels_both_sides_are_marks_each_with_its_own_count() -> None:
    told = {f"uncertainty_with[{c}]": 0.1 * (4 - c) for c in range(4)}
    told |= {f"uncertainty_without[{c}]": 0.01 * (1 + c) for c in range(4)}
    runs = [stored(0, [5, 10, 20, 40], [95, 90, 80, 60], told)]
    (plot,) = plots(multilabel=True, umm=runs, bce=[stored(0, [5, 10, 20, 40], [95, 90, 80, 60], {})])
    assert plot.columns[3:5] == ("side", "training_samples")
    assert plot.rows[1] == ("umm", 0, 0, "without b", 90.0, 0.02)
    assert plot.rows[6] == ("umm", 0, 0, "with c", 20.0, pytest.approx(0.2))
    assert len(plot.rows) == 8
    assert "umm -1.00." in plot.finding, "the rarer of all eight sides the less sure"
    assert "one side of a label" in plot.finding
