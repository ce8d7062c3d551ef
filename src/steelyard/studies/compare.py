"""A comparison: every run that the store lacks is trained, then everything is evaluated."""

from __future__ import annotations

import functools
import inspect
import os
import platform
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Protocol

import torch

from steelyard import _checks as check
from steelyard import catalog
from steelyard.data import content_hashes
from steelyard.studies import run as running
from steelyard.studies.config import Data, Run, Study
from steelyard.studies.evaluate import evaluate
from steelyard.studies.parts import check_parts, notes_on_parts
from steelyard.studies.phases import base_and_control, each_training_once, phases_of, with_controls
from steelyard.studies.store import Store, StoredRun, fresh_folder
from steelyard.words import Word

if TYPE_CHECKING:
    from pathlib import Path

    from steelyard.data import Dataset


class Listener(Protocol):
    """Whoever wants to know how a comparison goes."""

    def start(self, missing: list[Run], there: int) -> None:
        """Training of the ``missing`` runs begins; ``there`` are finished already."""

    def epoch(self, run: Run, row: dict[str, float]) -> None:
        """An epoch of ``run`` is over (not told by worker processes)."""

    def finished(self, stored: StoredRun) -> None:
        """A run is whole."""


def compare(
    asked: Study,
    folder: Path,
    listener: Listener,
    *,
    workers: int = 1,
    device: str = "auto",
    command: str = "",
) -> Store:
    """Bring the study ``asked`` to its end in ``folder`` and return its store.

    Everything that a user may have got wrong is checked before the first training.

    Raises:
        InputError: for data, methods, models or settings that cannot be used.
    """
    check.whole("workers", workers, 1)
    where = running.pick_device(device)
    dataset = read_once(asked.data.model_dump_json())
    check_runs(asked, dataset)
    critical = running.critical_classes(asked, dataset)
    named = {"critical": tuple(dataset.classes[c] for c in critical)}  # as the data calls them
    store = Store.create(folder, asked.model_copy(update=named))
    with store.locked():
        store.write_facts(study_facts(store.study, dataset, command, where))
        store.write_names(dataset.sample)
        if dataset.group is not None:
            store.write_groups(dataset.group)
        if store.hashes() is None:  # files are read for it, so once
            store.write_hashes(content_hashes(dataset, asked.data.source))
        train_missing(store, listener, workers, device)
        store.write_results(evaluate(store))
    return store


def train_missing(store: Store, listener: Listener, workers: int, device: str) -> None:
    """Train every run of the study that ``store`` lacks."""
    missing = store.missing()
    listener.start(missing, len(store.study.runs()) - len(missing))
    if workers > 1 and len(missing) > 1:
        _in_processes(store, missing, workers, device, listener)
    else:
        for one in missing:
            bring_to_end(store, one, running.pick_device(device), functools.partial(listener.epoch, one))
            listener.finished(StoredRun(one, store.run_folder(one)))
    for checkpoint in store.folder.glob(f"runs/*/{running.FIRST_PHASE}"):
        checkpoint.unlink()


def bring_to_end(store: Store, run: Run, device: torch.device, on_epoch: Any = lambda _: None) -> None:
    """Train ``run`` from where it stands and declare it whole."""
    unfinished = store.unfinished_folder(run)
    if not (unfinished / "unfinished.pt").exists():
        fresh_folder(unfinished)
        for base in base_and_control(run.method)[:1]:
            begun = _beside(store, run, base).folder / running.FIRST_PHASE
            if begun.exists():  # the same to the last bit as training that phase once more
                shutil.copy(begun, unfinished / "unfinished.pt")
    dataset = read_once(store.study.data.model_dump_json())
    running.train_run(store.study, run, dataset, unfinished, device, on_epoch, _plain(store, run))
    store.finish(run)


def _plain(store: Store, run: Run) -> StoredRun | None:
    """The finished plain run that ``run`` learns a last layer on, if it does and the store holds that run."""
    method = catalog.plain_of(run.method)
    if method is None:
        return None
    stored = _beside(store, run, method)
    return stored if (stored.folder / "model.pt").exists() else None


def _beside(store: Store, run: Run, method: Word) -> StoredRun:
    """The run of ``method`` on the samples of ``run``, where it is kept, whole or not.

    Folders go by a word's text, so the study's own word is taken, which may order its parameters otherwise.
    """
    named = next((own for own in store.study.methods if own == method), method)
    other = run.model_copy(update={"method": named})
    return StoredRun(other, store.run_folder(other))


