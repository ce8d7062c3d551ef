"""From the evidence to the summary: every number of the page, and the words that go with them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.metrics import recall_per_class, wilson_interval
from steelyard.report import decisions, headline
from steelyard.report.comparison import against_baseline, against_controls, tied_with_best
from steelyard.report.measures import measures
from steelyard.report.pairs import ensemble_tests, in_phases
from steelyard.report.resample import resample
from steelyard.report.summary import (
    Cell,
    ClassRow,
    Cost,
    Disagreement,
    Failure,
    LabelFigures,
    LabelRow,
    Recall,
    Row,
    Summary,
)
from steelyard.studies.outcomes import CORRECTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Key, Scored
    from steelyard.report.measures import Measure
    from steelyard.report.resample import Resampled


def summarise(evidence: Evidence) -> Summary:
    """Work out every number of the page; the same store always gives the same summary."""
    study = evidence.store.study
    cost, multilabel = study.cost is not None, evidence.multilabel
    every = measures(bool(evidence.critical), study.at_tpr, multilabel=multilabel, cost=cost)
    columns = _present(evidence, every)
    resampled = resample(evidence)
    rows = _rows(evidence, columns, resampled)
    tested = _tested_measures(evidence)
    found = Summary(
        name=str(evidence.facts["name"]),
        headline="",
        details=(),
        measures=columns,
        methods=rows,
        comparisons=against_baseline(evidence, resampled, tested),
        controls=against_controls(evidence, resampled, tested[:2], list(in_phases(evidence))),
        chosen=decisions.chosen(evidence),
        added=evidence.added,
        degenerate=_degenerate(evidence),
        decisions=decisions.decisions(evidence),
        promise=decisions.promise(evidence),
        following=decisions.following(evidence),
        ensembles=ensemble_tests(evidence),
        classes=_class_rows(evidence),
        by_rarity=_by_rarity(evidence),
        disagreements=_disagreements(evidence),
        costs=tuple(_cost(name, scored, study.training.keep) for name, scored in evidence.finished.items()),
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
        members=study.ensemble,
        **_samples(evidence),
        notes=tuple(map(str, evidence.facts["notes"])),
    )
    return dataclasses.replace(
        found, headline=headline.headline(found), details=tuple(headline.details(found))
    )


def _samples(evidence: Evidence) -> dict[str, Any]:
    """What the summary says of the samples that stand behind its figures."""
    counts: dict[str, list[int]] = evidence.facts["counts"]
    runs = [run for scored in evidence.finished.values() for run in scored]
    index = _tested([run.test.index for run in runs])
    return {
        "samples": evidence.facts.get(
            "samples", {part: sum(counts[part]) for part in ("train", "val", "test")}
        ),
        "positives": len(_tested([run.test.index[run.positive] for run in runs])),
        "units": len(index if evidence.group is None else np.unique(evidence.group[index])),
        "grouped": evidence.group is not None,
        "same_test": all(np.array_equal(run.test.index, runs[0].test.index) for run in runs),
    }


def _class_rows(evidence: Evidence) -> tuple[ClassRow | LabelRow, ...]:
    row = _label_row if evidence.multilabel else _class_row
    return tuple(row(evidence, number) for number in range(len(evidence.classes)))


def _by_rarity(evidence: Evidence) -> tuple[ClassRow, ...]:
    """Classes that are rare in each run by itself, and the others; empty where all runs have the same."""
    rare = {
        run.key: np.array(run.facts["counts"]["train"]) < max(run.facts["counts"]["train"]) / 2
        for runs in evidence.finished.values()
        for run in runs
    }
    if evidence.multilabel or len({tuple(each) for each in rare.values()}) < 2:
        return ()
    return (
        _group_row(evidence, "rare classes of each run", rare),
        _group_row(evidence, "frequent classes of each run", {key: ~each for key, each in rare.items()}),
    )


def _group_row(evidence: Evidence, name: str, member: Mapping[Key, NDArray[np.bool_]]) -> ClassRow:
    """Samples per class and mean recall of the classes that are ``member`` of the group in each run."""
    first = next(run for runs in evidence.finished.values() for run in runs)
    counts = first.facts["counts"]
    sizes = {part: round(float(np.mean(np.array(each)[member[first.key]]))) for part, each in counts.items()}
    recalls = []
    for method, runs in evidence.finished.items():
        each = [
            np.nanmean(
                recall_per_class(run.test.target, run.decision, len(evidence.classes))[member[run.key]]
            )
            for run in runs
        ]
        tested = [run.test.index[member[run.key][run.test.target]] for run in runs]
        recalls.append(_recall_with_interval(evidence, method, float(np.mean(each)), tested))
    return ClassRow(name, False, sizes, tuple(recalls))


def _disagreements(evidence: Evidence) -> tuple[Disagreement, ...]:
    """Of decisions for one class; several labels have no single right or wrong."""
    others = () if evidence.multilabel else _others(evidence)
    return tuple(_disagreement(evidence, name) for name in others)


def _tested(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows of the data set that any of ``parts`` holds."""
    return np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))


