"""Trained models judged on new samples: nothing is trained, and nothing is chosen on them."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard import _checks as check
from steelyard._files import write_text
from steelyard.studies.config import Data
from steelyard.studies.decisions import Scores, choose
from steelyard.studies.evaluate import evaluate, in_use, measures
from steelyard.studies.newdata import read_new, unseen
from steelyard.studies.outcomes import (
    changed,
    changes,
    ensemble_name,
    ensembles,
    kept_scores,
    promisable,
    scores_of_members,
)
from steelyard.studies.predict import kept_thresholds, open_run, restore
from steelyard.studies.store import Store, fresh_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from steelyard.data import Dataset
    from steelyard.records import Predictions
    from steelyard.studies.config import Study
    from steelyard.studies.decisions import Thresholds
    from steelyard.studies.newdata import NewData, Samples
    from steelyard.studies.store import StoredRun

_KEPT = ("config.json", "facts.json", "history.csv", "val.npz", "failure.txt")  # of a run that is confirmed


@dataclass(frozen=True, eq=False)
class Judged:
    """What a trained model says of new samples, with the thresholds that training chose."""

    stored: StoredRun
    store: Store
    name: str  # the method, and what was changed after its training
    data: str  # name of the new data
    predictions: Predictions
    group: NDArray[np.int64] | None  # of every row of the new data
    thresholds: Thresholds | None  # None without critical classes, or without held-out samples
    notes: tuple[str, ...]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by class number."""
        return [str(name) for name in self.store.facts()["classes"]]

    @property
    def critical(self) -> list[int]:
        """Numbers of the classes that must not be missed."""
        return [int(number) for number in self.store.facts()["critical"]]

    def figures(self) -> dict[str, float]:
        """Every measure by name; NaN where the samples give none."""
        study = self.store.study
        found = measures(self.predictions, self.classes, self.critical, study.at_tpr)
        if self.thresholds is not None:
            scores = Scores.of(self.predictions, self.critical, self.group)
            found |= in_use(scores, self.thresholds, study)
        return found


def judge(model: Path, new: NewData, how: str | None = None, *, device: str) -> Judged:
    """The model kept in ``model`` on the samples of ``new``.

    Args:
        model: folder of a run, or of a study with one run.
        new: the samples.
        how: the change of predictions and held-out scores, as of
            :func:`steelyard.studies.outcomes.changed`.
        device: where to compute.

    Raises:
        InputError: if there is no such model, the samples do not fit it, or it was trained on them.
    """
    stored, store = open_run(model)
    restored = restore(stored, device)
    samples = unseen([stored], store, read_new(stored, store, new), restored.encoding, new)
    batches = restored.batches(samples.dataset, samples.rows, restored.encoding.target)
    predictions = changed(stored, restored.predictions(batches), how)
    critical, thresholds, notes = store.facts()["critical"], None, list(samples.notes)
    if critical and kept_scores(store, stored, critical, how) is not None:
        thresholds = kept_thresholds(store, stored, critical, how=how)
    elif critical:
        notes.append("no threshold: the run has no held-out samples that could choose one")
    name = f"{stored.run.method} + {how}" if how else str(stored.run.method)
    said = (*notes, *_absent(predictions, store.facts()["classes"]))
    dataset = samples.dataset
    return Judged(stored, store, name, dataset.name, predictions, dataset.group, thresholds, said)


def several_models(folder: Path) -> bool:
    """Whether ``folder`` is that of a study with more than one trained model."""
    return (folder / "study.yaml").exists() and len(list(folder.glob("runs/*/model.pt"))) > 1


def judge_study(store: Store, new: NewData, out: Path, *, device: str, command: str) -> tuple[Store, Dataset]:
    """Every model of ``store`` on the samples of ``new``: a study of the same runs in ``out``, and the data.

    What is judged there is what the page of a comparison shows, with the predictions for the new samples as
    those of the test. Thresholds are those of ``store``, and so is what validation chose.

    Raises:
        InputError: as :func:`judge`, or if ``store`` holds no finished comparison.
    """
    runs = [stored for stored in store.runs() if stored.failure is None]
    if not runs or not (store.folder / "results.csv").exists():
        raise check.InputError(
            f"{store.folder} holds no finished comparison; run it again, it goes on where it stood."
        )
    encoding = restore(runs[0], "cpu").encoding
    samples = unseen(runs, store, read_new(runs[0], store, new), encoding, new)
    target = Store.create(out, _confirming(store, new, samples))
    with target.locked():
        for stored in store.runs():
            found = _predicted(stored, samples, device) if stored.failure is None else None
            _keep(target, stored, found)
        for stored, thresholds in _thresholds(store):
            write_text(target.run_folder(stored.run) / "thresholds.json", json.dumps(thresholds))
        predictions = next(one.predictions("test") for one in target.runs() if one.failure is None)
        target.write_facts(_facts(store, samples, predictions, command))
        target.write_names(samples.dataset.sample)
        if samples.dataset.group is not None:
            target.write_groups(samples.dataset.group)
        validated = [row for row in store.results() if row["split"] == "val"]  # they choose the method
        target.write_results([*evaluate(target), *validated])
    return target, samples.dataset


