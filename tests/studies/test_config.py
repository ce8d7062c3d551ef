import os
from pathlib import Path

import pytest

from steelyard._checks import InputError
from steelyard.studies.config import Study, as_yaml, read_study, study


def test_yaml_reads_back_as_the_same_study(tmp_path: Path) -> None:
    asked = study(
        {
            "data": {"source": "digits", "imbalance": "step(ratio=20)", "image_size": [48, 64]},
            "methods": ["ce", {"name": "low", "lam": 0.01, "loss": {"name": "focal", "gamma": 1}}],
            "model": "mlp(hidden=[32])",
            "training": {"epochs": 3, "milestones": [0.3, 0.6]},
            "critical": ["3"],
        }
    )
    (tmp_path / "study.yaml").write_text(as_yaml(asked), encoding="utf-8")
    assert study(read_study(tmp_path / "study.yaml")) == asked
    assert str(asked.methods[1]) == "low(lam=0.01, loss=focal(gamma=1))"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {}}, "data.source: Field required"),
        ({"data": {"source": "d", "tarjet": 1}}, "unknown key 'tarjet'. Did you mean 'target'?"),
        ({"data": {"source": "d"}, "method": ["ce"]}, "unknown key 'method'. Did you mean 'methods'?"),
        (
            {"data": {"source": "d"}, "training": {"lr": 0}},
            "training.lr: Input should be greater than 0, got 0",
        ),
        ({"data": {"source": "d"}, "training": {"lrr": 1}}, "unknown key 'lrr'. Did you mean 'lr'?"),
        ({"data": {"source": "d"}, "methods": ["ce", "ce"]}, "method named twice: ce"),
        (
            {"data": {"source": "d"}, "methods": ["low(lam=1, loss=ce)", "low(loss=ce, lam=1.0)"]},
            "method named twice: low(loss=ce, lam=1.0)",
        ),
        ({"data": {"source": "d"}, "critical": [1]}, "each in quotes, as in ['1'], got [1]"),
        (
            {"data": {"source": "d"}, "critical": 1},
            "critical must be a list of names, each in quotes, as in ['1'], got 1",
        ),
        (
            {"data": {"source": "d"}, "critical": [False]},
            "as in ['no'] (YAML reads yes, no, on and off as true and false), got [False]",
        ),
        (
            {"data": {"source": "d", "classes": "no"}},
            "data.classes must be a list of names, each in quotes, as in ['no'], got 'no'",
        ),
        ({"data": {"source": "d"}, "methods": []}, "expected at least one method"),
        (
            {"data": {"source": "d"}, "methods": ["ce("]},
            "expected 'name' or 'name(key=value, ...)', got 'ce('",
        ),
        (
            {"data": {"source": "d"}, "at_tpr": 95},
            "at_tpr must be a share of at most 1, got 95; give 95 % as 0.95",
        ),
    ],
)
def test_a_wrong_study_is_refused_in_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        study(values)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_runs_are_every_method_of_every_seed_and_fold() -> None:
    asked = Study(data={"source": "d"}, methods=["ce", "focal"], seeds=2, seed=5, folds=3)
    runs = {(str(run.method), run.seed, run.fold) for run in asked.runs()}
    assert runs == {(m, s, f) for m in ("ce", "focal") for s in (5, 6) for f in (0, 1, 2)}
    assert len(asked.runs()) == 12


def test_epochs_are_judged_by_the_critical_classes_where_there_are_any() -> None:
    assert study({"data": {"source": "d"}}).training.monitor == "val_balanced_accuracy"
    assert study({"data": {"source": "d"}, "critical": ["a"]}).training.monitor == "val_auc"
    chosen = study({"data": {"source": "d"}, "critical": ["a"], "training": {"monitor": "val_mean_f1"}})
    assert chosen.training.monitor == "val_mean_f1"


def test_what_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data: [", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("just words", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.yaml is not YAML"):
        read_study(tmp_path / "a.yaml")
    with pytest.raises(InputError, match="to hold keys and values"):
        read_study(tmp_path / "b.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"data: {source: b\xfccher}", "is not YAML: .*invalid start byte"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", r"without aliases \(\*name\)"),
        (b"[" * 5000, "is not YAML"),
        (b"seed: 2020-13-45", r"is not YAML: month must be in 1\.\.12"),
        (b"seed: " + b"9" * 5000, "is not YAML: Exceeds the limit"),
        (b"#" * 200_000, "at most 131072 bytes, got 200000"),
    ],
)
def test_hostile_yaml_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(InputError, match=message) as refusal:
        read_study(tmp_path / "a.yaml")
    assert len(str(refusal.value)) < 1000


def test_studies_that_would_not_end_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match="got a folder, a pipe or a device"):
        read_study(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match=r"at most 100000 trainings, .* = 4000000000"):
        study({"data": {"source": "d"}, "seeds": 10**9})
    with pytest.raises(InputError) as refusal:
        study({"data": {"source": "d"}, "seeds": "x" * 10**6})
    assert len(str(refusal.value)) < 300
