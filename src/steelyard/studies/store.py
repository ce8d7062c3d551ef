"""The folder of a study. A run is whole or absent; everything after training reads from here alone."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from steelyard._checks import InputError
from steelyard._files import write_text, written_whole
from steelyard.records import Predictions
from steelyard.studies.config import Run, Study, as_yaml, read_study, study
from steelyard.studies.decisions import Thresholds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A finished run: trained and predicted, or failed."""

    run: Run
    folder: Path

    @property
    def failure(self) -> str | None:
        """Why the run failed; None if it did not."""
        path = self.folder / "failure.txt"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def predictions(self, part: str) -> Predictions:
        """Predictions for the part ``val`` or ``test``."""
        return Predictions.load(self.folder / f"{part}.npz")

    def history(self) -> list[dict[str, float]]:
        """One row of figures per epoch, by column."""
        return [{k: float(v) for k, v in row.items() if v} for row in read_rows(self.folder / "history.csv")]

    def weights(self) -> dict[str, NDArray[Any]] | None:
        """Sample weights as they were in training (see ``training.recorder``); None without a weighting."""
        return _arrays(self.folder / "weights.npz")

    def dynamics(self) -> dict[str, NDArray[Any]]:
        """Mean loss, margin and probabilities of the training samples (see ``training.dynamics``).

        Raises:
            InputError: if the run keeps none.
        """
        path = self.folder / "dynamics.npz"
        found = _arrays(path)
        if found is None:
            raise InputError(
                f"{path} is missing: the run took over the training of another, is of data with several "
                "labels per sample, or of an earlier steelyard; audit another method, or compare again, with "
                "--out of a new folder."
            )
        return found

    def facts(self) -> dict[str, Any]:
        """Class counts of the parts, best epoch, seconds per epoch, peak memory in bytes, device.

        ``logged`` has title and unit of each column of the history that a part of the objective logged.
        """
        return dict(json.loads((self.folder / "facts.json").read_text(encoding="utf-8")))

    def seen(self) -> NDArray[np.bool_]:
        """Which rows of the data set the model was trained or validated on."""
        return np.asarray(np.load(self.folder / "seen.npy", allow_pickle=False))

    def thresholds(self) -> dict[str, Thresholds]:
        """What was chosen in the study that is confirmed, by the name of what is judged."""
        path = self.folder / "thresholds.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {name: Thresholds(**fields) for name, fields in kept.items()}

    def absent_counts(self) -> list[int]:
        """(L,) training samples without each label; empty where a sample has one class."""
        facts = self.facts()
        if "samples" not in facts:
            return []
        return [facts["samples"]["train"] - present for present in facts["counts"]["train"]]


