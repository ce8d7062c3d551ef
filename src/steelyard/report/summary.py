"""The numbers of a comparison: everything that the page states, as one record and as ``summary.json``."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.metrics import wilson_interval
from steelyard.report import headline
from steelyard.report.comparison import Comparison, against_baseline, tied_with_best
from steelyard.report.measures import Measure, measures
from steelyard.report.resample import resample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import DataclassInstance
    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Scored

FEW_POSITIVES = 50


@dataclass(frozen=True, slots=True)
class Cell:
    """One measure of one method over its runs."""

    mean: float
    sd: float  # between runs; NaN for one run
    runs: int
    best: bool = False
    tied: bool = False  # a paired test over runs cannot tell it from the best


@dataclass(frozen=True, slots=True)
class Row:
    """One method of the table."""

    method: str
    trained: bool  # False: made from another method's predictions, without training
    runs: int
    failed: int
    cells: dict[str, Cell]


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
class Cost:
    """What a method's runs cost on average."""

    method: str
    epochs: float
    best_epoch: float
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
class Summary:
    """A comparison in numbers and words."""

    name: str
    headline: str
    details: tuple[str, ...]
    measures: tuple[Measure, ...]
    methods: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    classes: tuple[ClassRow, ...]
    disagreements: tuple[Disagreement, ...]
    costs: tuple[Cost, ...]
    failures: tuple[Failure, ...]
    missing: int  # runs of the study that are not trained yet
    critical: tuple[str, ...]
    at_tpr: float
    baseline: str
    leader: str | None  # best trained method in the deciding measure
    seeds: int
    folds: int
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
    def deciding(self) -> Measure:
        """The measure that the headline speaks of."""
        return self.measures[0]

    def as_json(self) -> str:
        """The text of ``summary.json``."""
        return as_json(self)


def as_json(record: DataclassInstance) -> str:
    """``record`` in plain values; what is not known is null."""
    return json.dumps(_plain(dataclasses.asdict(record)), indent=1, ensure_ascii=False, allow_nan=False)


def summarise(evidence: Evidence) -> Summary:
    """Work out every number of the page; the same store always gives the same summary."""
    study = evidence.store.study
    columns = _present(evidence, measures(bool(evidence.critical), study.at_tpr))
    rows = _rows(evidence, columns)
    tested = ("fpr_at_tpr", "auc", "balanced_accuracy", "accuracy")[0 if evidence.critical else 2 :]
    runs = [run for scored in evidence.finished.values() for run in scored]
    index = _tested([run.test.index for run in runs])
    found = Summary(
        name=str(evidence.facts["name"]),
        headline="",
        details=(),
        measures=columns,
        methods=rows,
        comparisons=against_baseline(evidence, resample(evidence), tested),
        classes=tuple(_class_row(evidence, c) for c in range(len(evidence.classes))),
        disagreements=tuple(_disagreement(evidence, name) for name in _others(evidence)),
        costs=tuple(_cost(name, scored) for name, scored in evidence.finished.items()),
        failures=tuple(
            Failure(str(one.run.method), one.run.seed, one.run.fold, (one.failure or "").strip())
            for one in evidence.failed
        ),
        missing=len(evidence.store.missing()),
        critical=tuple(evidence.classes[c] for c in evidence.critical),
        at_tpr=study.at_tpr,
        baseline=evidence.baseline,
        leader=evidence.leader,
        seeds=study.seeds,
        folds=study.folds or 1,
        positives=len(_tested([run.test.index[run.positive] for run in runs])),
        units=len(index if evidence.group is None else np.unique(evidence.group[index])),
        grouped=evidence.group is not None,
        same_test=all(np.array_equal(run.test.index, runs[0].test.index) for run in runs),
        notes=tuple(map(str, evidence.facts["notes"])),
    )
    return dataclasses.replace(
        found, headline=headline.headline(found), details=tuple(headline.details(found))
    )


