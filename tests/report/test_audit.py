"""Suspected label errors: the ranking, its CSV and its page, from files alone."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from cleanlab.classification import CleanLearning
from rich.console import Console
from sklearn.linear_model import LogisticRegression

from steelyard import InputError, report
from steelyard.records import Predictions
from steelyard.report import suspects
from steelyard.report.audit import suspicion
from steelyard.report.doubt import Known
from steelyard.studies import config
from steelyard.studies.store import Store, fresh_folder

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ["cat", "dog", "<b>fox</b>"]
GIVEN = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 0, 1, 2, 0, 1, 2])  # the last six only ever held out
WRONG = [2, 5]  # the models saw these two as class 2 and as class 0


def probabilities(row: int, seed: int = 0, unknown: int | None = None) -> np.ndarray:
    """Of one sample by the run of one seed; samples of the class ``unknown`` look like the next class."""
    truth = {2: 2, 5: 0}.get(row, GIVEN[row])
    truth = (truth + 1) % 3 if GIVEN[row] == unknown else truth
    sure = 0.8 - 0.01 * row - 0.1 * seed
    return np.where(np.arange(3) == truth, sure, (1 - sure) / 2)


def study(
    folder: Path,
    trained_on: dict[int, list[int]],
    methods: tuple[str, ...] = ("ce", "low(lam=0.1)"),
    unknown: int | None = None,
) -> Store:
    """A study whose runs of each seed were trained on the rows given; the wrong labels have a low margin."""
    asked = config.study({"data": {"source": "pets"}, "methods": methods, "seeds": len(trained_on)})
    store = Store.create(folder, asked)
    store.write_facts(
        {"name": "pets", "classes": CLASSES, "baseline": methods[0], "command": "steelyard compare"}
    )
    store.write_names([f"{row}.jpg" for row in range(len(GIVEN))])
    for run in asked.runs():
        there, rows = store.unfinished_folder(run), np.array(trained_on[run.seed])
        fresh_folder(there)
        probability = np.array([probabilities(row, run.seed, unknown) for row in rows])
        own = probability[np.arange(len(rows)), GIVEN[rows]]
        kept: dict[str, Any] = {"index": rows, "target": GIVEN[rows], "count": np.full(len(rows), 5)}
        dynamics = {"loss": -np.log(own), "margin": 2 * own - 1 + run.seed, "probability": probability}
        np.savez(there / "dynamics.npz", **kept, **dynamics)
        if run.method.name != "ce":
            weight = own if run.method.name == "self-paced" else 2 - own
            np.savez(there / "weights.npz", **kept, mean=weight, last=weight)
        for part, held_out in (("val", [10, 11, 12]), ("test", sorted({*range(16)} - {*rows, 10, 11, 12}))):
            logits = np.log([probabilities(row, run.seed, unknown) for row in held_out]) + run.seed
            Predictions(logits, GIVEN[held_out], np.array(held_out)).save(there / f"{part}.npz")
        store.finish(run)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return study(tmp_path / "study", {0: list(range(10)), 1: [0, 2, 3, 5, 6, 8]})


def test_suspicion_is_a_standard_score() -> None:
    rng = np.random.default_rng(0)
    given, figures = rng.integers(0, 3, 50), {"loss": rng.random(50), "margin": rng.normal(size=50)}
    loss = figures["loss"]
    np.testing.assert_allclose(suspicion("loss", figures, given), (loss - loss.mean()) / loss.std())
    inside = suspicion("margin", figures, given, per_class=True)
    for c in range(3):
        margin = figures["margin"][given == c]
        np.testing.assert_allclose(inside[given == c], (margin.mean() - margin) / margin.std(), atol=1e-12)


def test_weights_speak_against_a_sample_on_the_side_of_large_losses() -> None:
    loss = np.array([0.1, 0.2, 3.0, 0.1])
    for weight in (1 + loss, 4 - loss):  # as of LOW; as of self-paced learning
        assert suspicion("weight", {"weight": weight, "loss": loss}, np.zeros(4, int)).argmax() == 2
    assert suspicion("weight", {"weight": np.ones(4), "loss": loss}, np.zeros(4, int)).tolist() == [0] * 4


def test_probabilities_are_averaged_over_training_and_held_out_runs(store: Store) -> None:
    seen: dict[int, list[np.ndarray]] = {row: [] for row in range(10)}
    for row, all_seen in seen.items():
        all_seen += [probabilities(row, seed) for seed in (0, 1)]  # held out by seed 1: 1, 4, 7 and 9
    mean = {row: np.mean(all_seen, axis=0) for row, all_seen in seen.items()}
    ratio = {row: max(np.delete(p, GIVEN[row])) / p[GIVEN[row]] for row, p in mean.items()}
    found = report.audit(store)
    assert [one.row for one in found.ranking] == sorted(ratio, key=lambda row: -ratio[row])
    for one in found.ranking:
        assert one.own == pytest.approx(mean[one.row][one.given])
        assert one.probability == pytest.approx(max(mean[one.row]))
        assert one.issue == (ratio[one.row] >= 2)
        assert (one.runs, one.held_out) == ((1, 1) if one.row in {1, 4, 7, 9} else (2, 0))
        assert one.judged
    assert {one.row for one in found.issues} == set(WRONG)


def test_scores_are_averaged_over_the_runs_that_trained_on_a_sample(store: Store) -> None:
    found = report.audit(store, by="margin")
    score: dict[int, list[float]] = {}
    for run in store.runs():
        if str(run.run.method) == "ce":
            kept = run.dynamics()
            margin = kept["margin"]
            for row, m in zip(kept["index"].tolist(), margin, strict=True):
                score.setdefault(row, []).append((margin.mean() - m) / margin.std())
    expected = sorted(score, key=lambda row: (-np.mean(score[row]), row))
    assert [one.row for one in found.ranking] == expected
    assert [one.runs for one in found.ranking] == [len(score[row]) for row in expected]
    assert {one.row for one in found.issues} == set(WRONG) == set(expected[:2])
    (first,) = [one for one in found.ranking if one.row == 2]
    assert (first.name, first.given, first.suggested) == ("2.jpg", 0, 2)
    assert first.margin == pytest.approx(2 * np.mean([0.11, 0.16]) - 1 + 0.5)  # of seeds 0 and 1
    assert [one.rank for one in found.ranking] == list(range(1, 11))
    assert [one.quality for one in found.ranking] == pytest.approx(np.arange(10) / 10)


def test_each_ranking_finds_them_and_takes_its_method(store: Store) -> None:
    for by, method in (("probability", "ce"), ("margin", "ce"), ("loss", "ce"), ("weight", "low(lam=0.1)")):
        found = report.audit(store, by=by)
        assert (found.method, {one.row for one in found.ranking[:2]}) == (method, set(WRONG))
    assert report.audit(store, "low(lam=0.1)").ranking[0].weight is not None
    assert report.audit(store).ranking[0].weight is None


def test_light_samples_are_the_suspects_of_self_paced_learning(tmp_path: Path) -> None:
    store = study(tmp_path / "study", {0: list(range(10))}, ("ce", "self-paced"))
    assert {one.row for one in report.audit(store, by="weight").ranking[:2]} == set(WRONG)


def test_cleanlab_takes_the_csv(store: Store) -> None:
    report.write_audit(store, report.audit(store), top=5)
    issues = pd.read_csv(store.folder / "audit.csv", index_col="index").sort_index()
    many = np.repeat(GIVEN, 9)
    learner = CleanLearning(LogisticRegression(), verbose=False, find_label_issues_kwargs={"n_jobs": 1})
    theirs = learner.find_label_issues(np.eye(3)[many], many)
    assert {"is_label_issue", "label_quality", "given_label", "predicted_label"} == set(theirs) <= set(issues)
    assert [issues[name].dtype.kind for name in theirs] == [theirs[name].dtype.kind for name in theirs]
    learner = CleanLearning(LogisticRegression(), verbose=False)
    learner.fit(np.eye(3)[GIVEN[:10]], GIVEN[:10], label_issues=issues.reset_index(drop=True))
    assert np.flatnonzero(learner.get_label_issues()["is_label_issue"]).tolist() == WRONG
    assert learner.get_label_issues()["given_label"].tolist() == GIVEN[:10].tolist()


def test_the_page_shows_the_suspects_and_needs_nothing_else(store: Store) -> None:
    found = report.audit(store)
    image = np.random.default_rng(0).integers(0, 255, (10, 1, 8, 8), dtype=np.uint8)
    store.write_samples(np.arange(10), image, [f"{row}.jpg" for row in range(10)])
    report.write_audit(store, found, top=4)
    page = (store.folder / "audit.html").read_text(encoding="utf-8")
    assert "2 of 10 training labels (20\N{NO-BREAK SPACE}%) are suspected to be wrong." in page
    assert "given cat; looks like &lt;b&gt;fox&lt;/b&gt;" in page
    assert "<b>fox" not in page
    assert page.count('src="data:image/png') == 4 + 2  # the first four, and the suspected ones by class
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert set(report.shown(found, 4)) == {one.row for one in found.ranking[:4]}
    assert suspects.pairs(found) == [("cat", "<b>fox</b>", 1), ("dog", "cat", 1)]


def test_a_table_shows_its_columns(store: Store) -> None:
    columns = [f"feature {n}" for n in range(14)]
    values = np.array([[f"{row}.{n}" for n in range(14)] for row in range(10)])
    store.write_values(np.arange(10), columns, values)
    report.write_audit(store, report.audit(store), top=3)
    page = (store.folder / "audit.html").read_text(encoding="utf-8")
    assert ">2.11</td>" in page
    assert "2.12" not in page
    assert "The data has 2 more columns." in page


def test_a_class_that_is_not_known_is_not_judged(tmp_path: Path) -> None:
    store = study(tmp_path / "study", {0: list(range(10))}, unknown=1)
    for by in ("probability", "margin"):
        found = report.audit(store, by=by)
        assert [one.judged for one in found.known] == [True, False, True]
        assert (found.known[1].recall, found.known[1].samples, found.known[1].held_out) == (0, 2, True)
        assert found.known[2].chance == pytest.approx(2 / 4)  # the held-out samples of class 1 look like it
        assert [one.given for one in found.ranking[-3:]] == [1, 1, 1]
        assert {one.row for one in found.issues} == {2}
        assert all(np.isnan(one.quality) for one in found.ranking[-3:])
    report.write_audit(store, found, top=10)
    rows = pd.read_csv(store.folder / "audit.csv")
    assert (rows["is_judged"] == (rows["given_label"] != 1)).all()
    assert not rows.loc[rows["given_label"] == 1, "is_label_issue"].any()
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report.audit_table(found, rows=10))
    page = (store.folder / "audit.html").read_text(encoding="utf-8")
    for text in (page, " ".join(console.export_text().split())):
        assert "Not judged: dog (0" in text
        assert "3 more labels are not judged." in text
        assert text.count("not judged") > 3


def test_nothing_is_said_where_no_class_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Known, "judged", False)
    store = study(tmp_path / "study", {0: list(range(10))})
    found = report.audit(store)
    assert found.issues == []
    assert suspects.headline(found).startswith("None of 10 training labels can be judged")
    report.write_audit(store, found, top=3)


def test_classes_are_made_comparable_where_their_sizes_differ(tmp_path: Path) -> None:
    even = study(tmp_path / "even", {0: list(range(10))})
    uneven = study(tmp_path / "uneven", {0: [0, 3, 4, 5, 6, 7, 8, 9]})  # 1, 3 and 4 of the classes
    assert [report.audit(one).per_class for one in (even, uneven)] == [False, True]
    forced = report.audit(uneven, per_class=False)
    assert not forced.per_class
    fair = {one.row: one for one in report.audit(uneven).ranking}
    assert fair[5].suggested == 0  # a class of one sample
    assert fair[5].probability == pytest.approx(
        next(one for one in forced.ranking if one.row == 5).probability
    )


def test_a_study_that_is_not_at_its_end_shows_what_is_there(tmp_path: Path) -> None:
    store = study(tmp_path / "study", {0: list(range(10)), 1: [0, 2, 3, 5, 6, 8]})
    for run in store.runs():
        if run.run.seed == 1:
            shutil.rmtree(run.folder)
    found = report.audit(store)
    assert (found.runs, found.asked) == (1, 2)
    assert "in 1 of 2 runs of ce" in suspects.details(found)[0]
    report.write_audit(store, found, top=3)
    assert "1 of 2 runs</p>" in (store.folder / "audit.html").read_text(encoding="utf-8")
    shutil.rmtree(store.runs()[0].folder)  # the baseline's last
    assert report.audit(store).method == "low(lam=0.1)"


def test_no_suspects_is_an_answer(tmp_path: Path) -> None:
    store = study(tmp_path / "study", {0: [0, 1, 3, 4, 6]})
    found = report.audit(store)
    assert suspects.headline(found) == "None of 5 training labels is suspected to be wrong."
    report.write_audit(store, found, top=3)
    assert "data-value" in (store.folder / "audit.html").read_text(encoding="utf-8")


def test_mistakes_are_named(store: Store, tmp_path: Path) -> None:
    for given, message in (
        ({"method": "focal"}, "unknown method 'focal'"),
        ({"by": "los"}, "Did you mean 'loss'"),
        ({"method": "ce", "by": "weight"}, 'ce gives samples no weights; give --method "low(lam=0.1)"'),
    ):
        with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")):
            report.audit(store, **given)
    plain = study(tmp_path / "plain", {0: [0, 1, 3]}, ("ce",))
    with pytest.raises(InputError, match="give --by probability, margin or loss"):
        report.audit(plain, by="weight")
    (run,) = plain.runs()
    (run.folder / "dynamics.npz").unlink()
    with pytest.raises(InputError, match="or of an earlier steelyard; audit another method"):
        report.audit(plain)
    (run.folder / "failure.txt").write_text("the loss was not finite")
    with pytest.raises(InputError, match="no finished run of ce"):
        report.audit(plain)
