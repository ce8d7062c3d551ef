import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.studies.conftest import Silent, asked

from steelyard import metrics, report
from steelyard._checks import InputError
from steelyard.records import Predictions
from steelyard.studies import run as running
from steelyard.studies.compare import compare
from steelyard.studies.config import Study, read_study
from steelyard.studies.outcomes import thinned
from steelyard.studies.phases import with_controls
from steelyard.studies.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two members, two seeds, two folds of three methods in phases; tested on thinned samples as well."""
    folder = tmp_path_factory.mktemp("ensembles")
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1], [160, 40])
    X = generator.normal(size=(200, 4)) + y[:, None] * 0.8
    np.savez(folder / "two.npz", X=X, y=np.array(["no", "yes"])[y])
    data = {"source": str(folder / "two.npz"), "imbalance": "ratio(majority=no, minority=yes, n=72, ratio=6)"}
    study = asked(
        folder / "two.npz",
        data=data | {"thinned_test": True, "val_fraction": 0.3},
        methods=["alm"],
        folds=2,
        ensemble=2,
        training={"epochs": 3, "batch_size": 16, "lr": 0.01},
    )
    return compare(with_controls(study), folder / "out", Silent())


def rows(store: Store, **wanted: str) -> dict[tuple[str, ...], float]:
    keys = ("method", "seed", "fold", "member")
    return {
        tuple(row[key] for key in keys): float(row["value"])
        for row in store.results()
        if all(row[key] == value for key, value in wanted.items())
    }


def score(store: Store, members: list[Predictions]) -> np.ndarray:
    order = [np.argsort(one.index) for one in members]
    z = np.mean([one.logits[o].astype(np.float64) for one, o in zip(members, order, strict=True)], axis=0)
    yes = store.facts()["classes"].index("yes")
    return np.asarray(z[:, yes] - z[:, 1 - yes])


def test_members_share_the_test_samples_and_have_splits_and_weights_of_their_own(store: Store) -> None:
    study, dataset = store.study, running.load(store.study.data)
    found: dict[tuple[int, int], list[Any]] = {}
    for run in study.runs():
        if str(run.method) == "alm":
            split = running.split_of(study, dataset, run)
            _, model, _ = running.prepare(study, dataset, run, split)
            weights = [p.detach().numpy() for p in model.parameters()]
            found.setdefault((run.seed, run.fold), []).append((split, weights[0].tolist()))
    assert len(found) == 4
    for (one, weights), (two, others) in found.values():
        assert one.test.tolist() == two.test.tolist()
        assert one.val.tolist() != two.val.tolist()
        assert set(one.train.tolist()) != set(two.train.tolist())
        assert dataset.counts(one.train).tolist() == dataset.counts(two.train).tolist()
        assert weights != others


def test_the_rare_classes_are_those_of_the_whole_ensemble(tmp_path: Path) -> None:
    y = np.repeat([0, 1, 2, 3], 50)
    np.savez(tmp_path / "four.npz", X=np.random.default_rng(0).normal(size=(200, 2)), y=y)
    data = {"source": str(tmp_path / "four.npz"), "imbalance": "step(ratio=5)"}
    study = asked(tmp_path / "four.npz", data=data, critical=[], ensemble=4, seeds=1, methods=["ce"])
    dataset = running.load(study.data)
    splits = [running.split_of(study, dataset, run) for run in study.runs()]
    assert len({tuple(dataset.counts(one.train) > 10) for one in splits}) == 1
    assert len({tuple(np.sort(np.concatenate([one.train, one.val]))) for one in splits}) == 4


def test_an_ensemble_averages_the_logits_of_its_members(store: Store) -> None:
    single = rows(store, split="test", metric="auc")
    for name in ("bce", "alm"):
        for seed in (0, 1):
            for fold in (0, 1):
                runs = [
                    stored
                    for stored in store.runs()
                    if (str(stored.run.method), *stored.run.key[:2]) == (name, seed, fold)
                ]
                members = [stored.predictions("test") for stored in runs]
                positive = np.sort(members[0].index) >= 160
                expected = roc_auc_score(positive, score(store, members))
                here = str(seed), str(fold)
                assert single[f"{name}, ensemble of 2", *here, ""] == pytest.approx(expected, abs=1e-9)
                for member, one in enumerate(members):
                    own = roc_auc_score(positive, score(store, [one]))
                    assert single[name, *here, str(member)] == pytest.approx(own, abs=1e-9)


def test_thinned_test_samples_have_the_training_ratio_and_are_always_the_same() -> None:
    generator = np.random.default_rng(1)
    target = np.repeat([0, 1, 2], [100, 100, 40])
    index = generator.permutation(240)
    one = Predictions(generator.normal(size=(240, 3)), target, index)
    kept = thinned(one, [50, 5, 10])
    assert np.bincount(kept.target).tolist() == [100, 10, 20]
    order = generator.permutation(240)
    again = thinned(Predictions(one.logits[order] * 2, target[order], index[order]), [50, 5, 10])
    assert kept.index.tolist() == again.index.tolist()
    at = dict(zip(index.tolist(), one.logits.tolist(), strict=True))
    assert [at[i] for i in kept.index.tolist()] == kept.logits.tolist()


def test_rows_on_thinned_samples_stand_beside_the_others(store: Store) -> None:
    found = rows(store, split="test", metric="fpr_at_tpr[0.9]")
    names = {"alm", "alm, thinned test", "alm, ensemble of 2", "alm, ensemble of 2, thinned test"}
    assert names <= {name for name, *_ in found}
    stored = next(stored for stored in store.runs() if str(stored.run.method) == "alm")
    part = thinned(stored.predictions("test"), stored.facts()["counts"]["train"])
    positive = part.index >= 160
    assert positive.sum() * 6 == pytest.approx((~positive).sum(), rel=0.1)
    expected = metrics.fpr_at_tpr(positive, score(store, [part]), 0.9)
    assert found["alm, thinned test", "0", "0", "0"] == pytest.approx(expected)


def test_the_page_shows_phases_controls_and_ensembles(store: Store) -> None:
    summary = report.write(store)
    pairs = {(one.method, one.baseline, one.measure) for one in summary.controls}
    assert pairs == {
        ("alm", base, m) for base in ("bce", "trained-on(loss=bce)") for m in ("fpr_at_tpr", "auc")
    }
    cells = {row.method: row.cells["auc"] for row in summary.methods}
    assert (cells["alm"].runs, cells["alm, ensemble of 2"].runs) == (8, 4)
    figures = [v for (name, *_), v in rows(store, split="test", metric="auc").items() if name == "alm"]
    assert cells["alm"].mean == pytest.approx(np.mean(figures))
    assert cells["alm"].sd == pytest.approx(np.std(figures, ddof=1))
    (test,) = [
        one
        for one in summary.ensembles
        if (one.method, one.other, one.samples) == ("alm", "trained-on(loss=bce)", "all")
    ]
    assert test.auc == pytest.approx(cells["alm, ensemble of 2"].mean)
    assert test.other_auc == pytest.approx(cells["trained-on(loss=bce), ensemble of 2"].mean)
    assert len(test.p_each) == 4
    page = (store.folder / "report.html").read_text(encoding="utf-8")
    assert "alm is trained in two phases" in page
    assert "only what is gained over trained-on(loss=bce) is due to the constraint" in page
    for title in ("Controls of the phases", "Ensembles", "Violation of the constraint"):
        assert title in page


def test_delong_between_ensembles_is_that_of_their_averaged_logits(store: Store) -> None:
    (test,) = [
        one
        for one in report.write(store).ensembles
        if (one.method, one.other, one.samples) == ("alm", "trained-on(loss=bce)", "all")
    ]
    ours, theirs = (
        [s.predictions("test") for s in store.runs() if str(s.run.method) == name and s.run.key[:2] == (1, 0)]
        for name in ("alm", "trained-on(loss=bce)")
    )
    positive = np.sort(ours[0].index) >= 160
    expected = metrics.delong_test(positive, score(store, ours), score(store, theirs)).p_value
    assert test.p_each[2] == pytest.approx(expected)


def test_the_plots_of_the_constraint_show_where_its_phase_begins(store: Store) -> None:
    report.write(store)
    lines = (store.folder / "plots" / "violation.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["alm", "4"], ["alm", "5"], ["alm", "6"]]
    page = (store.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("its second phase begins with epoch 4") >= 3
    assert (store.folder / "plots" / "mu.csv").exists()
    assert (store.folder / "plots" / "multiplier.csv").exists()


def test_an_ensemble_that_lost_a_member_is_left_out(table: Path, tmp_path: Path) -> None:
    study = asked(table, methods=["ce"], ensemble=2, seeds=1)
    store = compare(study, tmp_path / "out", Silent())
    folder = store.runs()[1].folder
    (folder / "failure.txt").write_text("broken", encoding="utf-8")
    again = compare(study, tmp_path / "out", Silent())
    assert {row["method"] for row in again.results()} == {
        "ce", "ce + logit adjustment", "ce + prior shift", "ce + temperature",
    }  # fmt: skip


def test_without_ensembles_nothing_is_called_a_member(table: Path, tmp_path: Path) -> None:
    store = compare(asked(table, methods=["ce"], seeds=1), tmp_path / "out", Silent())
    (stored,) = store.runs()
    assert stored.folder.name == "ce_seed0_fold0_77625d65"
    assert json.loads((stored.folder / "config.json").read_text()) == {"method": "ce", "seed": 0, "fold": 0}
    assert list(store.results()[0]) == ["method", "seed", "fold", "split", "metric", "value"]


def test_the_size_of_an_ensemble_may_not_change(table: Path, tmp_path: Path) -> None:
    compare(asked(table, methods=["ce"], ensemble=2, seeds=1), tmp_path / "out", Silent())
    assert isinstance(Study.model_validate(read_study(tmp_path / "out" / "study.yaml")), Study)
    with pytest.raises(InputError, match="ensemble was 2, is 3"):
        compare(asked(table, methods=["ce"], ensemble=3, seeds=1), tmp_path / "out", Silent())
    with pytest.raises(InputError, match="greater than or equal to 2"):
        asked(table, ensemble=1)