def _confirming(store: Store, new: NewData, samples: Samples) -> Study:
    """The study of the same runs on the new samples, all of which are its test part."""
    asked = store.study
    data = Data(
        source=new.source,
        target=new.target or asked.data.target,
        group=new.group or (asked.data.group if samples.grouped else None),
        metadata=new.metadata,
        image_size=asked.data.image_size,
        colour=asked.data.colour,
        skip_unreadable=new.skip_unreadable,
        val_fraction=0,
    )
    return asked.model_copy(
        update={"data": data, "folds": asked.folds, "tested": True, "confirms": str(store.folder)}
    )


def _predicted(stored: StoredRun, samples: Samples, device: str) -> Predictions:
    restored = restore(stored, device)
    return restored.predictions(
        restored.batches(samples.dataset, samples.rows, restored.encoding.target)
    ).in_order()


def _keep(target: Store, stored: StoredRun, found: Predictions | None) -> None:
    """Put a run beside its predictions for the new samples; in place of what is there of it."""
    unfinished, whole = target.unfinished_folder(stored.run), target.run_folder(stored.run)
    fresh_folder(unfinished)
    for name in _KEPT:
        if (stored.folder / name).exists():
            shutil.copy(stored.folder / name, unfinished / name)
    if found is not None:
        found.save(unfinished / "test.npz")
    shutil.rmtree(whole, ignore_errors=True)
    target.finish(stored.run)


def _thresholds(store: Store) -> Iterator[tuple[StoredRun, dict[str, Any]]]:
    """For each run what its held-out scores choose for new data, by the name of what it is for.

    The first member of an ensemble holds that of the ensemble as well.
    """
    critical, study, group = store.facts()["critical"], store.study, store.groups()
    if not critical:
        return
    finished = [stored for stored in store.runs() if stored.failure is None]
    confirming = study.model_copy(update={"confirms": str(store.folder)})
    whole = {str(members[0].folder): members for members in ensembles(finished, confirming)}
    for stored in finished:
        chosen = {
            f"{stored.run.method} + {how}" if how else str(stored.run.method): kept_scores(
                store, stored, critical, how
            )
            for how in (None, *changes(stored))
        }
        members = whole.get(str(stored.folder))
        if members is not None:
            held_out = "test" if study.folds else "val"
            chosen[ensemble_name(members)] = scores_of_members(members, critical, group, held_out)
        found = {
            name: choose(scores, promisable(study, name))
            for name, scores in chosen.items()
            if scores is not None
        }
        yield stored, {name: asdict(one) for name, one in found.items() if one is not None}


def _facts(store: Store, samples: Samples, predictions: Predictions, command: str) -> dict[str, Any]:
    """What the page says: of the study what holds on, of the samples what is new."""
    old, dataset = store.facts(), samples.dataset
    counts = _counts(predictions, len(old["classes"]))
    critical = f", {sum(counts[c] for c in old['critical'])} of them critical" if old["critical"] else ""
    about = (
        f"a confirmation on new data, {len(predictions.target)} samples{critical}: models, thresholds and "
        f"the choice of the method are those of the study of {old['name']} in {store.folder}"
    )
    found = old | {
        "name": f"{dataset.name}, new data for the study of {old['name']}",
        "notes": [about, *samples.notes, *_absent(predictions, old["classes"])],
        "grouped": samples.grouped,
        "counts": old["counts"] | {"all": counts, "test": counts},
        "command": command,
    }
    if "samples" in old:
        found["samples"] = old["samples"] | {"test": len(predictions.target)}
    return found


def _counts(predictions: Predictions, classes: int) -> list[int]:
    if predictions.multilabel:
        return [int(count) for count in predictions.target.sum(axis=0)]
    return [int(count) for count in np.bincount(predictions.target, minlength=classes)]


def _absent(predictions: Predictions, classes: Sequence[str]) -> list[str]:
    """Why some measures have no value: the classes that no sample has."""
    counts = _counts(predictions, len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if not absent:
        return []
    note = f"none of the {len(predictions.target)} samples is of {', '.join(map(repr, absent))}"
    return [f"{note}: what such samples measure has no value, and means over classes are over the others"]
