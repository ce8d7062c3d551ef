import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from tests.studies.conftest import Silent, asked

from steelyard._checks import InputError
from steelyard.studies import run as running
from steelyard.studies.compare import balances, baseline, compare, with_baseline
from steelyard.studies.config import Run, Study, as_yaml
from steelyard.studies.store import Store
from steelyard.training import rehearse
from steelyard.words import Word


def values(store: Store) -> dict[tuple[str, ...], float]:
    keys = ("method", "seed", "fold", "split", "metric")
    return {tuple(row[key] for key in keys): float(row["value"]) for row in store.results()}


def test_results_are_those_of_scikit_learn_on_the_saved_predictions(table: Path, tmp_path: Path) -> None:
    store = compare(asked(table), tmp_path / "out", Silent())
    found = values(store)
    classes = store.facts()["classes"]
    yes = classes.index("yes")
    for stored in store.runs():
        p = stored.predictions("test")
        key = (str(stored.run.method), str(stored.run.seed), "0", "test")
        expected = balanced_accuracy_score(p.target, p.logits.argmax(1))
        assert found[*key, "balanced_accuracy"] == pytest.approx(expected, abs=1e-9)
        others = np.delete(p.logits.astype(np.float64), yes, axis=1)
        score = p.logits[:, yes].astype(np.float64) - np.log(np.exp(others).sum(1))
        assert found[*key, "auc"] == pytest.approx(roc_auc_score(p.target == yes, score), abs=1e-9)


def test_every_method_of_a_seed_starts_alike_on_the_same_samples(table: Path, tmp_path: Path) -> None:
    study = asked(table, seeds=2)
    dataset = running.load(study.data)
    starts = []
    for run in study.runs():
        rows = running.split_of(study, dataset, run)
        _, model, _ = running.prepare(study, dataset, run, rows)
        starts.append(
            (rows.train.tolist(), rows.test.tolist(), torch.cat([p.flatten() for p in model.parameters()]))
        )
    (ce0, low0, ce1, low1) = starts
    for one, other in ((ce0, low0), (ce1, low1)):
        assert one[:2] == other[:2]
        assert torch.equal(one[2], other[2])
    assert ce0[1] == ce1[1]  # the test part judges every seed
    assert ce0[0] != ce1[0]
    assert not torch.equal(ce0[2], ce1[2])


def test_the_same_study_gives_the_same_numbers_with_any_number_of_workers(
    table: Path, tmp_path: Path
) -> None:
    study = asked(table)
    one = compare(study, tmp_path / "one", Silent())
    two = compare(study, tmp_path / "two", Silent(), workers=2)
    assert (one.folder / "results.csv").read_bytes() == (two.folder / "results.csv").read_bytes()


def test_finished_runs_are_not_trained_again_and_methods_can_be_added(table: Path, tmp_path: Path) -> None:
    first, again, more = Silent(), Silent(), Silent()
    compare(asked(table), tmp_path / "out", first)
    compare(asked(table), tmp_path / "out", again)
    compare(asked(table, methods=["ce", "low(lam=0.1)", "focal"]), tmp_path / "out", more)
    assert len(first.trained) == 4
    assert again.trained == []
    assert [str(run.method) for run in more.trained] == ["focal", "focal"]


def test_killed_at_any_moment_it_goes_on_to_the_same_results(table: Path, tmp_path: Path) -> None:
    study = asked(table, training={"epochs": 40, "batch_size": 8, "lr": 0.01}, seeds=3)
    (tmp_path / "study.yaml").write_text(as_yaml(study), encoding="utf-8")
    command = [sys.executable, "-m", "steelyard", "compare", str(tmp_path / "study.yaml"), "--out"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, str(killed)], stderr=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 60
    while not list(killed.glob("runs/*fold0_????????")) or not list(
        killed.glob("runs/*.unfinished/unfinished.pt")
    ):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole_before = {p: p.stat().st_mtime_ns for p in killed.glob("runs/*fold0_????????/test.npz")}
    assert 0 < len(whole_before) < 6
    torch.set_num_threads(1)
    store = compare(study, killed, Silent())
    undisturbed = compare(study, tmp_path / "undisturbed", Silent())
    assert (killed / "results.csv").read_bytes() == (undisturbed.folder / "results.csv").read_bytes()
    assert {p: p.stat().st_mtime_ns for p in whole_before} == whole_before
    assert not list(store.folder.glob("runs/*.unfinished"))
    for one, other in zip(store.runs(), undisturbed.runs(), strict=True):
        for name, value in one.dynamics().items():
            np.testing.assert_array_equal(value, other.dynamics()[name], name)


