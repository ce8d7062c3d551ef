from __future__ import annotations

from typing import Any

import pytest
import torch

from steelyard import catalog
from steelyard.models import Classifier
from steelyard.studies.reproduce import Experiment, beside_the_paper, experiment, experiments

FACTS = catalog.Facts(
    class_counts=[60, 6], num_samples=66, model=Classifier(torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
)


@pytest.mark.parametrize("name", experiments())
def test_every_experiment_can_be_asked_for(name: str) -> None:
    """Also: its methods exist, and whatever it holds beside a figure is among its methods."""
    asked = experiment(name)
    full, quick = asked.studies("full"), asked.studies("quick")
    assert full.keys() == quick.keys() == asked.parts.keys()
    for part, wanted in [*full.items(), *quick.items()]:
        for method in wanted.methods:
            if "batch-mean" not in str(method):  # which warns
                catalog.method(method, FACTS)
        words = {str(method) for method in wanted.methods}
        assert "ce" in words, "no comparison goes without the plain method"
        assert "single-scale" in words or not name.startswith("two-scale"), "the paper's own baseline"
        assert part in asked.parts
    for figure in asked.figures:
        methods = {str(method) for method in full[figure.part].methods}
        assert set(figure.among) <= methods if figure.among else figure.method in methods
        assert not figure.minus or figure.minus in methods
        assert 0 <= figure.value <= 1
    assert sum(s.seeds for s in quick.values()) < sum(s.seeds for s in full.values())


def rows(split: str, **values: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "method": method,
            "seed": str(seed),
            "fold": "0",
            "split": split,
            "metric": "accuracy",
            "value": str(value),
        }
        for method, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]


def test_the_choice_of_a_setting_is_made_on_validation_samples_where_there_are_some() -> None:
    asked = Experiment.model_validate({
        "title": "", "source": "", "study": {}, "quick": {}, "parts": {"paper": {}, "validated": {}},
        "figures": [
            {"part": part, "method": "low", "among": ["a", "b"], "measure": "accuracy", "value": 0.9}
            for part in ("paper", "validated")
        ],
    })  # fmt: skip
    test = rows("test", a=[0.5, 0.7], b=[0.8, 0.9], c=[1.0, 1.0])
    val = rows("val", a=[0.6, 0.6], b=[0.1, 0.9], c=[1.0, 1.0])
    by_test, by_val = beside_the_paper(asked, {"paper": test, "validated": test + val})
    assert (by_test["ours"], by_test["n"]) == (pytest.approx(0.85), 2)
    assert (by_val["ours"], by_val["n"]) == (pytest.approx(0.6), 2)


def test_what_did_not_run_is_left_open() -> None:
    asked = experiment("low-cifar10")
    assert {row["ours"] for row in beside_the_paper(asked, {"wrn-28-2": []})} == {None}


def test_a_part_may_change_more_at_the_quick_scale() -> None:
    asked = experiment("low-cifar10")
    assert str(asked.studies("full")["wrn-28-2"].model) == "wrn-28-2"
    quick = asked.studies("quick")["wrn-28-2"]
    assert quick.model.params == {"depth": 10, "width": 1}
    assert (quick.training.epochs, quick.training.milestones) == (5, (0.3, 0.6))
