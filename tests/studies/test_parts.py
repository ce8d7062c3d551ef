"""A part without the classes that a study needs there is refused before the first training, or noted."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.studies.conftest import Silent, asked

from steelyard import InputError
from steelyard.data import Dataset, Split, read
from steelyard.records import Predictions
from steelyard.studies import run as running
from steelyard.studies.compare import compare
from steelyard.studies.decisions import Scores, choose, decided
from steelyard.studies.evaluate import measures
from steelyard.studies.parts import absent, check_parts
from steelyard.studies.predict import OperatingPoint, write_predictions

if TYPE_CHECKING:
    from steelyard.studies.config import Run, Study

CLASSES = ("a", "b", "bad")
EACH = (12, 12, 12)
PLAN = {"train": EACH, "val": EACH, "test": EACH}


def parted(folder: Path, **changed: tuple[int, ...]) -> Path:
    """Samples of three classes, as many of each in each part as it says."""
    plan = PLAN | changed
    y = np.concatenate([np.repeat(range(3), counts) for counts in plan.values()])
    part = np.concatenate([[name] * sum(counts) for name, counts in plan.items()])
    X = np.random.default_rng(0).normal(size=(len(y), 4)) + y[:, None]
    path = folder / f"{plan}.npz"  # read once by its name
    np.savez(path, X=X, y=np.array(CLASSES)[y], split=part)
    return path


def quick(path: Path, **changed: Any) -> Study:
    values = {"methods": ["ce"], "critical": ["bad"], "training": {"epochs": 1, "batch_size": 32}}
    return asked(path, **values | changed)


@pytest.mark.parametrize(
    ("critical", "counts", "message"),
    [
        (
            ["bad"],
            (20, 5, 0),
            "of the 25 samples of the validation part none is critical ('bad'), the training part has 12",
        ),
        (["b", "bad"], (20, 0, 0), "none is critical ('b', 'bad'), the training part has 24"),
        (
            ["bad"],
            (0, 0, 9),
            "of the 9 samples of the validation part none is not critical (all are of 'bad')",
        ),
    ],
)
def test_a_validation_part_without_one_side_is_refused(
    tmp_path: Path, critical: list[str], counts: tuple[int, ...], message: str
) -> None:
    path, listener = parted(tmp_path, val=counts), Silent()
    with pytest.raises(InputError) as error:
        compare(quick(path, critical=critical), tmp_path / "out", listener)
    assert message in str(error.value)
    assert "; put some there, or leave that part out of the source" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_parts_that_hold_one_sample_of_each_side_or_are_not_used_pass(tmp_path: Path) -> None:
    both = quick(parted(tmp_path, val=(0, 1, 1)))
    compare(both, tmp_path / "both", Silent())
    path = parted(tmp_path, val=(20, 5, 0))
    unused = quick(path, data={"source": str(path), "val_fraction": 0})
    compare(unused, tmp_path / "unused", Silent())


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_every_part_of_every_seed_fold_and_member_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    path = parted(tmp_path)
    dataset, study = read(str(path)), quick(path, ensemble=2)
    split_of, last = running.split_of, study.runs()[-1]
    bad = CLASSES.index("bad")

    def thinner(study: Study, dataset: Dataset, run: Run) -> Split:
        rows = split_of(study, dataset, run)
        kept = getattr(rows, part)[dataset.target.numpy()[getattr(rows, part)] != bad]
        return replace(rows, **{part: kept}) if run == last else rows

    monkeypatch.setattr(running, "split_of", thinner)
    with pytest.raises(InputError, match=r"part none is critical \('bad'\)"):
        compare(study, tmp_path / "out", Silent())
    searched = study.model_copy(update={"tested": False})
    if part == "test":  # which a search does not use
        check_parts(searched, dataset, [bad], thinner(searched, dataset, last))


@settings(deadline=None, max_examples=30)
@given(
    present=st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=6),
    multilabel=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_monitor_is_refused_just_where_no_model_would_give_it_a_value(
    present: list[tuple[bool, ...]], multilabel: bool, seed: int
) -> None:
    """Of any measure: on random predictions of the same samples it is NaN exactly then."""
    labels = np.array(present, dtype=np.int64)
    val = labels if multilabel else labels.argmax(axis=1)
    everything = np.concatenate([val, np.eye(3, dtype=np.int64) if multilabel else np.arange(3)])
    target = torch.from_numpy(everything)
    dataset = Dataset("toy", torch.zeros(len(target), 1, 8, 8, dtype=torch.uint8), target, CLASSES)
    rows = Split(np.arange(len(val), len(target)), np.arange(len(val)), np.arange(len(val), len(target)))
    logits = np.random.default_rng(seed).normal(size=(len(val), 3))
    found = measures(Predictions(logits, val, np.arange(len(val))), CLASSES, [], 0.95)
    for name, value in found.items():
        study = asked(Path("toy.npz"), critical=[], training={"monitor": f"val_{name}"})
        if math.isnan(value):
            with pytest.raises(InputError, match="has no value, as the validation part has no sample"):
                check_parts(study, dataset, [], rows)
        else:
            check_parts(study, dataset, [], rows)


def test_a_class_that_a_part_lacks_is_noted_once(tmp_path: Path) -> None:
    store = compare(quick(parted(tmp_path, val=(20, 5, 0)), critical=[]), tmp_path / "out", Silent())
    about = [note for note in store.facts()["notes"] if "no sample" in note]
    assert about == ["the validation part has no sample of 'bad'; what is measured there leaves that out"]
    whole = compare(quick(parted(tmp_path), critical=[]), tmp_path / "whole", Silent())
    assert not [note for note in whole.facts()["notes"] if "no sample" in note]
    monitored = quick(parted(tmp_path, val=(20, 5, 0)), critical=[], training={"monitor": "val_recall[bad]"})
    with pytest.raises(InputError, match=r"monitor val_recall\[bad\] has no value, .* no sample of 'bad'"):
        compare(monitored, tmp_path / "no", Silent())


def test_labels_that_all_or_no_samples_have_are_told() -> None:
    target = torch.tensor([[1, 0], [1, 0], [0, 1]])
    dataset = Dataset("toy", torch.zeros(3, 1, 8, 8, dtype=torch.uint8), target, ("x", "y"))
    assert absent(dataset, np.array([0, 1])) == ["of 'y'", "without 'x'"]
    assert absent(dataset, np.arange(3)) == []


def test_without_a_threshold_nothing_is_decided(tmp_path: Path) -> None:
    predictions = Predictions(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1, 0]), np.arange(2))
    study, scores = quick(Path("toy.npz")), Scores.of(predictions, [1])
    found = decided(scores, 0.0, study)
    assert (found["sensitivity"], found["false_alarm_rate"]) == (1.0, 0.0)
    with pytest.raises(InputError, match="expected a threshold, got NaN"):
        decided(scores, math.nan, study)
    assert choose(Scores(np.zeros(3, bool), np.arange(3.0)), study) is None
    path = parted(tmp_path, val=(20, 5, 0))
    (stored,) = compare(quick(path, critical=[], seeds=1), tmp_path / "out", Silent()).runs()
    new = tmp_path / "new.npz"
    np.savez(new, X=np.zeros((3, 4)))
    with pytest.raises(
        InputError, match="of the 25 samples of the run that were held out from training none is of 'bad'"
    ):
        write_predictions(
            stored.folder, str(new), tmp_path / "p.csv", point=OperatingPoint(critical=["bad"]), device="cpu"
        )
    assert not (tmp_path / "p.csv").exists()
    point = OperatingPoint(critical=["a"])
    assert write_predictions(stored.folder, str(new), tmp_path / "p.csv", point=point, device="cpu")[0] == 3
