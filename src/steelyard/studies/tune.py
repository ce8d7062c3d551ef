"""A search for the parameters of methods: by the validation samples alone, as many trainings for each."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from steelyard import _checks as check
from steelyard import catalog
from steelyard._checks import InputError
from steelyard._files import write_text
from steelyard.studies import run as running
from steelyard.studies.compare import check_runs, read_once, study_facts, train_missing, with_baseline
from steelyard.studies.config import as_yaml
from steelyard.studies.evaluate import measures
from steelyard.studies.search import by_model, by_stages, load_optuna, whole_space
from steelyard.studies.spaces import default_point, of_recipe, with_values
from steelyard.studies.store import Store, write_rows
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from steelyard.data import Dataset
    from steelyard.studies.compare import Listener
    from steelyard.studies.config import Study
    from steelyard.studies.search import Search
    from steelyard.studies.spaces import Space

TRIALS = 20


@dataclass(frozen=True, slots=True)
class How:
    """How a search goes.

    ``trials`` of each method, or None for the stages; ``seeds`` trainings make a trial; ``also`` are the
    settings of the training that are searched with every method's own parameters.
    """

    trials: int | None = TRIALS
    seeds: int = 1
    also: str = "lr"


@dataclass(frozen=True, slots=True)
class Trial:
    """One word that was tried for a method, and what it reached."""

    method: str  # as it was asked for
    number: int  # from 1 on
    word: str
    values: tuple[float, ...]  # of the monitor, one for each seed; empty: a training failed

    @property
    def value(self) -> float:
        """Their mean; -inf where a training failed."""
        return float(np.mean(self.values)) if self.values else -np.inf


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a search found."""

    trials: tuple[Trial, ...]
    chosen: dict[str, str]  # the word by the method that was asked for
    study: Study  # the comparison of the chosen words


def tune(
    asked: Study,
    folder: Path,
    listener: Listener,
    how: How,
    *,
    workers: int = 1,
    device: str = "auto",
    command: str = "",
) -> Tuning:
    """Search the parameters of the methods of ``asked`` and keep all that was tried in ``folder``.

    Every trial is trained on the same splits and seeds, from the same initial weights, and judged by the
    monitor of the training on the validation samples. The test samples are not predicted. The words that were
    chosen make a study, ``chosen.yaml``, whose seeds no trial has seen.

    Raises:
        InputError: for data, methods, ranges or settings that cannot be used.
    """
    asked = with_baseline(asked)
    _refuse(asked, how)
    also = of_recipe(how.also, asked.training)
    dataset = read_once(asked.data.model_dump_json())
    searches = {str(one): _search(one, also, asked, how) for one in asked.methods}
    trial_study = asked.model_copy(update={"seeds": how.seeds, "tested": False, "added": {}})
    _check_ends(trial_study, dataset, also)

    so_far: list[Word] = []

    def values_of(words: Sequence[Word]) -> dict[str, tuple[float, ...]]:
        so_far.extend(words)
        wanted = trial_study.model_copy(update={"methods": _once(so_far)})
        store = Store.create(folder / "trials", wanted)
        with store.locked():
            store.write_facts(study_facts(store.study, dataset, command, running.pick_device(device)))
            train_missing(store, listener, workers, device)
        return {str(word): _values(store, word, dataset) for word in words}

    trials, chosen = search_all(searches, values_of)
    final = {
        "methods": _once(Word.parse(word) for word in chosen.values()),
        "added": {chosen[name]: why for name, why in asked.added.items() if name in chosen},
        "seed": asked.seed + how.seeds,
    }
    tuning = Tuning(tuple(trials), chosen, asked.model_copy(update=final))
    _write(tuning, folder, how, also, asked)
    return tuning