def _present(evidence: Evidence, columns: Sequence[Measure]) -> tuple[Measure, ...]:
    """The first column always, the others where any method has them."""
    there = {measure for figures in evidence.figures.values() for measure in figures}
    return tuple(one for place, one in enumerate(columns) if place == 0 or one.key in there)


def _tested_measures(evidence: Evidence) -> tuple[str, ...]:
    """The measures in which methods are tested against the baseline, the deciding one first."""
    if not evidence.critical:
        return ("balanced_accuracy", "accuracy")
    return tuple(dict.fromkeys((evidence.deciding, "fpr_at_tpr", "auc", "balanced_accuracy", "accuracy")))


def _degenerate(evidence: Evidence) -> dict[str, str]:
    """Trained methods that learned nothing in some run: in how many, and how it shows."""
    found = {}
    for name, runs in evidence.finished.items():
        signs = [run.degenerate for run in runs if run.degenerate]
        if signs:
            often = "" if len(runs) == 1 else f" in {len(signs)} of {len(runs)} runs"
            found[name] = f"{signs[0]}{often}"
    return found


def _rows(
    evidence: Evidence, columns: Sequence[Measure], resampled: Mapping[str, Mapping[Key, Resampled]]
) -> tuple[Row, ...]:
    failed = [str(one.run.method) for one in evidence.failed]
    free = [name for name in evidence.figures if name not in evidence.methods]
    twice = {f"{name} + {how}" for name in evidence.facts.get("balancing", ()) for how in CORRECTIONS}
    rows = []
    for name in [*evidence.methods, *free]:
        figures = evidence.figures.get(name, {})
        cells = {one.key: Cell.of(list(figures.get(one.key, {}).values())) for one in columns}
        runs = len({key for values in figures.values() for key in values})
        rows.append(Row(name, name in evidence.methods, runs, failed.count(name), cells, name in twice))
    for column in columns:
        _mark(column, rows, resampled)
    return tuple(rows)


def _mark(column: Measure, rows: list[Row], resampled: Mapping[str, Mapping[Key, Resampled]]) -> None:
    """Mark the best trained method of a column, and those that cannot be told from it."""
    there = [row for row in rows if row.trained and math.isfinite(row.cells[column.key].mean)]
    if column.better == "neither" or len(there) < 2:
        return
    sign = 1 if column.better == "higher" else -1
    best = max(there, key=lambda row: sign * row.cells[column.key].mean)
    tied = tied_with_best(resampled, column.key, [row.method for row in there], best.method)
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


def _label_row(evidence: Evidence, label: int) -> LabelRow:
    name = evidence.classes[label]

    def figures(method: str) -> LabelFigures:
        found = evidence.figures.get(method, {})
        measures = ("balanced_accuracy", "auc", "average_precision")
        return LabelFigures(method, *(Cell.of(found.get(f"{one}[{name}]", {}).values()) for one in measures))

    counts = {part: int(values[label]) for part, values in evidence.facts["counts"].items()}
    return LabelRow(name, False, counts, (), tuple(map(figures, evidence.finished)))


def _recall(evidence: Evidence, name: str, runs: Sequence[Scored], c: int) -> Recall:
    """Mean over runs; Wilson's interval counts each test sample (or group) once, not once a run."""
    shares = [float(np.mean(run.decision[here] == c)) for run in runs if (here := run.test.target == c).any()]
    if not shares:
        return Recall(name, math.nan, math.nan, math.nan)
    tested = [run.test.index[run.test.target == c] for run in runs]
    return _recall_with_interval(evidence, name, float(np.mean(shares)), tested)


def _recall_with_interval(
    evidence: Evidence, name: str, value: float, tested: Sequence[NDArray[np.int64]]
) -> Recall:
    rows = np.unique(np.concatenate(tested))
    n = len(rows if evidence.group is None else np.unique(evidence.group[rows]))
    interval = wilson_interval(round(value * n), n)
    return Recall(name, value, min(interval.low, value), max(interval.high, value))


def _disagreement(evidence: Evidence, name: str) -> Disagreement:
    baseline = {run.key: run for run in evidence.methods[evidence.baseline]}
    counts = np.zeros((2, 2), dtype=np.int64)
    for run in evidence.methods[name]:
        other = baseline.get(run.key)
        if other is not None and np.array_equal(run.test.index, other.test.index):
            ours, theirs = (one.decision == one.test.target for one in (run, other))
            np.add.at(counts, (ours.astype(int), theirs.astype(int)), 1)
    return Disagreement(name, int(counts[1, 1]), int(counts[1, 0]), int(counts[0, 1]), int(counts[0, 0]))


def _cost(name: str, runs: Sequence[Scored], keep: str) -> Cost:
    facts = [run.facts for run in runs]

    def mean(key: str) -> float:
        there = [float(one[key]) for one in facts if one.get(key) is not None]
        return float(np.mean(there)) if there else math.nan

    averages = {key: mean(key) for key in ("epochs", "seconds", "seconds_per_epoch", "peak_memory")}
    kept = [(keep == "best" and one["best_epoch"]) or one["epochs"] for one in facts]  # 0: none was best
    return Cost(
        method=name,
        **averages,
        kept_epoch=float(np.mean(kept)),
        parameters=int(facts[0]["parameters"]),
        device=str(facts[0].get("device", "")),
    )