def test_a_run_that_diverges_is_a_failed_run_and_no_number(table: Path, tmp_path: Path) -> None:
    study = asked(
        table, training={"epochs": 3, "optimizer": "sgd", "lr": 1e30, "schedule": "constant"}, seeds=1
    )
    store = compare(study, tmp_path / "out", Silent())
    failures = [stored.failure for stored in store.runs()]
    assert len(failures) == 2
    assert all(failure and "not finite" in failure for failure in failures)
    assert store.results() == []


def test_free_choices_are_those_of_the_definitions(table: Path, tmp_path: Path) -> None:
    store = compare(asked(table, seeds=1, methods=["ce"]), tmp_path / "out", Silent())
    found = values(store)
    (stored,) = store.runs()
    p = stored.predictions("test")
    train = np.asarray(stored.facts()["counts"]["train"], dtype=float)
    prior = train / train.sum()

    def accuracy(probability: np.ndarray) -> float:
        return float((probability.argmax(1) == p.target).mean())

    adjusted = p.probability / prior
    estimate = prior
    for _ in range(20_000):  # Saerens et al. 2002, eq. 3.1, to its fixed point
        moved = p.probability * estimate / prior
        estimate = (moved / moved.sum(1, keepdims=True)).mean(0)
    key = ("0", "0", "test", "accuracy")
    assert found["ce + logit adjustment", *key] == pytest.approx(accuracy(adjusted))
    assert found["ce + prior shift", *key] == pytest.approx(accuracy(p.probability * estimate / prior))
    assert found["ce + temperature", *key] == pytest.approx(accuracy(p.probability))
    assert found["ce + temperature", "0", "0", "val", "ece"] != found["ce", "0", "0", "val", "ece"]


def test_folds_test_every_sample_once(table: Path, tmp_path: Path) -> None:
    store = compare(asked(table, folds=3, seeds=1, methods=["ce"]), tmp_path / "out", Silent())
    tested = np.concatenate([stored.predictions("test").index for stored in store.runs()])
    assert sorted(tested.tolist()) == list(range(120))