def search_all(
    searches: Mapping[str, Search], values_of: Callable[[Sequence[Word]], Mapping[str, tuple[float, ...]]]
) -> tuple[list[Trial], dict[str, str]]:
    """Let all searches go on side by side to their ends; returns all trials and the word that each chose.

    ``values_of`` trains the words of one round, a few of each search, and gives their values by word.
    """
    wanted = {name: next(search) for name, search in searches.items()}
    tried: dict[str, dict[str, Trial]] = {name: {} for name in searches}
    chosen: dict[str, str] = {}
    while wanted:
        values = values_of([word for words in wanted.values() for word in words])
        for name, words in list(wanted.items()):
            for word in map(str, words):
                number = len(tried[name]) + 1
                tried[name].setdefault(word, Trial(name, number, word, values[word]))
            try:
                wanted[name] = searches[name].send([tried[name][str(word)].value for word in words])
            except StopIteration as end:
                chosen[name] = str(end.value)
                del wanted[name]
    return [trial for each in tried.values() for trial in each.values()], {n: chosen[n] for n in searches}


def _refuse(asked: Study, how: How) -> None:
    if asked.folds:
        raise InputError("with folds the search would have trained on every test sample; leave folds out.")
    if not asked.data.val_fraction:
        raise InputError("a search is judged on validation samples; give a val_fraction above 0.")
    check.whole("trial-seeds", how.seeds, 1)
    if how.trials is not None:
        check.whole("trials", how.trials, 1)
        load_optuna()
    for method in asked.methods:
        check.one_of("method", method.name, catalog.METHODS)


def _search(method: Word, also: Space, asked: Study, how: How) -> Search:
    if how.trials is None:
        return by_stages(method, also)
    return by_model(method, also, asked.training, how.trials, asked.seed)


def _check_ends(asked: Study, dataset: Dataset, also: Space) -> None:
    """Build every method at the ends of its ranges, so that none is refused after hours."""
    for method in asked.methods:
        plain, space = whole_space(method, also)
        point = default_point(plain, space, asked.training) or {
            name: one.grid[0] for name, one in space.items()
        }
        ends = [with_values(plain, point | {name: end}) for name, one in space.items() for end in one.grid]
        check_runs(asked.model_copy(update={"methods": _once(ends or [plain])}), dataset)


def _once(words: Iterable[Word]) -> tuple[Word, ...]:
    """``words`` without those that come again."""
    found: list[Word] = []
    for word in words:
        if word not in found:
            found.append(word)
    return tuple(found)


def _values(store: Store, word: Word, dataset: Dataset) -> tuple[float, ...]:
    """The monitor's value of each seed of ``word``; none where a training failed."""
    asked = store.study
    runs = [stored for stored in store.runs() if stored.run.method == word]
    if any(stored.failure for stored in runs):
        return ()
    monitor = asked.training.monitor.removeprefix("val_")
    critical = running.critical_classes(asked, dataset)
    found = (measures(stored.predictions("val"), dataset.classes, critical, asked.at_tpr) for stored in runs)
    return tuple(
        check.known(f"the monitor {asked.training.monitor} of {word}", one[monitor]) for one in found
    )


def _write(tuning: Tuning, folder: Path, how: How, also: Space, asked: Study) -> None:
    """The search as files: trials as a table, all of it as JSON, the comparison to come as YAML."""
    spaces = {str(one): {k: str(v) for k, v in whole_space(one, also)[1].items()} for one in asked.methods}
    rows = [
        asdict(trial) | {"value": trial.value, "chosen": tuning.chosen[trial.method] == trial.word}
        for trial in tuning.trials
    ]
    columns = ("method", "number", "word", "value", "chosen")
    write_rows(folder / "trials.csv", columns, ({name: row[name] for name in columns} for row in rows))
    write_text(folder / "chosen.yaml", as_yaml(tuning.study))
    found = {
        "how": asdict(how),
        "monitor": asked.training.monitor,
        "epochs": asked.training.epochs,
        "facts": Store(folder / "trials").facts(),
        "spaces": spaces,
        "chosen": tuning.chosen,
        "trials": [row | {"value": row["value"] if row["values"] else None} for row in rows],
        "next": comparison_command(folder),
    }
    write_text(folder / "tuning.json", json.dumps(found, indent=1, ensure_ascii=False))


def comparison_command(folder: Path) -> str:
    """The command that compares the chosen words on fresh seeds."""
    words = ["steelyard", "compare", str(folder / "chosen.yaml"), "--out", str(folder / "comparison")]
    return shlex.join(words)
