"""A comparison: every run that the store lacks is trained, then everything is evaluated."""

from __future__ import annotations

import functools
import os
import platform
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Protocol

import torch

from steelyard import _checks as check
from steelyard import catalog
from steelyard.studies import run as running
from steelyard.studies.config import Data, Run, Study
from steelyard.studies.evaluate import evaluate
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
    check.at_least("workers", workers, 1)
    where = running.pick_device(device)
    dataset = read_once(asked.data.model_dump_json())
    check_runs(asked, dataset)
    facts = study_facts(asked, dataset, command, where)
    store = Store.create(folder, asked)
    with store.locked():
        store.write_facts(facts)
        if dataset.group is not None:
            store.write_groups(dataset.group)
        missing = store.missing()
        listener.start(missing, len(asked.runs()) - len(missing))
        if workers == 1 or len(missing) < 2:
            for one in missing:
                bring_to_end(store, one, where, functools.partial(listener.epoch, one))
                listener.finished(StoredRun(one, store.run_folder(one)))
        else:
            _in_processes(store, missing, workers, device, listener)
        store.write_results(evaluate(store))
    return store


def bring_to_end(store: Store, run: Run, device: torch.device, on_epoch: Any = lambda _: None) -> None:
    """Train ``run`` from where it stands and declare it whole."""
    unfinished = store.unfinished_folder(run)
    if not (unfinished / "unfinished.pt").exists():
        fresh_folder(unfinished)
    dataset = read_once(store.study.data.model_dump_json())
    running.train_run(store.study, run, dataset, unfinished, device, on_epoch, _plain(store, run))
    store.finish(run)


def _plain(store: Store, run: Run) -> StoredRun | None:
    """The finished plain run that ``run`` learns a last layer on, if it does and the store holds that run."""
    plain = run.model_copy(update={"method": Word(catalog.BASELINE)})
    there = run.method.name in catalog.REFITS and (store.run_folder(plain) / "model.pt").exists()
    return StoredRun(plain, store.run_folder(plain)) if there else None


@functools.lru_cache(maxsize=1)
def read_once(data: str) -> Dataset:
    """Read the samples of a study's data, given as JSON; the runs of one process share them."""
    return running.load(Data.model_validate_json(data))


def check_runs(asked: Study, dataset: Dataset) -> None:
    """Split for every seed and fold and build every method once, so that no mistake shows up after hours."""
    first = asked.runs()[0]
    running.check_recipe(asked, dataset)
    for one in asked.runs():
        if one.method == first.method:
            rows = running.split_of(asked, dataset, one)
        if (one.seed, one.fold) == (first.seed, first.fold):
            running.prepare(asked, dataset, one, rows)


def study_facts(asked: Study, dataset: Dataset, command: str, device: torch.device) -> dict[str, Any]:
    """What the page says of the data and of how the study was made."""
    rows = running.split_of(asked, dataset, asked.runs()[0])
    parts = {part: dataset.counts(getattr(rows, part)).tolist() for part in ("train", "val", "test")}
    return {
        "name": dataset.name,
        "kind": "image" if dataset.is_image else "table",
        "classes": list(dataset.classes),
        "superclass": list(dataset.superclass),
        "critical": running.critical_classes(asked, dataset),
        "baseline": baseline(asked),
        "notes": list(dataset.notes),
        "grouped": dataset.group is not None,
        "counts": {"all": dataset.counts().tolist()} | parts,
        "versions": {name: version(name) for name in ("steelyard", "torch", "numpy", "scikit-learn")}
        | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, {device.type}",
        "command": command,
    }


def with_baseline(asked: Study) -> Study:
    """``asked`` with the plain method in front, if it holds none: no comparison goes without."""
    if any(method.name == catalog.BASELINE for method in asked.methods):
        return asked
    return asked.model_copy(update={"methods": (Word(catalog.BASELINE), *asked.methods)})


def baseline(asked: Study) -> str:
    """The method that all others are compared with: the plain one where it is there, else the first."""
    names = [str(method) for method in asked.methods]
    return catalog.BASELINE if catalog.BASELINE in names else names[0]


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
