"""The page of data with several labels per sample."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from steelyard import metrics, report
from steelyard.records import Predictions
from steelyard.report import evidence as reading
from steelyard.report.labels import PreparedLabels, rarest_label
from steelyard.report.resample import resample
from steelyard.report.terminal import terminal_table
from steelyard.studies import config
from steelyard.studies.evaluate import evaluate
from steelyard.studies.store import Store, fresh_folder, write_rows

NAMES = ["Bald", "Young", "Hat <b>"]
SIZES = {"train": 300, "val": 60, "test": 120}
SKILL = {"bce": 1.0, "focal": 2.5}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A finished comparison of two methods; Bald is rare, and harder."""
    asked = config.study({"data": {"source": "faces"}, "methods": list(SKILL), "seeds": 2})
    store = Store.create(tmp_path_factory.mktemp("study") / "out", asked)
    rng = np.random.default_rng(0)
    labels = (rng.random((480, 3)) < [0.08, 0.8, 0.3]).astype(np.int64)
    rows = dict(zip(SIZES, np.split(np.arange(480), np.cumsum(list(SIZES.values()))[:-1]), strict=True))
    counts = {part: labels[mine].sum(axis=0).tolist() for part, mine in rows.items()}
    common = {"counts": counts, "samples": SIZES}
    facts = {
        "name": "faces",
        "kind": "image",
        "classes": NAMES,
        "critical": [],
        "multilabel": True,
        "baseline": "bce",
        "notes": [],
        "versions": {"python": "3.11"},
        "machine": "2 CPU cores",
        "command": "steelyard compare faces",
    }
    store.write_facts(facts | common)
    for run in asked.runs():
        folder = store.unfinished_folder(run)
        fresh_folder(folder)
        for part in ("val", "test"):
            noise = np.random.default_rng([run.seed, len(run.method.name)]).normal(size=(SIZES[part], 3))
            logits = SKILL[run.method.name] * (2 * labels[rows[part]] - 1) * [0.5, 1, 1] + 1.5 * noise
            Predictions(logits.astype(np.float32), labels[rows[part]], rows[part]).save(
                folder / f"{part}.npz"
            )
        history = [
            {
                "epoch": e,
                "seconds": 1.0,
                "lr": 0.1,
                "train_loss": 1 / e,
                "val_balanced_accuracy": 0.5 + 0.1 * e,
            }
            for e in (1, 2, 3)
        ]
        write_rows(folder / "history.csv", list(history[0]), history)
        cost = {"epochs": 3, "best_epoch": 3, "seconds": 3.0, "seconds_per_epoch": 1.0, "parameters": 10}
        (folder / "facts.json").write_text(json.dumps(common | cost | {"device": "cpu"}), encoding="utf-8")
        store.finish(run)
    store.write_results(evaluate(store))
    return store


def test_every_number_of_a_label_is_that_of_the_metrics(store: Store) -> None:
    summary = report.write(store)
    assert summary.multilabel
    assert summary.samples == SIZES
    assert [one.key for one in summary.measures] == [
        "balanced_accuracy",
        "mean_auc",
        "mean_average_precision",
        "mean_f1",
        "accuracy",
    ]
    assert [one.name for one in summary.classes] == NAMES
    for method in SKILL:
        runs = [one.predictions("test") for one in store.runs() if one.run.method.name == method]
        each = np.mean([metrics.balanced_accuracy_per_label(p.target, p.decision) for p in runs], axis=0)
        areas = np.mean(
            [[metrics.auc(p.target[:, c], p.logits[:, c]) for c in range(3)] for p in runs], axis=0
        )
        for place, row in enumerate(summary.classes):
            (found,) = (one for one in row.figures if one.method == method)
            assert found.balanced_accuracy.mean == pytest.approx(each[place])
            assert found.auc.mean == pytest.approx(areas[place])
        (row,) = (one for one in summary.methods if one.method == method)
        assert row.cells["balanced_accuracy"].mean == pytest.approx(each.mean())
    json.loads(summary.as_json())


def test_the_comparison_is_of_the_means_over_labels(store: Store) -> None:
    summary = report.write(store)
    assert {one.measure for one in summary.comparisons} == {"balanced_accuracy", "accuracy"}
    (one,) = (each for each in summary.comparisons if each.measure == "balanced_accuracy")
    cells = {row.method: row.cells["balanced_accuracy"].mean for row in summary.methods}
    assert one.difference == pytest.approx(cells["focal"] - cells["bce"])
    assert one.low < one.difference < one.high
    assert one.p_each == ()
    assert summary.headline.startswith("Validation chose focal: it reaches a balanced accuracy of ")


def test_the_page_shows_labels_and_nothing_that_does_not_apply(store: Store) -> None:
    report.write(store)
    page = (store.folder / "report.html").read_text(encoding="utf-8")
    assert re.search(r"300 training and 120 test samples of 3 labels", page)
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == ["answer", "methods", "tests", "classes", "training", "next", "made"]
    assert re.findall(r'<a href="#(\w+)">', page)[: len(sections)] == sections
    assert "All labels in numbers" in page
    assert "Hat &lt;b&gt;" in page
    assert "Hat <b>" not in page
    for word in ("onfusion", "McNemar", "Wilson", "logit adjustment"):
        assert word not in page
    with (store.folder / "plots" / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["label"] == "Bald"  # the worst first
    assert {row["method"] for row in rows} == set(SKILL)
    assert "calibration" not in {path.stem for path in (store.folder / "plots").iterdir()}


def test_the_terminal_shows_the_leading_measures(store: Store) -> None:
    headings = [str(column.header) for column in terminal_table(report.write(store)).columns]
    assert headings[1:4] == ["Mean balanced accuracy, %", "Mean AUC", "Mean average precision"]


def test_weights_stand_for_repeated_samples(store: Store) -> None:
    run = reading.read(store).finished["focal"][0]
    weight = np.random.default_rng(1).integers(0, 3, (5, 120)).astype(np.float32)
    found = PreparedLabels(run).measures(weight)
    none = PreparedLabels(run).measures(np.zeros((1, 120), np.float32))
    assert np.isnan([*none["balanced_accuracy"], *none["accuracy"]]).all()
    for b, times in enumerate(weight.astype(int)):
        target, decision = (np.repeat(each, times, axis=0) for each in (run.test.target, run.test.decision))
        expected = metrics.multilabel_balanced_accuracy(target, decision)
        assert found["balanced_accuracy"][b] == pytest.approx(expected)
        assert found["accuracy"][b] == pytest.approx((target == decision).mean())


def test_draws_keep_the_samples_of_the_rarest_label(store: Store) -> None:
    target = reading.read(store).finished["bce"][0].test.target
    stratum = rarest_label(target)
    assert (stratum == 0).sum() == target[:, 0].sum()  # Bald: whatever else they have
    assert ((stratum == 3) == ~target.any(axis=1)).all()
    found = resample(reading.read(store), repeats=50)["focal"][0, 0]
    assert np.isfinite(found.resampled["balanced_accuracy"]).all()
