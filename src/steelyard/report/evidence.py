"""What the store holds, read once: predictions, figures and failures, method by method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard._checks import InputError
from steelyard.metrics import auc, decide_critical
from steelyard.studies.decisions import Scores
from steelyard.studies.outcomes import outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from steelyard.records import Predictions
    from steelyard.studies.decisions import Thresholds
    from steelyard.studies.outcomes import Outcome
    from steelyard.studies.store import Store, StoredRun

NEAR_CHANCE = 0.05  # of an AUC of 0.5, within which a model tells the critical classes from no others

Key = tuple[int, ...]  # seed and fold, and member in ensembles: what pairs the runs of two methods
Figures = Mapping[str, Mapping[str, Mapping[Key, float]]]  # method, measure, run -> value


@dataclass(frozen=True)
class Scored:
    """A run that was trained to its end, with its predictions in the order of the data set's rows."""

    stored: StoredRun
    test: Predictions
    positive: NDArray[np.bool_]  # (N,) test samples of a critical class; all False without one
    score: NDArray[np.float64]  # (N,) log-odds of the critical classes against the rest
    thresholds: Thresholds | None  # of the score, chosen on held-out samples; None without such
    critical: tuple[int, ...]

    @cached_property
    def decision(self) -> NDArray[np.int64]:
        """(N,) decided class: critical from the threshold in use on; without one the most probable class."""
        if self.thresholds is None:
            return self.test.decision
        return decide_critical(self.test.logits, self.critical, self.thresholds.value)

    @cached_property
    def degenerate(self) -> str:
        """How the model shows that it learned nothing; empty where it does not."""
        if not self.test.multilabel and len(np.unique(self.test.decision)) == 1:
            return "decides for one class whatever the sample"
        if self.positive.any() and not self.positive.all():
            area = auc(self.positive, self.score)
            if abs(area - 0.5) < NEAR_CHANCE:
                return f"has an AUC of {area:.2f}, near the 0.5 of guessing"
        return ""

    @property
    def key(self) -> Key:
        """Seed and fold, and member where there are ensembles."""
        return self.stored.run.key

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One row of figures per epoch."""
        return self.stored.history()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Class counts, best epoch, seconds, memory."""
        return self.stored.facts()


@dataclass(frozen=True)
class Evidence:
    """Everything that the numbers, the words and the pictures are made of."""

    store: Store
    facts: Mapping[str, Any]
    methods: Mapping[str, tuple[Scored, ...]]  # in the study's order; empty where every run failed
    derived: Mapping[str, tuple[Scored, ...]]  # rows made after training from the same predictions
    failed: tuple[StoredRun, ...]
    figures: Figures  # on test samples
    validation: Figures  # on validation samples
    group: NDArray[np.int64] | None  # (rows of the data set,)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by class number."""
        return [str(name) for name in self.facts["classes"]]

    @property
    def multilabel(self) -> bool:
        """Whether a sample may have several of the classes."""
        return bool(self.facts.get("multilabel"))

    @property
    def critical(self) -> list[int]:
        """Numbers of the classes that must not be missed."""
        return [int(number) for number in self.facts["critical"]]

    @property
    def baseline(self) -> str:
        """The method that the others are compared with."""
        return str(self.facts["baseline"])

    @property
    def deciding(self) -> str:
        """The measure that decides: cost or false alarms for critical classes, else balanced accuracy."""
        if not self.critical:
            return "balanced_accuracy"
        return "expected_cost" if self.store.study.cost is not None else "fpr_at_tpr"

    @property
    def added(self) -> dict[str, str]:
        """Methods that nobody asked for, and why they are there."""
        return dict(self.facts.get("added", {}))

    @property
    def candidates(self) -> dict[str, tuple[Scored, ...]]:
        """What may be chosen: methods asked for, the baseline, and rows made of them after training."""
        asked = [name for name in self.methods if name == self.baseline or name not in self.added]
        return {
            name: runs
            for name, runs in self.judged.items()
            if any(str(run.stored.run.method) in asked for run in runs)
        }

    @property
    def chosen(self) -> str | None:
        """The candidate with the best mean of the deciding measure on validation; None without samples."""
        return self._best(self.validation, self.candidates)

    @property
    def leader(self) -> str | None:
        """The method, trained or made after training, that looks best on the test samples."""
        return self._best(self.figures, self.candidates)

    def _best(self, figures: Figures, names: Iterable[str]) -> str | None:
        means = {}
        for name in names:
            values = list(figures.get(name, {}).get(self.deciding, {}).values())
            if values and math.isfinite(np.mean(values)):
                means[name] = float(np.mean(values))
        best = max if self.deciding == "balanced_accuracy" else min
        return best(means, key=means.__getitem__) if means else None

    @property
    def judged(self) -> dict[str, tuple[Scored, ...]]:
        """The finished methods and the rows made after training."""
        return {name: runs for name, runs in (*self.methods.items(), *self.derived.items()) if runs}

    @property
    def finished(self) -> dict[str, tuple[Scored, ...]]:
        """The methods with at least one run trained to its end."""
        return {name: runs for name, runs in self.methods.items() if runs}


def read(store: Store) -> Evidence:
    """Read all that the page needs; changes nothing in the store.

    Raises:
        InputError: if the comparison has written no results yet.
    """
    if "test" not in store.study.parts:
        raise InputError(
            f"{store.folder} has no test samples (test_fraction 0), so there is nothing to report; use "
            "`steelyard evaluate` on samples that are new."
        )
    try:
        facts, figures = store.facts(), _figures(store)
    except FileNotFoundError as error:
        missing = error.filename or "a file"
        raise InputError(
            f"{missing} is missing; run the comparison again, it goes on where it stood."
        ) from None
    methods: dict[str, list[Scored]] = {str(method): [] for method in store.study.methods}
    derived: dict[str, list[Scored]] = {}
    for outcome in outcomes(store):
        if outcome.trained:
            methods[outcome.name].append(_scored(outcome, facts["critical"]))
        elif outcome.derived:
            derived.setdefault(outcome.name, []).append(_scored(outcome, facts["critical"]))
    return Evidence(
        store=store,
        facts=facts,
        methods={name: tuple(found) for name, found in methods.items()},
        derived={name: tuple(found) for name, found in derived.items()},
        failed=tuple(stored for stored in store.runs() if stored.failure is not None),
        figures=figures.get("test", {}),
        validation=figures.get("val", {}),
        group=store.groups(),
    )


def _figures(store: Store) -> dict[str, Figures]:
    """Figures by part."""
    found: dict[str, Any] = {}
    for row in store.results():
        value = float(row["value"]) if row["value"] else math.nan
        measures = found.setdefault(row["split"], {}).setdefault(row["method"], {})
        measures.setdefault(row["metric"], {})[_key(row)] = value
    return found


def _key(row: Mapping[str, str]) -> Key:
    return tuple(int(row[name]) for name in ("seed", "fold", "member") if row.get(name))


def _scored(outcome: Outcome, critical: list[int]) -> Scored:
    test = outcome.held_out["test"]
    if not critical:
        nothing = np.zeros(len(test.target))
        return Scored(outcome.stored, test, nothing.astype(bool), nothing, None, ())
    scores = Scores.of(test, critical)
    return Scored(outcome.stored, test, scores.positive, scores.score, outcome.thresholds, tuple(critical))