def _tested(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows of the data set that any of ``parts`` holds."""
    return np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))


def _present(evidence: Evidence, columns: Sequence[Measure]) -> tuple[Measure, ...]:
    """The first column always, the others where any method has them."""
    there = {measure for figures in evidence.figures.values() for measure in figures}
    return tuple(one for place, one in enumerate(columns) if place == 0 or one.key in there)


def _rows(evidence: Evidence, columns: Sequence[Measure]) -> tuple[Row, ...]:
    failed = [str(one.run.method) for one in evidence.failed]
    free = [name for name in evidence.figures if name not in evidence.methods]
    rows = []
    for name in [*evidence.methods, *free]:
        figures = evidence.figures.get(name, {})
        cells = {one.key: _cell(list(figures.get(one.key, {}).values())) for one in columns}
        runs = len({key for values in figures.values() for key in values})
        rows.append(Row(name, name in evidence.methods, runs, failed.count(name), cells))
    for column in columns:
        _mark(evidence, column, rows)
    return tuple(rows)


def _cell(values: list[float]) -> Cell:
    there = [value for value in values if math.isfinite(value)]
    mean = float(np.mean(there)) if there else math.nan
    return Cell(mean, float(np.std(there, ddof=1)) if len(there) > 1 else math.nan, len(there))


def _mark(evidence: Evidence, column: Measure, rows: list[Row]) -> None:
    """Mark the best trained method of a column, and those that cannot be told from it."""
    there = [row for row in rows if row.trained and math.isfinite(row.cells[column.key].mean)]
    if column.better == "neither" or len(there) < 2:
        return
    sign = 1 if column.better == "higher" else -1
    best = max(there, key=lambda row: sign * row.cells[column.key].mean)
    tied = tied_with_best(evidence, column.key, best.method)
    for row in there:
        marks = {"best": row is best, "tied": row.method in tied}
        row.cells[column.key] = dataclasses.replace(row.cells[column.key], **marks)


def _others(evidence: Evidence) -> list[str]:
    compared = evidence.baseline in evidence.finished
    return [name for name in evidence.finished if compared and name != evidence.baseline]


def _class_row(evidence: Evidence, c: int) -> ClassRow:
    counts = {part: int(values[c]) for part, values in evidence.facts["counts"].items()}
    recalls = [_recall(evidence, name, scored, c) for name, scored in evidence.finished.items()]
    return ClassRow(evidence.classes[c], c in evidence.critical, counts, tuple(recalls))


def _recall(evidence: Evidence, name: str, runs: Sequence[Scored], c: int) -> Recall:
    """Mean over runs; Wilson's interval counts each test sample (or group) once, not once a run."""
    shares = [
        float(np.mean(run.test.decision[here] == c)) for run in runs if (here := run.test.target == c).any()
    ]
    if not shares:
        return Recall(name, math.nan, math.nan, math.nan)
    rows = np.unique(np.concatenate([run.test.index[run.test.target == c] for run in runs]))
    n = len(rows if evidence.group is None else np.unique(evidence.group[rows]))
    value = float(np.mean(shares))
    interval = wilson_interval(round(value * n), n)
    return Recall(name, value, min(interval.low, value), max(interval.high, value))


def _disagreement(evidence: Evidence, name: str) -> Disagreement:
    baseline = {run.key: run for run in evidence.methods[evidence.baseline]}
    counts = np.zeros((2, 2), dtype=np.int64)
    for run in evidence.methods[name]:
        other = baseline.get(run.key)
        if other is not None and np.array_equal(run.test.index, other.test.index):
            ours, theirs = (one.test.decision == one.test.target for one in (run, other))
            np.add.at(counts, (ours.astype(int), theirs.astype(int)), 1)
    return Disagreement(name, int(counts[1, 1]), int(counts[1, 0]), int(counts[0, 1]), int(counts[0, 0]))


def _cost(name: str, runs: Sequence[Scored]) -> Cost:
    facts = [run.facts for run in runs]

    def mean(key: str) -> float:
        there = [float(one[key]) for one in facts if one.get(key) is not None]
        return float(np.mean(there)) if there else math.nan

    averages = {
        key: mean(key) for key in ("epochs", "best_epoch", "seconds", "seconds_per_epoch", "peak_memory")
    }
    return Cost(
        method=name,
        **averages,
        parameters=int(facts[0]["parameters"]),
        device=str(facts[0].get("device", "")),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