class Store:
    """A study on disk: ``study.yaml``, ``facts.json``, ``results.csv`` and one folder per run."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "study.yaml").exists():
            raise InputError(
                f"{folder} holds no study (no study.yaml); give the --out folder of a comparison."
            )
        self.folder = folder
        self.study = study(read_study(folder / "study.yaml"))

    @classmethod
    def create(cls, folder: Path, asked: Study) -> Store:
        """Open ``folder`` for ``asked``; methods and seeds may be added to a study, nothing else may change.

        Raises:
            InputError: if the folder holds another study, or files that are no study, or another process
                works on it now.
        """
        if (folder / "study.yaml").exists():
            there = cls(folder)
            _refuse_another(there.study, asked, folder)
            with there.locked():
                write_text(folder / "study.yaml", as_yaml(_continued(asked, there.study)))
            return cls(folder)
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and holds no study; give --out a new folder.")
        write_text(folder / "study.yaml", as_yaml(asked))
        return cls(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from working on this study; a killed process leaves no lock behind.

        Raises:
            InputError: if another process works on it now.
        """
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                yield
        except Timeout:
            raise InputError(
                f"another steelyard is at work in {self.folder}; wait for it, or give --out a new folder."
            ) from None

    def run_folder(self, run: Run) -> Path:
        """Where ``run`` is kept when it is whole."""
        about, member = f"{run.method}|{run.seed}|{run.fold}", ""
        if run.member is not None:
            about, member = f"{about}|{run.member}", f"_member{run.member}"
        digest = hashlib.sha256(about.encode()).hexdigest()[:8]
        name = re.sub(r"[^a-z0-9.]+", "-", str(run.method).lower()).strip("-.")[:40]
        return self.folder / "runs" / f"{name}_seed{run.seed}_fold{run.fold}{member}_{digest}"

    def unfinished_folder(self, run: Run) -> Path:
        """Where ``run`` is kept while it trains."""
        whole = self.run_folder(run)
        return whole.with_name(f"{whole.name}.unfinished")

    def finish(self, run: Run) -> None:
        """Declare ``run`` whole."""
        self.unfinished_folder(run).rename(self.run_folder(run))

    def runs(self) -> list[StoredRun]:
        """The finished runs of the study, in the order of the study."""
        stored = [StoredRun(run, self.run_folder(run)) for run in self.study.runs()]
        return [one for one in stored if one.folder.exists()]

    def missing(self) -> list[Run]:
        """The runs of the study that are still to be trained."""
        return [run for run in self.study.runs() if not self.run_folder(run).exists()]

    def facts(self) -> dict[str, Any]:
        """What is known of the data: name, kind, classes, counts per part, notes; versions, command."""
        return dict(json.loads((self.folder / "facts.json").read_text(encoding="utf-8")))

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Keep what :meth:`facts` reads."""
        write_text(self.folder / "facts.json", json.dumps(facts, indent=1, ensure_ascii=False))

    def samples(self) -> dict[str, NDArray[Any]] | None:
        """Pictures for galleries: ``index`` (K,), ``image`` (K, C, H, W) uint8, ``name`` (K,); or None."""
        return _arrays(self.folder / "samples.npz")

    def write_samples(self, index: NDArray[np.int64], image: NDArray[np.uint8], name: Sequence[str]) -> None:
        """Keep what :meth:`samples` reads."""
        with written_whole(self.folder / "samples.npz") as temporary:
            np.savez_compressed(temporary, index=index, image=image, name=np.asarray(name, dtype=str))

    def values(self) -> dict[str, NDArray[Any]] | None:
        """Rows of a table for pages: ``index`` (K,), ``column`` (F,), ``value`` (K, F) as text; or None."""
        return _arrays(self.folder / "values.npz")

    def write_values(self, index: NDArray[np.int64], column: Sequence[str], value: NDArray[np.str_]) -> None:
        """Keep what :meth:`values` reads."""
        with written_whole(self.folder / "values.npz") as temporary:
            np.savez_compressed(temporary, index=index, column=np.asarray(column, dtype=str), value=value)

    def names(self) -> NDArray[np.str_]:
        """Name of every row of the data set: the path of its file, or its place in its source."""
        with np.load(self.folder / "names.npz", allow_pickle=False) as file:
            return np.asarray(file["name"])

    def write_names(self, name: Sequence[str]) -> None:
        """Keep what :meth:`names` reads."""
        with written_whole(self.folder / "names.npz") as temporary:
            np.savez_compressed(temporary, name=np.asarray(name, dtype=str))

    def groups(self) -> NDArray[np.int64] | None:
        """The group (patient, lesion) of every row of the data set; None where the data is not grouped."""
        path = self.folder / "groups.npy"
        return np.asarray(np.load(path, allow_pickle=False)) if path.exists() else None

    def write_groups(self, group: NDArray[np.int64]) -> None:
        """Keep what :meth:`groups` reads."""
        with written_whole(self.folder / "groups.npy") as temporary:
            np.save(temporary, group)

    def hashes(self) -> NDArray[np.uint64] | None:
        """What :func:`steelyard.data.content_hashes` gives for every row; None where it is not kept."""
        path = self.folder / "hashes.npy"
        return np.asarray(np.load(path, allow_pickle=False)) if path.exists() else None

    def write_hashes(self, hashes: NDArray[np.uint64]) -> None:
        """Keep what :meth:`hashes` reads."""
        with written_whole(self.folder / "hashes.npy") as temporary:
            np.save(temporary, hashes)

    def results(self) -> list[dict[str, str]]:
        """Rows of ``results.csv``: method, seed, fold, split, metric, value.

        In a study with ensembles also member, which is empty in the rows of whole ensembles.
        """
        return read_rows(self.folder / "results.csv")

    def write_results(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep what :meth:`results` reads."""
        member = ["member"] if self.study.ensemble else []
        columns = ["method", "seed", "fold", *member, "split", "metric", "value"]
        write_rows(self.folder / "results.csv", columns, rows)


def _arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of an ``.npz`` file by name; None where there is no such file."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a header as dictionaries."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file with a header, whole or not at all; a key that a row lacks stays empty."""
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def fresh_folder(folder: Path) -> None:
    """Make ``folder`` new and empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _refuse_another(there: Study, asked: Study, folder: Path) -> None:
    old, new = (_settings(one.model_dump(mode="json")) for one in (there, asked))
    changed = [f"{key} was {old[key]!r}, is {new[key]!r}" for key in old if old[key] != new[key]]
    if changed:
        raise InputError(
            f"{folder} holds another study ({'; '.join(changed)}); "
            "give --out a new folder, or ask again for what it holds (methods and seeds may be added)."
        )


def _continued(asked: Study, there: Study) -> Study:
    """``asked`` with its methods as ``there`` spells them: folders and results go by a word's text.

    A method that was asked for once stays so, if this time it comes by itself.
    """
    spelled = {str(one): next((own for own in there.methods if own == one), one) for one in asked.methods}
    asked_for = {str(own) for own in there.methods} - set(there.added)
    named = {str(spelled[name]): why for name, why in asked.added.items() if name in spelled}
    added = {name: why for name, why in named.items() if name not in asked_for}
    return asked.model_copy(update={"methods": tuple(spelled.values()), "added": added})


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a run's numbers, flat: all but the methods and the number of seeds."""
    flat = {f"{part}.{key}": value for part in ("data", "training") for key, value in values[part].items()}
    kept = ("model", "seed", "folds", "ensemble", "critical", "at_tpr", "tested", "confirms")
    return flat | {key: values[key] for key in kept}
