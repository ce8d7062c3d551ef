from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steelyard.report import uncertainty
from steelyard.report.figure import Look


def run(seed: int, counts: list[int], *last: float) -> Any:
    told = {f"class_uncertainty[{c}]": value for c, value in enumerate(last)}
    return SimpleNamespace(
        key=(seed, 0), facts={"counts": {"train": counts}}, history=[{}, {"train_loss": 1.0} | told]
    )


def plots(**methods: list[Any]) -> Any:
    evidence = SimpleNamespace(classes=["a", "b", "c", "d"], finished=methods)
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


@pytest.mark.parametrize("counts", [[5, 5, 5, 5]])
def test_classes_of_one_size_have_no_correlation(counts: list[int]) -> None:
    (plot,) = plots(umm=[run(0, counts, 0.1, 0.2, 0.3, 0.4)])
    assert "all classes have as many samples" in plot.finding
