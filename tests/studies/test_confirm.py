"""Trained models on new samples: against scikit-learn, SciPy and the predictions of each model alone."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn import metrics as sk
from tests.studies.conftest import Silent, asked

from steelyard import InputError, metrics, report
from steelyard.studies.compare import compare
from steelyard.studies.confirm import judge, judge_study
from steelyard.studies.newdata import NewData
from steelyard.studies.outcomes import changes, kept_scores, outcomes
from steelyard.studies.predict import OperatingPoint, kept_thresholds, predict_on, write_predictions
from steelyard.studies.store import Store, read_rows

if TYPE_CHECKING:
    from pathlib import Path

NAMES = np.array(["maybe", "no", "yes"])
Array = np.ndarray


def blobs(path: Path, seed: int, *, grouped: bool = True, **more: Any) -> tuple[Array, Array]:
    """Samples of three classes at ``path``, one to three of a patient; their features and classes."""
    generator = np.random.default_rng(seed)
    y = np.repeat(generator.permutation(np.repeat([1, 0, 2], [40, 24, 16])), generator.integers(1, 4, 80))
    X = generator.normal(size=(len(y), 4)) + y[:, None] * 0.8
    group = np.cumsum(np.r_[True, generator.random(len(y) - 1) < 0.5])
    group = np.unique(np.stack([group, y]), axis=1, return_inverse=True)[1]
    arrays = {"X": X, "y": NAMES[y], **({"patient": group} if grouped else {})}
    np.savez(path, **arrays, **{name: make(y) for name, make in more.items()})
    return X, y


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("confirm")
    for seed, name in enumerate(("old", "new")):
        blobs(folder / f"{name}.npz", seed)
    return folder


@pytest.fixture(scope="module")
def trained(place: Path) -> Store:
    """Two methods and two seeds on grouped data."""
    data = {"source": str(place / "old.npz"), "group": "patient", "val_fraction": 0.3}
    wanted = asked(place, data=data, methods=["ce", "focal"], at_tpr=0.5, confidence=0.8)
    return compare(wanted, place / "study", Silent())


@pytest.fixture(scope="module")
def confirmed(place: Path, trained: Store) -> Store:
    new = NewData(source=str(place / "new.npz"))
    store, _ = judge_study(trained, new, place / "confirmed", device="cpu", command="evaluate")
    report.write(store)
    return store


def test_a_model_has_the_figures_of_its_predictions_and_the_threshold_of_its_training(
    place: Path, trained: Store
) -> None:
    stored = trained.runs()[0]
    judged = judge(stored.folder, NewData(source=str(place / "new.npz")), device="cpu")
    found = judged.figures()
    alone, dataset, classes = predict_on(stored, str(place / "new.npz"), labelled=True, device="cpu")
    assert classes == NAMES.tolist()
    positive = alone.target == 2
    score = np.log(alone.probability[:, 2]) - np.log1p(-alone.probability[:, 2])
    assert found["auc"] == pytest.approx(sk.roc_auc_score(positive, score))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(alone.target, alone.decision))
    val = stored.predictions("val")
    of_val = np.log(val.probability[:, 2]) - np.log1p(-val.probability[:, 2])
    cut = judged.thresholds.by_rule["plain"]
    ascending = np.sort(of_val[val.target == 2])
    assert cut == pytest.approx(ascending[math.floor(0.5 * len(ascending))])
    assert found["sensitivity[plain]"] == pytest.approx((score[positive] >= cut).mean())
    assert found["false_alarm_rate[plain]"] == pytest.approx((score[~positive] >= cut).mean())
    assert judged.group is not None  # grouped as in training
    assert len(dataset) == len(alone.target)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_intervals_of_a_model_count_samples_or_groups(
    place: Path, trained: Store, tmp_path: Path, grouped: bool
) -> None:
    _, y = blobs(tmp_path / "new.npz", 1, grouped=grouped)
    judged = judge(trained.runs()[0].folder, NewData(source=str(tmp_path / "new.npz")), device="cpu")
    found = report.confirmed(judged)
    assert (found.samples, found.positives) == (len(y), (y == 2).sum())
    run = judged.predictions
    positive = run.target == 2
    n = len(np.unique(judged.group[positive])) if grouped else int(positive.sum())
    assert (found.groups is None) != grouped
    value = found.figures["sensitivity"]
    exact = binomtest(round(value * n), n).proportion_ci(0.95, method="exact")
    interval = found.intervals["sensitivity"]
    assert interval.low == pytest.approx(min(exact.low, value))
    assert interval.high == pytest.approx(max(exact.high, value))
    score = metrics.critical_score(run.logits, [2])
    drawn = metrics.bootstrap_interval(
        lambda _, s, p: metrics.auc(p, s),
        run.target,
        score,
        positive,
        group=judged.group,
        rng=np.random.default_rng(1),
    )
    assert found.intervals["auc"].low == pytest.approx(drawn.low, abs=0.02)
    assert found.intervals["auc"].high == pytest.approx(drawn.high, abs=0.02)
    told = json.loads(report.as_json(found.as_dict()))
    assert told["auc"] == found.figures["auc"]
    assert told["intervals"]["auc"] == [found.intervals["auc"].low, found.intervals["auc"].high]
    assert ("not grouped by patient" in " ".join(found.notes)) != grouped


def test_a_study_is_judged_as_each_of_its_models_alone(place: Path, trained: Store, confirmed: Store) -> None:
    assert [one.run for one in confirmed.runs()] == [one.run for one in trained.runs()]
    for stored, there in zip(trained.runs(), confirmed.runs(), strict=True):
        alone = judge(stored.folder, NewData(source=str(place / "new.npz")), device="cpu")
        np.testing.assert_allclose(there.predictions("test").logits, alone.predictions.logits, rtol=1e-5)
        assert there.thresholds()[str(stored.run.method)] == alone.thresholds
        for how in changes(stored):
            other = kept_thresholds(trained, stored, [2], how=how)
            assert there.thresholds()[f"{stored.run.method} + {how}"] == other
    rows = confirmed.results()
    assert {row["split"] for row in rows} == {"val", "test"}
    kept = [row for row in trained.results() if row["split"] == "val"]
    assert [row for row in rows if row["split"] == "val"] == kept


def test_the_ensemble_of_a_study_averages_the_logits_of_all_seeds(
    place: Path, trained: Store, confirmed: Store
) -> None:
    new = str(place / "new.npz")
    for method in ("ce", "focal"):
        runs = [one for one in trained.runs() if str(one.run.method) == method]
        logits = [predict_on(one, new, labelled=True, device="cpu")[0].logits for one in runs]
        (found,) = [one for one in outcomes(confirmed) if one.name == f"{method}, ensemble of 2"]
        np.testing.assert_allclose(found.held_out["test"].logits, np.mean(logits, axis=0), rtol=1e-4)
        rows = np.concatenate([one.predictions("val").index for one in runs])
        target = np.concatenate([one.predictions("val").target for one in runs])
        groups = np.unique(trained.groups()[rows[target == 2]])
        assert found.thresholds.positives == len(groups)


def test_what_validation_chose_stays_chosen_and_the_page_says_what_it_is(
    place: Path, trained: Store, confirmed: Store
) -> None:
    before, after = (json.loads(report.write(one).as_json()) for one in (trained, confirmed))
    assert after["chosen"]["method"] == before["chosen"]["method"]
    assert after["chosen"]["validation"] == before["chosen"]["validation"]
    assert after["promise"] == before["promise"]
    assert after["chosen"]["test"] != before["chosen"]["test"]
    assert after["positives"] == (np.load(place / "new.npz")["y"] == "yes").sum()
    assert after["grouped"]
    assert f"{trained.folder}/study.yaml" in after["following"][0]
    page = (confirmed.folder / "report.html").read_text(encoding="utf-8")
    assert "A confirmation on new data" in page
    assert str(trained.folder) in page
    assert ", ensemble of 2" in page


def test_the_labels_of_new_samples_choose_nothing(place: Path, trained: Store, confirmed: Store) -> None:
    with np.load(place / "new.npz") as file:
        arrays = dict(file)
    np.savez(place / "shuffled.npz", **arrays | {"y": np.random.default_rng(0).permutation(arrays["y"])})
    new = NewData(source=str(place / "shuffled.npz"))
    other, _ = judge_study(trained, new, place / "shuffled", device="cpu", command="")
    for one, two in zip(confirmed.runs(), other.runs(), strict=True):
        assert one.thresholds() == two.thresholds()
        np.testing.assert_array_equal(one.predictions("test").logits, two.predictions("test").logits)
    assert report.write(other).chosen.method == report.write(confirmed).chosen.method


@pytest.mark.parametrize("changed", [{"folds": 2, "seeds": 1}, {"ensemble": 2, "seeds": 1}])
def test_folds_and_ensembles_are_confirmed_too(place: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    wanted = asked(place, data={"source": str(place / "old.npz")}, methods=["ce", "focal"], **changed)
    store = compare(wanted, tmp_path / "study", Silent())
    new = NewData(source=str(place / "new.npz"))
    found, _ = judge_study(store, new, tmp_path / "out", device="cpu", command="")
    summary = report.write(found)
    assert summary.chosen.method == report.write(store).chosen.method
    assert any(row.method == "ce, ensemble of 2" for row in summary.methods)
    thresholds = found.runs()[0].thresholds()
    critical = (np.load(place / "old.npz")["y"] == "yes").sum()
    if "folds" in changed:  # each sample has a score of the fold that did not train on it
        assert thresholds["ce"].positives == thresholds["ce, ensemble of 2"].positives == critical
    rows = [row for row in found.results() if row["method"] == "ce, ensemble of 2"]
    assert any(row["metric"] == "threshold" for row in rows)


def test_named_parts_are_not_scored_together(place: Path, trained: Store, tmp_path: Path) -> None:
    def split(y: Array) -> Array:
        return np.where(np.arange(len(y)) % 3 == 0, "test", "train")

    _, y = blobs(tmp_path / "parts.npz", 3, split=split)
    model, new = trained.runs()[0].folder, NewData(source=str(tmp_path / "parts.npz"))
    test = judge(model, replace(new, group="patient"), device="cpu")
    np.testing.assert_array_equal(test.predictions.index, np.arange(0, len(y), 3))
    assert any("the test part alone is judged" in note for note in test.notes)
    assert len(judge(model, replace(new, part="all"), device="cpu").predictions.target) == len(y)
    train = judge(model, replace(new, part="train"), device="cpu")
    assert len(train.predictions.target) == len(y) - len(test.predictions.target)
    with pytest.raises(InputError, match="expected samples of the part val, got train, test"):
        judge(model, replace(new, part="val"), device="cpu")
    with pytest.raises(InputError, match=r"unknown part 'tests'\. Did you mean 'test'"):
        judge(model, replace(new, part="tests"), device="cpu")
    blobs(tmp_path / "train.npz", 3, split=lambda y: np.full(len(y), "train"))
    with pytest.raises(InputError, match="expected a test part, got only the parts train"):
        judge(model, NewData(source=str(tmp_path / "train.npz")), device="cpu")
    blobs(tmp_path / "only.npz", 3, split=lambda y: np.full(len(y), "test"))
    only = judge(model, NewData(source=str(tmp_path / "only.npz")), device="cpu")
    assert len(only.predictions.target) == len(y)
    assert not any("alone" in note for note in only.notes)


def test_samples_that_were_trained_on_are_left_out_and_the_training_data_is_refused(
    place: Path, trained: Store, tmp_path: Path
) -> None:
    stored, old = trained.runs()[0], dict(np.load(place / "old.npz"))
    test = stored.predictions("test").index
    seen = np.setdiff1d(np.arange(len(old["y"])), test)
    new = dict(np.load(place / "new.npz"))
    mixed = {name: np.concatenate([new[name], old[name][seen[:5]]]) for name in ("X", "y")}
    np.savez(tmp_path / "mixed.npz", **mixed)
    given = NewData(source=str(tmp_path / "mixed.npz"))
    without = judge(stored.folder, given, device="cpu")
    assert any(note.startswith(f"5 of {len(mixed['y'])} samples are those of") for note in without.notes)
    unmixed = judge(stored.folder, NewData(source=str(place / "new.npz")), device="cpu")
    np.testing.assert_allclose(without.predictions.logits, unmixed.predictions.logits, rtol=1e-4)
    whole = NewData(source=str(place / "old.npz"))
    refused = rf"^\d+ of {len(old['y'])} samples are those of training or validation"
    with pytest.raises(InputError, match=refused):
        judge(stored.folder, whole, device="cpu")
    with pytest.raises(InputError, match=refused):
        judge_study(trained, whole, tmp_path / "out", device="cpu", command="")
    assert not (tmp_path / "out").exists()
    anyway = judge(stored.folder, replace(given, anyway=True), device="cpu")
    assert any("5 of" in note and "does better" in note for note in anyway.notes)
    np.savez(tmp_path / "test.npz", **{name: old[name][test] for name in ("X", "y")})
    again = judge(stored.folder, NewData(source=str(tmp_path / "test.npz")), device="cpu")
    assert any(f"{len(test)} of {len(test)} samples are of the study's own data" in n for n in again.notes)
    copy = tmp_path / "copy"
    shutil.copytree(trained.folder, copy)
    (copy / "hashes.npy").unlink()
    unknown = judge(copy / "runs" / stored.folder.name, given, device="cpu")
    assert any("is not known" in note for note in unknown.notes)


def test_images_are_known_by_their_files(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        for part, number in (("train", 16), ("test", 6)):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = (level + generator.integers(-40, 40, (8, 8))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    wanted = asked(tmp_path, data={"source": str(tmp_path / "photos")}, model="mlp", critical=[], seeds=1)
    store = compare(wanted, tmp_path / "study", Silent())
    model, photos = store.runs()[0].folder, tmp_path / "photos"
    only = tmp_path / "only"
    shutil.copytree(photos / "test", only / "test")  # a folder with a test part alone
    found = judge(model, NewData(source=str(only)), device="cpu")
    np.testing.assert_allclose(
        found.predictions.logits, store.runs()[0].predictions("test").logits, rtol=1e-4
    )
    shutil.copy(photos / "train" / "dark" / "3.png", only / "test" / "dark" / "new_name.png")
    again = judge(model, NewData(source=str(only)), device="cpu")  # the known one is left out
    np.testing.assert_allclose(again.predictions.logits, found.predictions.logits, rtol=1e-4)
    assert any(note.startswith("1 of 13 samples are those of training") for note in again.notes)
    with pytest.raises(InputError, match=r"^\d+ of 44 samples are those of training or validation"):
        judge(model, NewData(source=str(photos), part="all"), device="cpu")
    judged, dataset = judge_study(
        store, NewData(source=str(only), anyway=True), tmp_path / "out", device="cpu", command=""
    )
    assert len(dataset) == judged.facts()["counts"]["test"][0] + 6


def test_samples_of_one_class_have_figures_of_one_side_and_a_reason(
    place: Path, trained: Store, tmp_path: Path
) -> None:
    def split(y: Array) -> Array:
        return np.where((y == 1) & (np.arange(len(y)) % 2 == 0), "val", "train")

    blobs(tmp_path / "one.npz", 4, split=split)
    new = NewData(source=str(tmp_path / "one.npz"), part="val")
    found = report.confirmed(judge(trained.runs()[0].folder, new, device="cpu"))
    assert math.isnan(found.figures["auc"])
    assert math.isnan(found.figures["sensitivity"])
    assert 0 <= found.figures["false_alarm_rate"] <= 1
    assert "sensitivity" not in found.intervals
    assert found.positives == 0
    assert any("none of the" in note and "'maybe', 'yes'" in note for note in found.notes)
    told = json.loads(report.as_json(found.as_dict()), parse_constant=pytest.fail)
    assert told["auc"] is None
    store, _ = judge_study(trained, new, tmp_path / "out", device="cpu", command="")
    report.write(store)
    json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_predictions_keep_the_threshold_its_promise_and_what_it_rests_on(
    place: Path, trained: Store, tmp_path: Path
) -> None:
    stored, out = trained.runs()[0], tmp_path / "p.csv"
    for point, how in (
        (None, None),
        (OperatingPoint(confidence=0), None),
        (OperatingPoint(at_tpr=0.4, confidence=0.7), "logit adjustment"),
        (OperatingPoint(critical=["maybe"], at_tpr=0.6), "temperature"),
        (OperatingPoint(at_tpr=0.5, confidence=0.5), "prior shift"),
    ):
        count, kept = write_predictions(
            stored.folder, str(place / "new.npz"), out, point=point, how=how, device="cpu"
        )
        rows = read_rows(out)
        assert count == len(rows)
        assert {row["positives"] for row in rows} == {str(kept.positives)}
        assert {row["threshold"] for row in rows} == {f"{kept.value:.6g}"}
        promised = "guaranteed" in kept.by_rule
        assert {row["promise"] == "none" for row in rows} == {not promised}
        assert promised == (how != "prior shift" and (point is None or point.confidence != 0))
        assert {row["critical"] for row in rows if float(row["critical_score"]) > kept.value} <= {"1"}
        assert {row["critical"] for row in rows if float(row["critical_score"]) < kept.value} <= {"0"}


def test_an_adjustment_changes_predictions_and_the_scores_that_choose(
    place: Path, trained: Store, tmp_path: Path
) -> None:
    stored = trained.runs()[0]
    prior = np.array(stored.facts()["counts"]["train"], dtype=float)
    prior /= prior.sum()
    write_predictions(
        stored.folder, str(place / "new.npz"), tmp_path / "p.csv", how="logit adjustment", device="cpu"
    )
    plain, _, _ = predict_on(stored, str(place / "new.npz"), labelled=True, device="cpu")
    expected = plain.probability / prior
    expected /= expected.sum(axis=1, keepdims=True)
    found = [[float(row[f"p[{name}]"]) for name in NAMES] for row in read_rows(tmp_path / "p.csv")]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    val = stored.predictions("val")
    odds = val.probability / prior
    held = np.log(odds[:, 2]) - np.log(odds[:, :2].sum(axis=1))
    scores = kept_scores(trained, stored, [2], "logit adjustment")
    np.testing.assert_allclose(scores.score, held, rtol=1e-5, atol=1e-6)


def test_an_adjustment_that_a_run_does_not_allow_is_refused(table: Path, tmp_path: Path) -> None:
    data = {"source": str(table), "val_fraction": 0}
    store = compare(asked(table, data=data, methods=["ce"], seeds=1), tmp_path / "out", Silent())
    model = store.runs()[0].folder
    with pytest.raises(InputError, match="temperature is fitted to validation samples"):
        write_predictions(model, str(table), tmp_path / "p.csv", how="temperature", device="cpu")
    with pytest.raises(InputError, match="no validation samples to choose a threshold on"):
        write_predictions(model, str(table), tmp_path / "p.csv", device="cpu")
    judged = judge(model, NewData(source=str(table), anyway=True), device="cpu")
    assert judged.thresholds is None
    assert "sensitivity" not in judged.figures()
    assert any("no threshold" in note for note in judged.notes)


def test_a_study_that_is_not_finished_is_refused(place: Path, trained: Store, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.folder, copy)
    (copy / "results.csv").unlink()
    new = NewData(source=str(place / "new.npz"))
    with pytest.raises(InputError, match="holds no finished comparison"):
        judge_study(Store(copy), new, tmp_path / "out", device="cpu", command="")


@pytest.mark.parametrize("own_test", [False, True])
def test_a_test_fraction_of_0_trains_on_all_other_samples(
    place: Path, tmp_path: Path, own_test: bool
) -> None:
    def split(y: Array) -> Array:
        return np.where(np.arange(len(y)) % 4 == 0, "test", "")

    _, y = blobs(tmp_path / "data.npz", 5, **({"split": split} if own_test else {}))
    data = {"source": str(tmp_path / "data.npz"), "test_fraction": 0, "val_fraction": 0.2}
    store = compare(asked(place, data=data, methods=["ce"], seeds=1), tmp_path / "out", Silent())
    (stored,) = store.runs()
    own = np.arange(0, len(y), 4) if own_test else np.arange(0)
    np.testing.assert_array_equal(np.flatnonzero(~stored.seen()), own)
    assert not (stored.folder / "test.npz").exists()
    assert {row["split"] for row in store.results()} == {"val"}
    assert any("left out, as test_fraction is 0" in note for note in store.facts()["notes"]) == own_test
    assert kept_thresholds(store, stored, [2]).positives > 0
    with pytest.raises(InputError, match="has no test samples"):
        report.write(store)
