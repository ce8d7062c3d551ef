"""A search over real trainings: fair, without the test samples, and the same after an interruption."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from tests.studies.conftest import Silent, asked

from steelyard import InputError, catalog, report
from steelyard.studies import compare as comparing
from steelyard.studies.compare import compare
from steelyard.studies.config import Run, read_study, study
from steelyard.studies.evaluate import measures
from steelyard.studies.store import Store, read_rows
from steelyard.studies.tune import How, tune

if TYPE_CHECKING:
    from pathlib import Path

    from steelyard.studies.config import Study


def small(table: Path, **changed: Any) -> Study:
    training = {"epochs": 2, "batch_size": 32, "lr": 0.01}
    return asked(table, training=training, **{"methods": ["ce", "low", "bce"], **changed})


def test_every_method_has_the_same_budget_and_no_trial_sees_the_test_samples(
    table: Path, tmp_path: Path
) -> None:
    listener = Silent()
    found = tune(small(table), tmp_path, listener, How(trials=3, seeds=2))
    assert {name: sum(t.method == name for t in found.trials) for name in found.chosen} == {
        "ce": 3,
        "low": 3,
        "bce": 3,
    }
    assert len(listener.trained) == 9 * 2
    assert not list(tmp_path.rglob("test.npz"))
    store = Store(tmp_path / "trials")
    assert store.study.parts == ("val",)
    for trial in found.trials:  # the values are those of the saved validation predictions
        runs = [one for one in store.runs() if str(one.run.method) == trial.word]
        classes, yes = store.facts()["classes"], store.facts()["critical"]
        again = [measures(one.predictions("val"), classes, yes, 0.95)["auc"] for one in runs]
        assert trial.values == pytest.approx(again)
        best = max(t.value for t in found.trials if t.method == trial.method)
        if found.chosen[trial.method] == trial.word:
            assert trial.value == best
    assert found.study.seed == 2
    assert study(read_study(tmp_path / "chosen.yaml")) == found.study
    assert {row["word"] for row in read_rows(tmp_path / "trials.csv")} == {t.word for t in found.trials}


def test_the_chosen_words_are_compared_with_their_own_learning_rates(table: Path, tmp_path: Path) -> None:
    found = tune(small(table, methods=["low"]), tmp_path / "a", Silent(), How(trials=2))
    assert [method.name for method in found.study.methods] == ["ce", "low"]
    store = compare(found.study.model_copy(update={"seeds": 1}), tmp_path / "b", Silent())
    for stored in store.runs():
        assert stored.run.method.params["lr"] == pytest.approx(stored.history()[0]["lr"], rel=0.6)
        assert (stored.folder / "test.npz").exists()
    assert store.facts()["baseline"] == str(found.study.methods[0])


def test_an_interrupted_search_ends_with_the_same_numbers(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = How(trials=12)  # beyond the ten that are drawn without looking at values
    wanted = tune(small(table, methods=["low"]), tmp_path / "whole", Silent(), how)

    class Killed(BaseException):
        """Stands for the end of the process."""

    left = [5, 9]
    train = comparing.running.train_run

    def killed(*args: Any, **kwargs: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            left.pop(0)
            raise Killed
        train(*args, **kwargs)

    monkeypatch.setattr(comparing.running, "train_run", killed)
    for _ in range(2):
        with pytest.raises(Killed):
            tune(small(table, methods=["low"]), tmp_path / "cut", Silent(), how)
    monkeypatch.undo()
    listener = Silent()
    found = tune(small(table, methods=["low"]), tmp_path / "cut", listener, how)
    assert len(listener.trained) == 24 - 5 - 9
    assert found == wanted
    again = Silent()
    assert tune(small(table, methods=["low"]), tmp_path / "cut", again, how) == wanted
    assert again.trained == []


def test_workers_do_not_change_the_numbers(table: Path, tmp_path: Path) -> None:
    one = tune(small(table), tmp_path / "one", Silent(), How(trials=2))
    two = tune(small(table), tmp_path / "two", Silent(), How(trials=2), workers=2)
    assert one == two


def test_staged_search_and_shared_words(table: Path, tmp_path: Path) -> None:
    listener = Silent()
    methods = ["balanced-bce", "low(loss=balanced-bce)"]
    found = tune(small(table, methods=methods), tmp_path, listener, How(trials=None, also=""))
    numbers = {name: sum(t.method == name for t in found.trials) for name in found.chosen}
    assert numbers == {"ce": 1, "balanced-bce": 3, "low(loss=balanced-bce)": 3 + 5}
    assert len(listener.trained) == 1 + 3 + 5  # the loss was trained once for both
    page = report.write_tuning(tmp_path)
    assert "Budgets differ" in page.details[0]


def test_failed_trainings_are_shown_and_not_chosen(table: Path, tmp_path: Path) -> None:
    how = How(trials=2, also="lr=[0.01, 1e30]")
    found = tune(small(table, methods=["ce"]), tmp_path, Silent(), how)
    assert found.chosen == {"ce": "ce(lr=0.01)"}
    assert [trial.values == () for trial in found.trials] == [False, True]
    page = report.write_tuning(tmp_path)
    assert "1 trial failed in training" in " ".join(page.details)
    assert "failed" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "tuning.json").read_text())["trials"][1]["value"] is None


def test_a_trial_whose_monitor_has_no_value_is_no_trial(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.studies.tune.measures", lambda *_: {"auc": float("nan")})
    with pytest.raises(
        InputError, match=r"the monitor val_auc of ce\(lr=.*\) is NaN: its samples lack a class"
    ):
        tune(small(table, methods=["ce"]), tmp_path, Silent(), How(trials=2))
    assert not (tmp_path / "chosen.yaml").exists()


def test_a_baseline_that_nobody_asked_for_is_known_by_its_chosen_word(table: Path, tmp_path: Path) -> None:
    found = tune(small(table, methods=["low"]), tmp_path, Silent(), How(trials=1))
    assert found.study.added == {found.chosen["ce"]: "the plain baseline"}
    assert study(read_study(tmp_path / "chosen.yaml")).added == found.study.added
    assert Store(tmp_path / "trials").facts()["added"] == {}


def test_the_page_is_made_from_files(table: Path, tmp_path: Path) -> None:
    tune(small(table), tmp_path / "a", Silent(), How(trials=3), command="steelyard tune blobs.npz")
    first = report.write_tuning(tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "trials")
    assert report.write_tuning(tmp_path / "a") == first
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    for text in ("steelyard tune blobs.npz", first.following, "low: lam in log(low=0.001, high=10)"):
        assert text in page
    rows = read_rows(tmp_path / "a" / "plots" / "tuning_1_lam.csv")
    assert len(rows) == 3
    assert sum(row["chosen"] == "True" for row in rows) == 1
    with pytest.raises(InputError, match="holds no finished search"):
        report.write_tuning(tmp_path)


@pytest.mark.parametrize(
    ("changed", "how", "message"),
    [
        ({"methods": ["low(lma=[1, 2])"]}, How(), "unknown parameter of method 'low' 'lma'"),
        ({"methods": ["lwo"]}, How(), "unknown method 'lwo'. Did you mean 'low'"),
        ({"methods": ["low(lam=[1, -2])"]}, How(), "lam must be a finite number above 0, got -2"),
        ({"folds": 3}, How(), "leave folds out"),
        ({"data": {"val_fraction": 0}}, How(), "give a val_fraction above 0"),
        ({}, How(trials=0), "trials must be a whole number of at least 1"),
        ({}, How(seeds=0), "trial-seeds must be a whole number of at least 1"),
        ({}, How(also="lr=[-1, 0.1]"), "method ce.lr=-1. cannot be used: lr: Input should be greater than 0"),
    ],
)
def test_mistakes_are_found_before_the_first_training(
    table: Path, tmp_path: Path, changed: dict[str, Any], how: How, message: str
) -> None:
    listener = Silent()
    if "data" in changed:
        changed = {"data": {"source": str(table), **changed["data"]}}
    with pytest.raises(InputError, match=message):
        tune(small(table, **changed), tmp_path / "out", listener, how)
    assert listener.trained == []
    assert not (tmp_path / "out").exists()


def test_another_search_in_the_same_folder_is_refused(table: Path, tmp_path: Path) -> None:
    tune(small(table, methods=["ce"]), tmp_path, Silent(), How(trials=1))
    with pytest.raises(InputError, match="critical was"):
        tune(small(table, methods=["ce"], critical=["no"]), tmp_path, Silent(), How(trials=1))
    with pytest.raises(InputError, match="tested was False, is True"):
        compare(small(table, seeds=1), tmp_path / "trials", Silent())


def test_a_method_may_have_settings_of_its_own(table: Path) -> None:
    whole = small(table)
    run = Run(method="low(lam=1, lr=0.5, clip=2)")
    assert (whole.of(run).training.lr, whole.of(run).training.clip) == (0.5, 2)
    assert catalog.method(run.method, catalog.Facts([9, 1], 10)).weighting.lam == 1  # type: ignore[union-attr]
    assert whole.of(Run(method="low")) is whole
    with pytest.raises(InputError, match="momentum: Input should be less than 1, got 2"):
        whole.of(Run(method="low(momentum=2)"))