@functools.lru_cache(maxsize=1)
def read_once(data: str) -> Dataset:
    """Read the samples of a study's data, given as JSON; the runs of one process share them."""
    return running.load(Data.model_validate_json(data))


def check_runs(asked: Study, dataset: Dataset) -> None:
    """Split for every seed and fold and build every method once, so that no mistake shows up after hours."""
    first = asked.runs()[0]
    running.check_recipe(asked, dataset)
    critical = running.critical_classes(asked, dataset)
    for one in asked.runs():
        if one.method == first.method:
            rows = running.split_of(asked, dataset, one)
            check_parts(asked, dataset, critical, rows)
        if one.model_copy(update={"method": first.method}) == first:
            running.prepare(asked.of(one), dataset, one, rows)


def study_facts(asked: Study, dataset: Dataset, command: str, device: torch.device) -> dict[str, Any]:
    """What the page says of the data and of how the study was made."""
    rows = running.split_of(asked, dataset, asked.runs()[0])
    parts = running.counts_of_parts(dataset, rows)
    return {
        "name": dataset.name,
        "kind": "image" if dataset.is_image else "table",
        "classes": list(dataset.classes),
        "superclass": list(dataset.superclass),
        "critical": running.critical_classes(asked, dataset),
        "phases": phases_of(asked, two_classes=_has_two_classes(dataset)),
        "added": asked.added,
        "multilabel": dataset.multilabel,
        "baseline": baseline(asked, catalog.task_of(multilabel=dataset.multilabel)),
        "balancing": [str(method) for method in asked.methods if balances(method)],
        "notes": [*dataset.notes, *notes_on_parts(asked, dataset, rows)],
        "grouped": dataset.group is not None,
        **parts,
        "counts": {"all": dataset.counts().tolist()} | parts["counts"],
        "versions": {name: version(name) for name in ("steelyard", "torch", "numpy", "scikit-learn")}
        | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, {device.type}",
        "command": command,
    }


def completed(asked: Study) -> Study:
    """``asked`` with what no comparison goes without: the plain baseline, and the controls of phases."""
    two_classes = _has_two_classes(read_once(asked.data.model_dump_json()))
    whole = with_baseline(each_training_once(asked) if two_classes else asked)
    return with_controls(whole, two_classes=two_classes)


def _has_two_classes(dataset: Dataset) -> bool:
    return len(dataset.classes) == 2 and not dataset.multilabel


def with_baseline(asked: Study) -> Study:
    """``asked`` with the plain method in front, if it holds none: no comparison goes without.

    Where no methods were asked for, they are those that fit the data.
    """
    task = catalog.task_of(multilabel=read_once(asked.data.model_dump_json()).multilabel)
    if "methods" not in asked.model_fields_set:
        return asked.model_copy(update={"methods": tuple(map(Word, task.methods))})
    if any(method.name == task.baseline for method in asked.methods):
        return asked
    added = {task.baseline: "the plain baseline", **asked.added}
    return asked.model_copy(update={"methods": (Word(task.baseline), *asked.methods), "added": added})


def balances(method: Word) -> bool:
    """Whether the training of ``method`` makes up for the classes' frequencies, by itself or by its loss.

    >>> balances(Word.parse("low(loss=balanced-ce)")), balances(Word.parse("low")), balances(Word("smote"))
    (True, False, True)
    """
    if method.name in catalog.REFITS:
        return method.name != "refit"  # which resamples nothing
    counted = "class_counts" in inspect.signature(catalog.METHODS[method.name]).parameters
    return counted or ("loss" in method.params and balances(Word.of(method.params["loss"])))


def baseline(asked: Study, task: catalog.Task = catalog.ONE_CLASS) -> str:
    """The method that all others are compared with: the plain one where it is there, else the first."""
    plain = [method for method in asked.methods if method.name == task.baseline]
    return str((*plain, *asked.methods)[0])


def _in_processes(store: Store, missing: list[Run], workers: int, device: str, listener: Listener) -> None:
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        tasks = {pool.submit(_in_this_process, store.folder, one, device): one for one in missing}
        try:
            for task in as_completed(tasks):
                task.result()
                listener.finished(StoredRun(tasks[task], store.run_folder(tasks[task])))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _in_this_process(folder: Path, run: Run, device: str) -> None:
    bring_to_end(Store(folder), run, running.pick_device(device))