def test_the_plain_method_is_always_there(table: Path) -> None:
    assert [str(m) for m in with_baseline(asked(table, methods=["focal"])).methods] == ["ce", "focal"]
    assert with_baseline(asked(table)) == asked(table)
    assert baseline(asked(table, methods=["focal", "ce"])) == "ce"
    assert baseline(asked(table, methods=["focal", "low"])) == "focal"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"methods": ["ce", "lowe"]}, "unknown method 'lowe'. Did you mean 'low'?"),
        ({"methods": ["focal(gamma=x)"]}, "gamma must be a finite number of at least 0, got 'x'"),
        ({"methods": ["low(lam=true)"]}, "lam must be a finite number above 0, got True"),
        ({"methods": ["low(loss=3)"]}, "expected a word such as focal or focal(gamma=2), got 3"),
        ({"methods": ["importance-sampling(presample=2.5)"]}, "presample must be a whole number"),
        ({"methods": ["mentornet(seed=-1)"]}, "seed must be a whole number of at least 0, got -1"),
        ({"methods": ["focal(lrate=1)"]}, "Did you mean 'lr'"),
        ({"methods": ["low(lamda=1)"]}, "unknown parameter of method 'low' 'lamda'. Did you mean 'lam'?"),
        ({"methods": ["low(lam=-1)"]}, "lam must be a finite number above 0, got -1"),
        ({"methods": ["low(loss=focall)"]}, "unknown loss 'focall'. Did you mean 'focal'?"),
        ({"model": "lenet6"}, "unknown model 'lenet6'. Did you mean 'lenet5'?"),
        ({"model": "mlp(hiden=[3])"}, "unknown parameter of model 'mlp' 'hiden'. Did you mean 'hidden'?"),
        ({"model": "no_such_package:make"}, "no_such_package"),
        ({"critical": ["yess"]}, "unknown class 'yess'. Did you mean 'yes'?"),
        ({"critical": ["yes", "no", "maybe"]}, "every class is critical"),
        ({"folds": 13}, "13 folds"),
        ({"training": {"monitor": "val_aucc"}}, "unknown monitor 'val_aucc'. Did you mean 'val_auc'?"),
        ({"training": {"augment": "crop"}}, "the data is a table"),
        ({"data": {"source": "nowhere.npz"}}, "nowhere.npz: no such file"),
    ],
)
def test_every_mistake_is_told_before_anything_is_written(
    table: Path, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as error:
        compare(asked(table, **changed), tmp_path / "out", Silent())
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


def test_validation_is_needed_by_those_who_use_it(table: Path, tmp_path: Path) -> None:
    data = {"source": str(table), "val_fraction": 0}
    with pytest.raises(InputError, match="need validation samples"):
        compare(asked(table, data=data, training={"keep": "best"}), tmp_path / "out", Silent())
    store = compare(asked(table, data=data, training={"epochs": 1}, seeds=1), tmp_path / "out", Silent())
    assert {row["split"] for row in store.results()} == {"test"}


def test_study_facts_say_what_the_data_are(table: Path, tmp_path: Path) -> None:
    store = compare(asked(table, seeds=1), tmp_path / "out", Silent(), command="steelyard compare x")
    facts = json.loads((store.folder / "facts.json").read_text())
    assert facts["classes"] == sorted(facts["classes"])
    by_name = dict(zip(facts["classes"], facts["counts"]["all"], strict=True))
    assert by_name == {"no": 80, "maybe": 28, "yes": 12}
    assert facts["command"] == "steelyard compare x"
    assert isinstance(Study.model_validate_json(store.study.model_dump_json()), Study)


def test_a_rehearsal_is_held_once_and_changes_no_other_method(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed in an epoch goes on with what it has learned; its time counts the rehearsal."""
    held: list[str] = []
    monkeypatch.setattr(running, "rehearse", lambda *given: (held.append("once"), rehearse(*given)))
    words = ["ce", "mentornet(clean=0.2, burn_in=0.25)"]
    plain = compare(asked(table, seeds=1), tmp_path / "plain", Silent())
    study = asked(table, methods=words, seeds=1)
    whole = compare(study, tmp_path / "whole", Silent())
    ce = [one.predictions("test").logits for one in (plain.runs()[0], whole.runs()[0])]
    np.testing.assert_array_equal(*ce)
    assert held == ["once"]

    class Killed(Exception):  # noqa: N818 - stands for a kill signal
        pass

    class Killing(Silent):
        def epoch(self, run: Run, row: dict[str, float]) -> None:
            if run.method.name == "mentornet" and row["epoch"] == 2:
                raise Killed

    with pytest.raises(Killed):
        compare(study, tmp_path / "killed", Killing())
    resumed = compare(study, tmp_path / "killed", Silent())
    assert held == ["once"] * 2
    np.testing.assert_equal(values(resumed), values(whole))
    facts, history = resumed.runs()[1].facts(), resumed.runs()[1].history()
    assert facts["seconds"] > sum(row["seconds"] for row in history)


def test_methods_that_make_up_for_frequencies_are_known() -> None:
    words = ["ce", "balanced-ce", "ldam", "low(loss=logit-adjusted(tau=2))", "focal", "refit", "weighted-svm"]
    assert [word for word in words if balances(Word.parse(word))] == [words[1], words[2], words[3], words[6]]
