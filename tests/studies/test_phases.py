from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.studies.conftest import Silent, asked

from steelyard import catalog
from steelyard._checks import InputError
from steelyard.studies.compare import compare, completed
from steelyard.studies.config import Study, read_study, study
from steelyard.studies.phases import phases_of, with_controls
from steelyard.studies.run import FIRST_PHASE
from steelyard.studies.store import Store, StoredRun

FACTS = catalog.Facts(class_counts=[60, 6], num_samples=66, model=torch.nn.Linear(4, 2))


def names(asked_for: Any) -> list[str]:
    return [str(method) for method in asked_for.methods]


def runs_of(store: Store, method: str) -> list[StoredRun]:
    return [stored for stored in store.runs() if str(stored.run.method) == method]


def test_a_method_in_phases_brings_its_base_and_its_control(table: Path) -> None:
    study = completed(asked(table, methods=["alm(delta=2)", "alm", "focal"]))
    assert names(study) == ["ce", "bce", "trained-on(loss=bce)", "alm(delta=2)", "alm", "focal"]
    assert study.added == {
        "ce": "the plain baseline",
        "bce": "first phase of alm(delta=2)",
        "trained-on(loss=bce)": "control of alm(delta=2): its first phase for as many epochs",
    }
    own = {"base": "bce", "control": "trained-on(loss=bce)"}
    assert phases_of(study) == {"alm(delta=2)": own, "alm": own}


def test_what_is_there_already_is_not_brought_again(table: Path) -> None:
    there = asked(table, methods=["alm(loss=msfe)", "trained-on(loss=msfe)", "msfe"])
    assert with_controls(there) == there
    assert phases_of(there) == {"alm(loss=msfe)": {"base": "msfe", "control": "trained-on(loss=msfe)"}}
    alone = asked(table, methods=["ce", "alm(pretrain=false)"])
    assert with_controls(alone) == alone
    assert phases_of(alone) == {}
    assert names(with_controls(asked(table, methods=["trained-on"]))) == ["bce", "trained-on"]


def test_what_nobody_asked_for_is_known_to_the_folder(table: Path, tmp_path: Path) -> None:
    def added(wanted: Study) -> set[str]:
        return set(Store.create(tmp_path / "out", completed(wanted)).study.added)

    by_itself = {"ce", "trained-on(loss=bce, lr=0.1, clip=1)"}
    assert added(asked(table, methods=["alm(lr=0.1, clip=1)"])) == {*by_itself, "bce(lr=0.1, clip=1)"}
    more = ["alm(clip=1, lr=0.1)", "focal", "bce(clip=1, lr=0.1)"]
    assert added(asked(table, methods=more)) == by_itself
    assert added(asked(table, methods=more[:2])) == by_itself, "what was asked for once stays so"
    from_its_file = read_study(tmp_path / "out" / "study.yaml")
    assert added(study(from_its_file | {"seeds": 3})) == by_itself
    assert added(asked(table, methods=["focal", "ce"])) == set()


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1], [100, 20])
    path = tmp_path / "two.npz"
    np.savez(path, X=generator.normal(size=(120, 4)) + y[:, None], y=np.array(["no", "yes"])[y])
    return path


