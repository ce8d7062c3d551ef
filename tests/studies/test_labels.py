"""Several labels per sample, from a folder to figures: against scikit-learn on the saved predictions."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import entr, expit
from sklearn import metrics as sk
from tests.studies.conftest import Silent

from steelyard import InputError, losses, report
from steelyard.data import read
from steelyard.studies import run as running
from steelyard.studies.compare import compare, completed, with_baseline
from steelyard.studies.config import Run, Study, study
from steelyard.studies.confirm import judge
from steelyard.studies.features import write_features
from steelyard.studies.newdata import NewData
from steelyard.studies.predict import Restored, read_like, restore, write_predictions
from steelyard.uncertainty import stochastic_logits

if TYPE_CHECKING:
    from pathlib import Path

    from steelyard.studies.store import Store

NAMES = ["Bald", "Smiling", "Young"]
METHODS = ["bce", "weighted-bce", "asymmetric-margin(margin=1)", "low(loss=focal)", "importance-sampling"]
Array = np.ndarray


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 images in CelebA's layout; each attribute brightens a stripe."""
    folder = tmp_path_factory.mktemp("faces")
    generator = np.random.default_rng(0)
    labels = (generator.random((240, 3)) < [0.1, 0.5, 0.8]).astype(int)
    part = np.repeat([0, 1, 2], [140, 40, 60])
    lines, parts = ["240", " ".join(NAMES)], []
    for i, row in enumerate(labels):
        pixels = generator.normal(100, 40, (9, 9)) + 60 * np.repeat(row, 3)[:, None]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:06d}.png")
        lines.append(f"{i:06d}.png " + " ".join(f"{2 * value - 1:2d}" for value in row))
        parts.append(f"{i:06d}.png {part[i]}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "list_eval_partition.txt").write_text("\n".join(parts), encoding="utf-8")
    return folder


def asked(source: Path, **changed: Any) -> Study:
    values = {
        "data": {"source": str(source)},
        "model": "mlp(hidden=[16])",
        "methods": METHODS,
        "seeds": 1,
        "training": {"epochs": 3, "batch_size": 32, "lr": 0.01},
    }
    return study(values | changed)


@pytest.fixture(scope="module")
def store(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return compare(asked(faces), tmp_path_factory.mktemp("study") / "out", Silent())


def measured(target: Array, logits: Array) -> dict[str, float]:
    said = logits > 0
    columns = list(zip(NAMES, target.T, logits.T, said.T, strict=True))
    balanced = {name: sk.balanced_accuracy_score(y, d) for name, y, _, d in columns}
    precision = {name: sk.average_precision_score(y, z) for name, y, z, _ in columns}
    return {
        "accuracy": float((target == said).mean()),
        "balanced_accuracy": float(np.mean(list(balanced.values()))),
        "mean_auc": sk.roc_auc_score(target, logits, average="macro"),
        "mean_average_precision": sk.average_precision_score(target, logits, average="macro"),
        "mean_f1": sk.f1_score(target, said, average="macro"),
        **{f"balanced_accuracy[{name}]": value for name, value in balanced.items()},
        **{f"average_precision[{name}]": value for name, value in precision.items()},
        **{f"auc[{name}]": sk.roc_auc_score(y, z) for name, y, z, _ in columns},
        **{f"f1[{name}]": sk.f1_score(y, d) for name, y, _, d in columns},
    }


def test_every_figure_is_scikit_learns_on_the_saved_predictions(store: Store) -> None:
    rows = store.results()
    assert {row["method"] for row in rows} == set(METHODS)  # no row that is made after training
    for stored in store.runs():
        for part, size in (("val", 40), ("test", 60)):
            p = stored.predictions(part)
            assert p.multilabel
            assert p.target.shape == p.logits.shape == (size, 3)
            np.testing.assert_allclose(p.probability, expit(p.logits.astype(np.float64)), rtol=1e-12)
            found = {
                row["metric"]: float(row["value"])
                for row in rows
                if (row["method"], row["split"]) == (str(stored.run.method), part)
            }
            assert found == pytest.approx(measured(p.target, p.logits), abs=1e-6)
        assert measured(p.target, p.logits)["mean_auc"] > 0.8  # something was learned


def test_training_tells_the_share_of_right_answers(store: Store) -> None:
    first = next(iter(store.runs()))
    history = first.history()
    assert 0.5 < history[-1]["train_accuracy"] <= 1
    assert {"val_balanced_accuracy", "val_mean_auc", "val_auc[Bald]"} <= set(history[-1])


def test_facts_count_samples_and_labels(store: Store, faces: Path) -> None:
    labels = np.loadtxt(faces / "list_attr_celeba.txt", skiprows=2, usecols=(1, 2, 3)) == 1
    facts = store.facts()
    assert (facts["multilabel"], facts["baseline"], facts["critical"]) == (True, "bce", [])
    assert facts["samples"] == {"train": 140, "val": 40, "test": 60}
    assert facts["counts"]["train"] == labels[:140].sum(0).tolist()
    assert facts["counts"]["all"] == labels.sum(0).tolist()
    stored = next(iter(store.runs()))
    assert stored.absent_counts() == (~labels[:140]).sum(0).tolist()
    run = Run(method="weighted-bce")
    rows = running.split_of(store.study, dataset := running.load(store.study.data), run)
    _, _, (objective,) = running.prepare(store.study, dataset, run, rows)
    assert isinstance(objective.loss, losses.WeightedBinaryCrossEntropy)
    expected = torch.tensor(np.stack([(~labels[:140]).sum(0), labels[:140].sum(0)]))
    torch.testing.assert_close(objective.loss.side_counts, expected)


def test_weights_are_recorded_per_label(store: Store) -> None:
    stored = next(one for one in store.runs() if one.run.method.name == "low")
    weights = stored.weights()
    assert weights is not None
    assert weights["target"].shape == (140, 3)
    mean = [weights["last"][weights["target"][:, label] == 1].mean() for label in range(3)]
    np.testing.assert_allclose(weights["class_mean"][-1], mean, rtol=1e-5)


def test_a_stored_model_predicts_and_is_measured(store: Store, faces: Path, tmp_path: Path) -> None:
    stored = next(iter(store.runs()))
    test = stored.predictions("test")
    assert write_predictions(stored.folder, str(faces), tmp_path / "out.csv", device="cpu") == (240, None)
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = {row["sample"]: row for row in csv.DictReader(file)}
    for index, probability in zip(test.index, test.probability, strict=True):
        row = rows[f"{index:06d}.png"]
        np.testing.assert_allclose([float(row[f"p[{name}]"]) for name in NAMES], probability, rtol=1e-4)
        named = [name for name, p in zip(NAMES, probability, strict=True) if p > 0.5]
        assert row["predicted"] == "; ".join(named)
    only_test = tmp_path / "test.npz"
    images = running.load(store.study.data).x[test.index]
    np.savez(only_test, X=images[:, 0], y=test.target[:, ::-1], classes=NAMES[::-1])
    judged = judge(stored.folder, NewData(source=str(only_test)), device="cpu")
    assert judged.figures() == pytest.approx(measured(test.target, test.logits), abs=1e-4)
    found = report.confirmed(judged)
    low, high = found.intervals["balanced_accuracy"].low, found.intervals["balanced_accuracy"].high
    assert low < found.figures["balanced_accuracy"] < high


@pytest.fixture(scope="module")
def margins(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Margins by uncertainty and fixed ones, with a network that has dropout."""
    methods = ["bce", "umm-sum", "umm(form=arcface, loss=focal)", "large-margin(margin=[1,1,1,3,2,1])"]
    wanted = asked(faces, methods=methods, model="mlp(hidden=[16], dropout=0.3)")
    return compare(wanted, tmp_path_factory.mktemp("margins") / "out", Silent())


def test_the_uncertainty_of_both_sides_of_each_label_is_told(margins: Store) -> None:
    runs = {stored.run.method.name: stored for stored in margins.runs()}
    sides = [f"uncertainty_{side}[{label}]" for side in ("without", "with") for label in range(3)]
    for name in ("umm-sum", "umm"):
        first, *_, last = runs[name].history()
        assert [np.isfinite(first[side]) for side in sides] == [False] * 6
        assert all(last[side] > 0 for side in sides)
    assert not set(sides) & set(runs["bce"].history()[-1])
    report.write(margins)
    page = (margins.folder / "report.html").read_text(encoding="utf-8")
    assert "Uncertainty of the sides of labels against their size" in page
    with (margins.folder / "plots" / "class_uncertainty.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "umm-sum"]
    assert [row["side"] for row in rows] == [f"{side} {n}" for side in ("without", "with") for n in NAMES]
    counts = runs["umm-sum"].absent_counts() + runs["umm-sum"].facts()["counts"]["train"]
    assert [float(row["training_samples"]) for row in rows] == counts


def of_bernoulli(restored: Restored, dataset: Any) -> dict[str, Array]:
    """Each measure (N, L), from the chance of every label in each of the command's passes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        seen = [stochastic_logits(restored.model, batch.x, 20) for batch in restored.all_of(dataset)]
    p = expit(restored.objective.outputs(torch.cat(seen, 1)).double().numpy())
    entropy = entr(p.mean(0)) + entr(1 - p.mean(0))
    within = (entr(p) + entr(1 - p)).mean(0)
    return {"variance": 2 * p.var(0), "entropy": entropy, "mutual_information": entropy - within}


def test_a_stored_model_of_labels_tells_its_uncertainty_of_each(
    margins: Store, faces: Path, tmp_path: Path
) -> None:
    for stored in margins.runs():
        test = stored.predictions("test")
        write_predictions(stored.folder, str(faces), tmp_path / "p.csv", uncertainty=True, device="cpu")
        with (tmp_path / "p.csv").open(encoding="utf-8") as file:
            rows = {row["sample"]: row for row in csv.DictReader(file)}
        of_test = [rows[f"{index:06d}.png"] for index in test.index]
        unsure = of_bernoulli(restore(stored, "cpu"), read_like(stored, str(faces), labelled=False))
        for label, name in enumerate(NAMES):
            found = np.array([float(row[f"p[{name}]"]) for row in of_test])
            np.testing.assert_allclose(found, test.probability[:, label], rtol=1e-3)
            for measure, expected in unsure.items():
                told = [float(row[f"{measure}[{name}]"]) for row in rows.values()]
                np.testing.assert_allclose(told, expected[:, label], rtol=1e-3, atol=1e-6)
        assert "variance" not in rows["000000.png"]


def test_features_keep_the_labels_and_can_be_compared_on(store: Store, faces: Path, tmp_path: Path) -> None:
    place = store.runs()[0].folder
    write_features(place, str(faces), tmp_path / "f.npz", target=None, device="cpu")
    data, images = read(str(tmp_path / "f.npz")), read(str(faces))
    assert data.classes == images.classes
    assert torch.equal(data.target, images.target)
    assert (data.part == images.part).all()
    again = compare(asked(tmp_path / "f.npz", methods=["bce"]), tmp_path / "again", Silent())
    assert again.runs()[0].failure is None
    with pytest.raises(InputError, match="the method refit does not fit data with several labels per sample"):
        compare(asked(tmp_path / "f.npz", methods=["bce", "refit"]), tmp_path / "refused", Silent())


def test_what_is_compared_by_default_fits(faces: Path) -> None:
    values = asked(faces).model_dump(mode="json")
    del values["methods"]
    assert [str(m) for m in completed(study(values)).methods] == ["bce", "weighted-bce", "focal", "low"]
    assert [str(m) for m in with_baseline(asked(faces, methods=["focal"])).methods] == ["bce", "focal"]


def test_labels_can_be_selected_and_arrays_divided_by_folds(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((90, 3)) < [0.2, 0.5, 0.8]).astype(int)
    np.savez(tmp_path / "some.npz", X=labels + generator.normal(size=(90, 3)), y=labels, classes=NAMES)
    data = {"source": str(tmp_path / "some.npz"), "classes": ["Young", "Bald"]}
    wanted = asked(tmp_path, data=data, methods=["bce", "self-paced"], folds=2)
    stored = compare(wanted, tmp_path / "out", Silent()).runs()
    tested = [one.predictions("test") for one in stored if one.run.method.name == "bce"]
    index = np.concatenate([p.index for p in tested])
    assert sorted(index) == list(range(90))
    np.testing.assert_array_equal(np.concatenate([p.target for p in tested]), labels[index][:, [2, 0]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"methods": ["bce", "ce"]},
            r"^the method ce does not fit data with several labels.*these do: bce, ",
        ),
        ({"methods": ["bce", "alm"]}, r"^the method alm does not fit"),
        ({"critical": ["Bald"]}, r"^critical classes are for data with one class per sample"),
        ({"data": {"imbalance": "step"}}, r"^imbalance is for data with one class per sample"),
        ({"training": {"monitor": "val_brier"}}, r"unknown monitor 'val_brier'"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(
    faces: Path, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    if "data" in changed:
        changed["data"] |= {"source": str(faces), "test_fraction": 0.2}
    with pytest.raises(InputError, match=message):
        compare(asked(faces, **changed), tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


def test_the_same_study_gives_the_same_numbers(store: Store, tmp_path: Path) -> None:
    again = compare(store.study, tmp_path / "out", Silent())
    assert again.results() == store.results()
    assert json.loads((tmp_path / "out" / "facts.json").read_text(encoding="utf-8"))["multilabel"]
