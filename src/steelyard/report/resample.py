"""Bootstrap over test samples: every measure under resampling weights, without sorting again.

Resampling with replacement gives each sample a whole weight 0, 1, 2, ... A measure under these weights is
the measure of the resampled set, so one sort of the scores serves all resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steelyard.report.labels import PreparedLabels, rarest_label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Key, Scored
    from steelyard.studies.config import Study

    Weights = NDArray[np.float32]  # (B, N): B resamples of N samples
    Values = NDArray[np.float64]

REPEATS = 1000
_BLOCK_ENTRIES = 2_000_000  # weights held at once: bounds the memory whatever the size of the test set


@dataclass(frozen=True)
class Resampled:
    """One run's measures on the test set and on every resample of it."""

    plain: dict[str, float]
    resampled: dict[str, Values]  # measure -> (B,)


class Ranking:
    """Positives and negatives in the order of their scores, for measures under weights.

    >>> ranking = Ranking(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> [float(value[0]) for value in ranking.measures(np.ones((1, 4), np.float32), tpr=1.0)]
    [1.0, 0.0]
    """

    def __init__(self, positive: NDArray[np.bool_], score: Values) -> None:
        self.negatives = np.flatnonzero(~positive)[np.argsort(score[~positive], kind="stable")]
        self.positives = np.flatnonzero(positive)[np.argsort(-score[positive], kind="stable")]
        ordered, wanted = score[self.negatives], score[self.positives]
        self.below = np.searchsorted(ordered, wanted, side="left")  # negatives below each positive
        self.not_above = np.searchsorted(ordered, wanted, side="right")

    def measures(self, weight: Weights, tpr: float) -> tuple[Values, Values]:
        """AUC and FPR at ``tpr`` under each row of ``weight`` (B, N); NaN where a side has no weight."""
        found = weight[:, self.positives].astype(np.float64)
        negative = np.zeros((len(weight), self.negatives.size + 1))
        np.cumsum(weight[:, self.negatives], axis=1, out=negative[:, 1:])
        n_positive, n_negative = found.sum(axis=1), negative[:, -1]
        pairs = np.where((n_positive > 0) & (n_negative > 0), n_positive * n_negative, np.nan)
        if not (self.positives.size and self.negatives.size):
            return pairs, pairs
        won = (negative[:, self.below] + negative[:, self.not_above]) / 2
        auc = (found * won).sum(axis=1) / pairs
        reached = np.cumsum(found, axis=1) >= (tpr * n_positive * (1 - 1e-12))[:, None]
        last_needed = self.below[reached.argmax(axis=1)]
        fpr = 1 - np.take_along_axis(negative, last_needed[:, None], axis=1)[:, 0] / np.where(
            n_negative > 0, n_negative, np.nan
        )
        return auc, np.where(np.isnan(pairs), np.nan, fpr)


def resample(evidence: Evidence, repeats: int = REPEATS, seed: int = 0) -> dict[str, dict[Key, Resampled]]:
    """Measures of every run on the same ``repeats`` resamples of the test samples, by method and run.

    All runs see the same weights, so differences between methods are paired. Rows made after training that
    have every measure of their method in all runs are left out: they decide alike. Whole groups are drawn
    where the data is grouped; draws are stratified by class, so that a rare class is in every resample.
    """
    if not evidence.judged:
        return {}
    prepared = {
        name: {run.key: _prepare(evidence, run) for run in runs} for name, runs in evidence.judged.items()
    }
    plain = {name: {key: one.plain() for key, one in runs.items()} for name, runs in prepared.items()}
    rows = [
        (name, run)
        for name, runs in evidence.judged.items()
        for run in runs
        if name in evidence.methods or plain[name] != plain[str(run.stored.run.method)]
    ]
    unit, stratum = _units(evidence, [run for _, run in rows])
    parts: dict[tuple[str, Key], list[dict[str, Values]]] = {(name, run.key): [] for name, run in rows}
    for block in _blocks(stratum, repeats, np.random.default_rng(seed)):
        for name, run in rows:
            measured = prepared[name][run.key].measures(block[:, unit[run.test.index]])
            parts[name, run.key].append(measured)
    found: dict[str, dict[Key, Resampled]] = {name: {} for name in evidence.judged}
    for (name, key), each in parts.items():
        once = plain[name][key]
        found[name][key] = Resampled(once, {m: np.concatenate([part[m] for part in each]) for m in once})
    return found


