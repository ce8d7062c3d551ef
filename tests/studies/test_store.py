import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steelyard._checks import InputError
from steelyard.records import Predictions
from steelyard.studies.config import Run, Study
from steelyard.studies.store import Store, fresh_folder, write_rows

ASKED = Study(data={"source": "digits"}, methods=["ce", "low(lam=0.1)"], seeds=2)


def finish(store: Store, run: Run) -> None:
    folder = store.unfinished_folder(run)
    fresh_folder(folder)
    Predictions(np.eye(3), np.arange(3), np.arange(3)).save(folder / "test.npz")
    store.finish(run)


def test_a_run_is_missing_until_it_is_whole(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", ASKED)
    first = ASKED.runs()[0]
    assert store.missing() == ASKED.runs()
    fresh_folder(store.unfinished_folder(first))
    assert store.missing() == ASKED.runs()
    finish(store, first)
    assert store.missing() == ASKED.runs()[1:]
    (stored,) = store.runs()
    assert stored.run == first
    assert stored.failure is None
    np.testing.assert_array_equal(stored.predictions("test").logits, np.eye(3))


def test_runs_of_different_parameters_have_different_folders(tmp_path: Path) -> None:
    store = Store.create(tmp_path, ASKED)
    words = ["low(lam=0.1)", "low(lam=0.10, loss=focal)", "low(lam=1)", "low"]
    folders = {store.run_folder(Run(method=w, seed=s, fold=f)) for w in words for s in (0, 1) for f in (0, 1)}
    assert len(folders) == 16


def test_methods_and_seeds_may_be_added_to_a_study(tmp_path: Path) -> None:
    finish(Store.create(tmp_path, ASKED), ASKED.runs()[0])
    more = Study(data={"source": "digits"}, methods=["ce", "focal"], seeds=3)
    store = Store.create(tmp_path, more)
    assert len(store.runs()) == 1
    assert len(store.missing()) == 5


def test_a_method_is_the_same_however_its_parameters_are_ordered(tmp_path: Path) -> None:
    known = Study(data={"source": "digits"}, methods=["low(lam=0.1, loss=focal(lr=1, gamma=2))"], seeds=1)
    finish(Store.create(tmp_path, known), known.runs()[0])
    again = Study(
        data={"source": "digits"}, methods=["ce", "low(loss=focal(gamma=2, lr=1), lam=0.1)"], seeds=1
    )
    store = Store.create(tmp_path, again)
    assert [str(run.method) for run in store.missing()] == ["ce"]
    assert list(map(str, store.study.methods)) == ["ce", str(known.methods[0])]


def test_another_study_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    Store.create(tmp_path, ASKED)
    before = (tmp_path / "study.yaml").read_bytes()
    other = Study(data={"source": "mnist"}, training={"epochs": 5})
    with pytest.raises(
        InputError, match=r"another study \(data\.source was 'digits', is 'mnist'; training\.epochs"
    ):
        Store.create(tmp_path, other)
    assert (tmp_path / "study.yaml").read_bytes() == before


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(InputError, match="is not empty and holds no study"):
        Store.create(tmp_path, ASKED)
    with pytest.raises(InputError, match=r"holds no study \(no study\.yaml\)"):
        Store(tmp_path)


def test_two_processes_do_not_work_on_one_study(tmp_path: Path) -> None:
    store = Store.create(tmp_path, ASKED)
    code = f"""
from pathlib import Path
from steelyard.studies.store import Store
with Store(Path({str(tmp_path)!r})).locked():
    pass
"""
    with store.locked():
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "another steelyard is at work in" in other.stderr
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_study_that_is_worked_on_is_left_as_it_was(tmp_path: Path) -> None:
    store = Store.create(tmp_path, ASKED)
    more = Study(data={"source": "digits"}, methods=["focal"], seeds=3)
    with store.locked(), pytest.raises(InputError, match="another steelyard is at work"):
        Store.create(tmp_path, more)
    assert Store(tmp_path).study == ASKED


def test_rows_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_rows(path, ["a"], [{"a": 1}])
    with pytest.raises(ValueError, match="dict contains fields not in fieldnames"):
        write_rows(path, ["a"], [{"a": 2}, {"b": 3}])
    assert path.read_text() == "a\n1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]