def test_on_two_classes_bce_is_the_training_of_ce(two_classes: Path, tmp_path: Path) -> None:
    store = compare(asked(two_classes, methods=["ce", "bce"]), tmp_path / "out", Silent())
    for one, other in zip(runs_of(store, "ce"), runs_of(store, "bce"), strict=True):
        ours, theirs = one.predictions("test"), other.predictions("test")
        np.testing.assert_allclose(ours.probability, theirs.probability, atol=1e-5)
        losses = [[row["train_loss"] for row in stored.history()] for stored in (one, other)]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_on_two_classes_one_row_stands_for_both(two_classes: Path, tmp_path: Path) -> None:
    whole = completed(asked(two_classes, methods=["alm"]))
    assert names(whole) == ["ce", "trained-on(loss=ce)", "alm"]
    assert set(whole.added) == {"ce", "trained-on(loss=ce)"}
    own = {"base": "ce", "control": "trained-on(loss=ce)"}
    assert phases_of(whole, two_classes=True) == {"alm": own}
    store = compare(whole, tmp_path / "out", Silent())
    assert store.facts()["phases"] == {"alm": own}
    assert store.facts()["added"] == whole.added
    assert first_phase(store, "ce") == first_phase(store, "trained-on(loss=ce)")
    np.testing.assert_allclose(first_phase(store, "alm"), first_phase(store, "ce"), rtol=1e-4, atol=1e-6)

    both = asked(two_classes, methods=["focal", "bce(lr=0.1)", "trained-on", "ce(lr=0.1)", "bce"])
    shown = (
        "bce.lr=0.1. is shown as ce.lr=0.1., trained-on is shown as trained-on.loss=ce., bce is shown as ce"
    )
    with pytest.warns(UserWarning, match=shown):
        whole = completed(both)
    assert names(whole) == ["focal", "ce(lr=0.1)", "trained-on(loss=ce)", "ce"]
    assert whole.added == {}


def test_a_study_of_two_classes_that_holds_bce_keeps_its_very_phases(two_classes: Path) -> None:
    study = asked(two_classes, methods=["ce", "bce", "trained-on(loss=bce)", "alm"])
    own = {"base": "bce", "control": "trained-on(loss=bce)"}
    assert phases_of(study, two_classes=True) == phases_of(study) == {"alm": own}