def _prepare(evidence: Evidence, run: Scored) -> _Prepared | PreparedLabels:
    if evidence.multilabel:
        return PreparedLabels(run)
    return _Prepared(run, len(evidence.classes), evidence.store.study)


class _Prepared:
    """What one run needs for its measures under any weights."""

    def __init__(self, run: Scored, classes: int, study: Study) -> None:
        self.study = study
        self.classes = classes
        self.order = np.argsort(run.test.target, kind="stable")  # class by class
        self.target = run.test.target[self.order]
        self.right = (run.test.decision == run.test.target)[self.order].astype(np.float32)
        self.positive = run.positive
        self.ranking = Ranking(run.positive, run.score) if run.positive.any() else None
        cut = run.thresholds
        self.alarm = None if cut is None else (run.score >= cut.value).astype(np.float32)

    def plain(self) -> dict[str, float]:
        """Measures of the test samples as they are."""
        once = self.measures(np.ones((1, len(self.target)), np.float32))
        return {name: float(value[0]) for name, value in once.items()}

    def measures(self, weight: Weights) -> dict[str, Values]:
        """Measures (B,) by name."""
        by_class = weight[:, self.order]
        there, right = self._per_class(by_class), self._per_class(by_class * self.right)
        recall = np.divide(right, there, out=np.full_like(right, np.nan), where=there > 0)
        found = {
            "accuracy": right.sum(axis=1) / there.sum(axis=1),
            "balanced_accuracy": np.nanmean(recall, axis=1),
        }
        if self.ranking is not None:
            found["auc"], found["fpr_at_tpr"] = self.ranking.measures(weight, self.study.at_tpr)
        if self.ranking is not None and self.alarm is not None:
            tpr = _share(weight[:, self.positive], self.alarm[self.positive])
            fpr = _share(weight[:, ~self.positive], self.alarm[~self.positive])
            found |= {"sensitivity": tpr, "false_alarm_rate": fpr}
            if self.study.cost is not None:
                share, cost = self.study.prevalence or float(self.positive.mean()), self.study.cost
                found["expected_cost"] = cost.miss * share * (1 - tpr) + cost.alarm * (1 - share) * fpr
        return found

    def _per_class(self, ordered: Weights) -> Values:
        there = np.unique(self.target)
        sums = np.zeros((len(ordered), self.classes))
        sums[:, there] = np.add.reduceat(ordered, np.searchsorted(self.target, there), axis=1)
        return sums


def _share(weight: Weights, holds: NDArray[np.float32]) -> Values:
    total = weight.sum(axis=1, dtype=np.float64)
    return np.asarray((weight @ holds) / np.where(total > 0, total, np.nan), dtype=np.float64)


def _units(evidence: Evidence, runs: list[Scored]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Unit of every row of the data set, and the class (stratum) of every unit.

    A unit is a sample, or a group where the data is grouped; a group counts for its rarest class, and a
    sample of several labels for its rarest label.
    """
    index = np.concatenate([run.test.index for run in runs])
    target = np.concatenate([run.test.target for run in runs])
    if evidence.multilabel:
        target = rarest_label(target)
    name = index if evidence.group is None else evidence.group[index]
    units, place = np.unique(name, return_inverse=True)
    unit = np.zeros(int(index.max()) + 1, dtype=np.int64)
    unit[index] = place
    rarity = np.bincount(target, minlength=len(evidence.classes))[target]
    stratum = np.zeros(len(units), dtype=np.int64)
    common_first = np.argsort(-rarity, kind="stable")
    stratum[place[common_first]] = target[common_first]  # of a group's classes the rarest is written last
    return unit, stratum


def _blocks(stratum: NDArray[np.int64], repeats: int, rng: np.random.Generator) -> Iterator[Weights]:
    """(b, U) weights, block after block: how often each unit was drawn, within its own stratum."""
    members = [np.flatnonzero(stratum == c) for c in np.unique(stratum)]
    size = max(1, _BLOCK_ENTRIES // len(stratum))
    for start in range(0, repeats, size):
        rows = min(size, repeats - start)
        weight = np.zeros((rows, len(stratum)), dtype=np.float32)
        for own in members:
            drawn = rng.integers(0, own.size, (rows, own.size)) + np.arange(rows)[:, None] * own.size
            weight[:, own] = np.bincount(drawn.ravel(), minlength=rows * own.size).reshape(rows, own.size)
        yield weight
