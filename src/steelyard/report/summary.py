"""The numbers of a comparison: everything that the page states, as one record and as ``summary.json``."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import DataclassInstance

    from steelyard.report.comparison import Comparison
    from steelyard.report.measures import Measure
    from steelyard.report.pairs import EnsembleTest


FEW_POSITIVES = 50


@dataclass(frozen=True, slots=True)
class Cell:
    """One measure of one method over its runs."""

    mean: float
    sd: float  # between runs; NaN for one run
    runs: int
    best: bool = False
    tied: bool = False  # a paired test over runs cannot tell it from the best

    @classmethod
    def of(cls, values: Iterable[float]) -> Cell:
        """Of the values of single runs, of which those that are not known do not count."""
        there = [value for value in values if math.isfinite(value)]
        mean = float(np.mean(there)) if there else math.nan
        return cls(mean, float(np.std(there, ddof=1)) if len(there) > 1 else math.nan, len(there))


@dataclass(frozen=True, slots=True)
class Row:
    """One method of the table."""

    method: str
    trained: bool  # False: made from another method's predictions, without training
    runs: int
    failed: int
    cells: dict[str, Cell]
    twice: bool = False  # corrects after training for class frequencies for which the training did


@dataclass(frozen=True, slots=True)
class Recall:
    """How many of a class's test samples one method finds, with a 95 % interval."""

    method: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: its samples, and what each method finds of it."""

    name: str
    critical: bool
    counts: dict[str, int]
    recall: tuple[Recall, ...]


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """How one method does on one label, over its runs."""

    method: str
    balanced_accuracy: Cell
    auc: Cell
    average_precision: Cell


@dataclass(frozen=True, slots=True)
class LabelRow(ClassRow):
    """One of several labels that a sample may have: the samples that have it, and how each method does."""

    figures: tuple[LabelFigures, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a method's runs cost on average."""

    method: str
    epochs: float
    kept_epoch: float  # whose weights predict
    seconds: float
    seconds_per_epoch: float
    peak_memory: float  # bytes
    parameters: int
    device: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that broke, and why."""

    method: str
    seed: int
    fold: int
    message: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Test decisions of ``method`` beside the baseline's, summed over the paired runs."""

    method: str
    both_right: int
    only_method: int
    only_baseline: int
    both_wrong: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """The method that validation chose, with its figures on the test samples, which had no part in it."""

    method: str
    measure: str  # that decided
    validation: float  # mean over runs
    test: dict[str, float]  # measure -> mean over runs


@dataclass(frozen=True, slots=True)
class Counted:
    """A share of test samples with Clopper and Pearson's 95 % interval, or of groups of them."""

    value: float  # mean over runs
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What one rule for the threshold did on the test samples, over one method's runs."""

    method: str
    rule: str  # guaranteed, plain or cost
    in_use: bool
    sensitivity: Counted
    false_alarms: Counted
    groups_found: float  # share of the groups with critical samples in which all are found; NaN ungrouped
    kept: int  # runs that reached the wanted sensitivity, of groups where the data is grouped
    runs: int
    expected_cost: float  # NaN where no costs are given
    prevalence: tuple[AtPrevalence, ...]  # of the test samples, then that of the study if it names one


@dataclass(frozen=True, slots=True)
class AtPrevalence:
    """What a decision means where a share of the samples is critical."""

    prevalence: float
    precision: float
    npv: float
    alarms_per_1000: float
    alarms_per_case_found: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A comparison in numbers and words."""

    name: str
    headline: str
    details: tuple[str, ...]
    measures: tuple[Measure, ...]
    methods: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    controls: tuple[Comparison, ...]  # methods in phases against their first phase, alone and trained on
    ensembles: tuple[EnsembleTest, ...]
    classes: tuple[ClassRow, ...]
    by_rarity: tuple[ClassRow, ...]  # rare and frequent classes of each run, where runs differ in which are
    samples: dict[str, int]  # of each part, in the first seed and fold
    disagreements: tuple[Disagreement, ...]
    costs: tuple[Cost, ...]
    failures: tuple[Failure, ...]
    missing: int  # runs of the study that are not trained yet
    critical: tuple[str, ...]
    at_tpr: float
    baseline: str
    chosen: Chosen | None  # None without validation samples
    leader: str | None  # the method that looks best on the test samples
    added: dict[str, str]  # methods that nobody asked for, and why they are there
    degenerate: dict[str, str]  # methods that learned nothing in some run, and how it shows
    decisions: tuple[Decision, ...]
    promise: str  # of the threshold in use; empty without one
    following: tuple[str, ...]  # commands that keep the chosen method and use it
    seeds: int
    folds: int
    members: int | None  # models per seed and fold, where there are ensembles
    positives: int  # test samples of the critical classes, over all runs each counted once
    units: int  # what the bootstrap draws: test samples, or groups of them
    grouped: bool
    same_test: bool  # whether every run was tested on the same samples
    notes: tuple[str, ...]

    @property
    def few_positives(self) -> bool:
        """Whether one critical test sample moves the sensitivity by more than two points."""
        return 0 < self.positives < FEW_POSITIVES

    @property
    def multilabel(self) -> bool:
        """Whether a sample may have several of the classes."""
        return any(isinstance(one, LabelRow) for one in self.classes)

    @property
    def deciding(self) -> Measure:
        """The measure that the headline speaks of."""
        return self.measures[0]

    def as_json(self) -> str:
        """The text of ``summary.json``."""
        return as_json(self)


def as_json(found: DataclassInstance | dict[str, Any] | list[Any]) -> str:
    """A record, or plain values, as text; what is not known is null."""
    values = found if isinstance(found, dict | list) else dataclasses.asdict(found)
    return json.dumps(_plain(values), indent=1, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
