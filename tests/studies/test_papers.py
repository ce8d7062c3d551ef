from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import torch

from steelyard import catalog
from steelyard._checks import InputError
from steelyard.models import Classifier
from steelyard.studies.phases import with_controls
from steelyard.studies.reproduce import Experiment, beside_the_paper, experiment, experiments

if TYPE_CHECKING:
    from steelyard.studies.config import Study


def facts() -> catalog.Facts:
    """Of a model of its own: some methods change the last layer."""
    model = Classifier(torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
    return catalog.Facts(class_counts=[60, 6], num_samples=66, model=model)


@pytest.mark.parametrize("name", experiments())
def test_every_experiment_can_be_asked_for(name: str) -> None:
    """Also: its methods exist, and whatever it holds beside a figure is among its methods."""
    asked = experiment(name)
    named: dict[str, Any] = {"data": "lesions", "critical": ["melanoma"]} if asked.own_data else {}
    named |= {"data": "features.npz"} if asked.backbone_study("full") else {}
    full, quick = asked.studies("full", **named), asked.studies("quick", **named)
    assert (asked.backbone_study("quick") is None) == (asked.backbone is None)
    assert full.keys() == quick.keys() == asked.parts.keys()
    for part, wanted in [*full.items(), *quick.items()]:
        for method in wanted.methods:
            if "batch-mean" not in str(method):  # which warns
                catalog.method(method, facts())
        words = {str(method) for method in wanted.methods}
        plain = "bce" if name.startswith("alm") else "ce"  # the same for two classes
        assert plain in words, "no comparison goes without the plain method"
        assert with_controls(wanted) == wanted, "nor a method in phases without its controls"
        assert "single-scale" in words or not name.startswith("two-scale"), "the paper's own baseline"
        assert part in asked.parts
    for figure in asked.all_figures:
        methods = {str(method) for method in full[figure.part].methods}
        assert set(figure.among) <= methods if figure.among else figure.method in methods
        assert not figure.minus or figure.minus in methods
        assert 0 <= figure.value <= 1
        assert set(re.findall(r"ensemble|thinned test", figure.row)) <= rows_of(full[figure.part])
    assert sum(len(s.runs()) for s in quick.values()) < sum(len(s.runs()) for s in full.values())


def rows_of(study: Study) -> set[str]:
    """What follows a method's word in some row of the table."""
    asked = {"ensemble": study.ensemble, "thinned test": study.data.thinned_test}
    return {row for row, there in asked.items() if there}


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


def test_a_table_of_a_paper_is_its_figures_row_by_row() -> None:
    table = {
        "place": "table 9", "part": "p", "row": ", ensemble", "measures": ["accuracy", "auc"],
        "values": {"bce": [0.5, [0.9, 0.02]], "alm(delta=2)": [0.6, 0.8]},
    }  # fmt: skip
    asked = Experiment.model_validate(
        {"title": "", "source": "", "study": {}, "quick": {}, "parts": {"p": {}}, "tables": [table]}
    )
    found = [(f.method, f.row, f.measure, f.value, f.spread, f.place, f.part) for f in asked.all_figures]
    assert found == [
        ("bce", ", ensemble", "accuracy", 0.5, None, "table 9", "p"),
        ("bce", ", ensemble", "auc", 0.9, 0.02, "table 9", "p"),
        ("alm(delta=2)", ", ensemble", "accuracy", 0.6, None, "table 9", "p"),
        ("alm(delta=2)", ", ensemble", "auc", 0.8, None, "table 9", "p"),
    ]


def test_a_figure_of_an_ensemble_stands_beside_that_of_any_size() -> None:
    table = {"place": "", "row": ", ensemble", "measures": ["accuracy"], "values": {"bce": [0.5]}}
    asked = Experiment.model_validate(
        {"title": "", "source": "", "study": {}, "quick": {}, "tables": [table]}
    )
    whole, single = rows("test", **{"bce, ensemble of 4": [0.7]}), rows("test", bce=[0.1, 0.2])
    (found,) = beside_the_paper(asked, {"": [*whole, *single]})
    assert (found["ours"], found["n"]) == (pytest.approx(0.7), 1)


def test_the_tables_of_the_constraint_are_those_of_the_paper() -> None:
    """Some cells, read from the paper by eye."""
    asked = experiment("alm-cifar10")
    cells = {(f.place, f.part, f.method, f.measure): (f.value, f.spread) for f in asked.all_figures}
    assert len(cells) == 9 * 17 * 4 + 3 * 17
    two, nineteen = "airplane-automobile-2", "airplane-automobile-19"
    assert cells["table 2", two, "bce", "fpr_at_tpr[1]"] == (0.691, None)
    assert cells["table 2", nineteen, "alm(mu=0.3, rho=4, delta=1)", "auc"] == (0.9321, None)
    assert cells["table 4", nineteen, "mbauc", "auc"] == (0.8603, 0.036)
    worst = "alm(mu=0.2, rho=3, delta=1.5, loss=msfe)"
    assert cells["table 5", "frog-horse-19", worst, "fpr_at_tpr[0.9]"] == (0.314, None)
    assert cells["table 6", two, "alm(mu=0.2, rho=4, delta=2)", "fpr_at_tpr[0.95]"] == (0.2, None)


def test_an_experiment_on_data_of_ones_own_asks_for_them() -> None:
    asked = experiment("alm-folder")
    with pytest.raises(InputError, match="--data FOLDER and --critical CLASS"):
        asked.studies("quick")
    study = asked.studies("full", data="lesions", critical=["melanoma"])[""]
    assert (study.data.source, study.critical, study.training.monitor) == (
        "lesions",
        ("melanoma",),
        "val_auc",
    )