def test_phases_share_what_their_loss_learns() -> None:
    first, second = catalog.objectives("alm(loss=two-scale)", FACTS)
    assert first.constraint is None
    assert second.constraint is not None
    assert second.loss is first.loss
    (single,) = catalog.objectives("alm(pretrain=false)", FACTS)
    assert single.constraint is not None


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("alm(pretrain=1)", "expected pretrain=true or pretrain=false, got 1"),
        ("trained-on(los=ce)", "unknown parameter of method 'trained-on' 'los'. Did you mean 'loss'?"),
        ("trained-on(loss=cee)", "unknown loss 'cee'"),
        ("bce(pretrain=false)", "unknown parameter of method 'bce' 'pretrain'"),
    ],
)
def test_a_mistake_in_a_phase_is_told_in_one_line(word: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        catalog.objectives(word, FACTS)
    assert message in str(error.value)


def first_phase(store: Store, method: str) -> list[list[float]]:
    """Figures of the first phase of every run, but for time."""
    return [
        [value for name, value in row.items() if name not in ("seconds", "phase")]
        for stored in runs_of(store, method)
        for row in stored.history()
        if row.get("phase", 1) == 1
    ]


@pytest.fixture
def phased(table: Path, tmp_path: Path) -> Store:
    return compare(with_controls(asked(table, methods=["alm"])), tmp_path / "out", Silent())


def test_the_first_phase_is_the_same_for_base_control_and_method(phased: Store) -> None:
    base = first_phase(phased, "bce")
    assert len(base) == 2 * 4
    assert first_phase(phased, "alm") == first_phase(phased, "trained-on(loss=bce)") == base
    for control, method in zip(runs_of(phased, "trained-on(loss=bce)"), runs_of(phased, "alm"), strict=True):
        assert len(control.history()) == len(method.history()) == 2 * 4
        ours, theirs = method.predictions("test"), control.predictions("test")
        assert not np.array_equal(ours.logits, theirs.logits)
    assert "violation" in runs_of(phased, "alm")[0].history()[-1]


def test_a_first_phase_that_is_there_gives_what_training_it_again_gives(
    table: Path, tmp_path: Path, phased: Store
) -> None:
    alone = compare(asked(table, methods=["alm"]), tmp_path / "alone", Silent())
    for ours, theirs in zip(runs_of(phased, "alm"), runs_of(alone, "alm"), strict=True):
        assert np.array_equal(ours.predictions("test").logits, theirs.predictions("test").logits)
    assert not list(phased.folder.glob(f"runs/*/{FIRST_PHASE}"))
    assert not list(phased.folder.glob("runs/*/unfinished*"))


def test_a_first_phase_is_found_whatever_the_order_of_the_settings(table: Path, tmp_path: Path) -> None:
    methods = ["bce(clip=1, lr=0.1)", "alm(lr=0.1, clip=1)"]
    base, method = compare(asked(table, methods=methods, seeds=1), tmp_path / "out", Silent()).runs()
    seconds = [row["seconds"] for row in base.history()]
    assert [row["seconds"] for row in method.history()][: len(seconds)] == seconds  # taken over, not trained


def test_predictions_of_phase_one_are_those_of_the_base(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped where its first phase ends, a method in phases predicts what its base predicts."""
    objectives = catalog.objectives
    monkeypatch.setattr(catalog, "objectives", lambda *given: objectives(*given)[:1])
    store = compare(asked(table, methods=["bce", "trained-on", "alm"], seeds=1), tmp_path / "out", Silent())
    base, *others = [stored.predictions("test").logits for stored in store.runs()]
    assert all(np.array_equal(base, other) for other in others)


@pytest.mark.parametrize("kill_at", [2, 4, 5, 8])
def test_a_run_killed_in_any_phase_ends_with_the_same_results(
    table: Path, tmp_path: Path, kill_at: int
) -> None:
    class Killer(Silent):
        def epoch(self, run: Any, row: dict[str, float]) -> None:
            if run.seed == 1 and row["epoch"] == kill_at:
                raise KeyboardInterrupt

    study = asked(table, methods=["alm"])
    undisturbed = compare(study, tmp_path / "undisturbed", Silent())
    with pytest.raises(KeyboardInterrupt):
        compare(study, tmp_path / "killed", Killer())
    assert list((tmp_path / "killed").glob("runs/*.unfinished/unfinished.pt"))
    store = compare(study, tmp_path / "killed", Silent())
    assert (store.folder / "results.csv").read_bytes() == (undisturbed.folder / "results.csv").read_bytes()


def test_a_constraint_that_diverges_is_a_failed_run_with_its_phase(table: Path, tmp_path: Path) -> None:
    methods = ["bce", "alm(mu=1e30, mu_max=1e30)"]
    training = {"epochs": 2, "optimizer": "sgd", "lr": 0.1, "schedule": "constant"}
    store = compare(asked(table, methods=methods, training=training, seeds=1), tmp_path / "out", Silent())
    base, method = store.runs()
    assert base.failure is None
    assert method.failure is not None
    assert "in phase 2, " in method.failure
    assert "not finite" in method.failure
    assert "clip" in method.failure
    assert {row["method"].split(" ")[0] for row in store.results()} == {"bce"}


@pytest.mark.parametrize("normalize", ["sum", "mean"])
def test_batches_that_mostly_hold_no_positive_train(tmp_path: Path, normalize: str) -> None:
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1], [1200, 8])  # 4 of them train, at 1:200
    path = tmp_path / "rare.npz"
    np.savez(path, X=generator.normal(size=(len(y), 4)) + y[:, None], y=np.array(["no", "yes"])[y])
    data = {"source": str(path), "val_fraction": 0.2, "test_fraction": 0.3}
    training = {"epochs": 4, "batch_size": 16, "optimizer": "sgd", "lr": 0.01, "clip": 1}
    methods = ["bce", f"alm(normalize={normalize})"]
    store = compare(asked(path, data=data, methods=methods, training=training), tmp_path / "out", Silent())
    assert [stored.failure for stored in store.runs()] == [None] * 4
    for stored in runs_of(store, methods[1]):
        assert stored.facts()["counts"]["train"][1] <= 5
        assert np.isfinite(stored.predictions("test").logits).all()
        assert stored.history()[-1]["violation"] > 0
