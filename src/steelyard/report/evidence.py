"""What the store holds, read once: predictions, figures and failures, method by method."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard._checks import InputError
from steelyard.metrics import critical_score, threshold_at_tpr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from steelyard.records import Predictions
    from steelyard.studies.store import Store, StoredRun

Key = tuple[int, ...]  # seed and fold, and member in ensembles: what pairs the runs of two methods


@dataclass(frozen=True)
class Scored:
    """A run that was trained to its end, with its predictions in the order of the data set's rows."""

    stored: StoredRun
    test: Predictions
    positive: NDArray[np.bool_]  # (N,) test samples of a critical class; all False without one
    score: NDArray[np.float64]  # (N,) log-odds of the critical classes against the rest
    threshold: float  # of the score, chosen on validation for the wanted sensitivity; NaN without one

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
    failed: tuple[StoredRun, ...]
    figures: Mapping[str, Mapping[str, Mapping[Key, float]]]  # method, measure, run -> value on test
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
        """The measure that decides: false alarms where a class is critical, else balanced accuracy."""
        return "fpr_at_tpr" if self.critical else "balanced_accuracy"

    @property
    def leader(self) -> str | None:
        """The trained method with the best mean of the deciding measure; None before one has finished."""
        means = {}
        for name in self.finished:
            values = list(self.figures.get(name, {}).get(self.deciding, {}).values())
            if values and math.isfinite(np.mean(values)):
                means[name] = float(np.mean(values))
        best = min if self.critical else max
        return best(means, key=means.__getitem__) if means else None

    @property
    def finished(self) -> dict[str, tuple[Scored, ...]]:
        """The methods with at least one run trained to its end."""
        return {name: runs for name, runs in self.methods.items() if runs}


def read(store: Store) -> Evidence:
    """Read all that the page needs; changes nothing in the store.

    Raises:
        InputError: if the comparison has written no results yet.
    """
    try:
        facts, figures = store.facts(), _figures(store)
    except FileNotFoundError as error:
        missing = error.filename or "a file"
        raise InputError(
            f"{missing} is missing; run the comparison again, it goes on where it stood."
        ) from None
    runs = store.runs()
    methods: dict[str, list[Scored]] = {str(method): [] for method in store.study.methods}
    for stored in runs:
        if stored.failure is None:
            methods[str(stored.run.method)].append(_scored(stored, facts["critical"], store))
    return Evidence(
        store=store,
        facts=facts,
        methods={name: tuple(found) for name, found in methods.items()},
        failed=tuple(stored for stored in runs if stored.failure is not None),
        figures=figures,
        group=store.groups(),
    )


def _figures(store: Store) -> dict[str, dict[str, dict[Key, float]]]:
    found: dict[str, dict[str, dict[Key, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in store.results():
        if row["split"] == "test":
            value = float(row["value"]) if row["value"] else math.nan
            found[row["method"]][row["metric"]][_key(row)] = value
    return {method: dict(measures) for method, measures in found.items()}


def _key(row: Mapping[str, str]) -> Key:
    return tuple(int(row[name]) for name in ("seed", "fold", "member") if row.get(name))


def _scored(stored: StoredRun, critical: list[int], store: Store) -> Scored:
    test = stored.predictions("test").in_order()
    if not critical:
        nothing = np.zeros(len(test.target))
        return Scored(stored, test, nothing.astype(bool), nothing, math.nan)
    threshold = math.nan
    if "val" in store.study.parts:
        val = stored.predictions("val")
        found = np.isin(val.target, critical)
        threshold = threshold_at_tpr(found, critical_score(val.logits, critical), store.study.at_tpr)
    positive = np.isin(test.target, critical)
    score = np.asarray(critical_score(test.logits, critical), dtype=np.float64)
    return Scored(stored, test, positive, score, threshold)
