"""Each method against the baseline: what another test set, and what another training, could change."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from steelyard.metrics import (
    cohens_d_paired,
    delong_test,
    difference_interval,
    difference_p_value,
    holm,
    mcnemar_test,
    mean_interval,
    runs_needed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from steelyard.metrics import Interval
    from steelyard.report.evidence import Evidence, Key, Scored
    from steelyard.report.resample import Resampled

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """``method`` minus ``baseline`` in one measure, averaged over the runs that both finished.

    ``low``, ``high`` and ``p_value`` cover both another training and other test samples. The corrected ones
    allow for the number of methods (Holm): the interval leaves zero out just where ``p_holm`` is below 0.05.
    """

    measure: str
    method: str
    baseline: str
    value: float  # the method's mean over the paired runs
    baseline_value: float
    difference: float
    low: float  # bounds of the 95 % interval; NaN for one run
    high: float
    p_value: float  # two-sided
    corrected_low: float
    corrected_high: float
    p_holm: float
    samples_low: float  # 95 % over test samples alone: the trained models as they are
    samples_high: float
    runs_low: float  # 95 % over runs alone: the test samples as they are
    runs_high: float
    runs: int  # paired by seed and fold
    same_side: int  # runs whose difference has the sign of the mean
    effect_size: float  # mean difference over its standard deviation between runs; NaN for one run
    runs_needed: int | None  # to show such a difference, by its spread; None if more runs cannot
    p_each: tuple[float, ...]  # per run: DeLong's test for AUC, McNemar's for accuracy, else empty

    @property
    def shown(self) -> bool:
        """Whether the difference stands, after Holm's correction."""
        return self.p_holm < ALPHA


def against_baseline(
    evidence: Evidence, resampled: Mapping[str, Mapping[Key, Resampled]], measures: Sequence[str]
) -> tuple[Comparison, ...]:
    """Compare every method, and every row made after training, with the baseline; empty without one.

    A row made after training that has the figures of its method in every run is left out: it decides alike.
    """
    baseline = evidence.baseline
    found: list[Comparison] = []
    for measure in measures:
        names = [
            name
            for name, runs in evidence.judged.items()
            if name != baseline and not _as_trained(resampled, name, runs, measure)
        ]
        found += _family(evidence, resampled, measure, [(name, baseline) for name in names])
    return tuple(found)


def against_controls(
    evidence: Evidence,
    resampled: Mapping[str, Mapping[Key, Resampled]],
    measures: Sequence[str],
    pairs: Sequence[tuple[str, str]],
) -> tuple[Comparison, ...]:
    """Compare the methods of ``pairs`` in each of ``measures``; those without a common run are left out."""
    return tuple(one for measure in measures for one in _family(evidence, resampled, measure, pairs))


def tied_with_best(
    resampled: Mapping[str, Mapping[Key, Resampled]], measure: str, names: Sequence[str], best: str
) -> set[str]:
    """Which of ``names`` are not shown to differ from ``best``, after Holm's correction.

    Empty where fewer than two runs are paired, and for measures that are not resampled.
    """
    pairs = [(name, _paired(resampled, measure, name, best)) for name in names if name != best]
    tested = [(name, one) for name, one in pairs if one is not None and len(one.differences) > 1]
    corrected = holm([difference_p_value(one.differences, one.replicates) for _, one in tested])
    return {name for (name, _), p in zip(tested, corrected, strict=True) if p >= ALPHA}


@dataclass(frozen=True, slots=True)
class _Paired:
    """The runs that two methods share, in one measure."""

    keys: list[Key]
    values: NDArray[np.float64]  # (R, 2) of the one and of the other
    replicates: NDArray[np.float64]  # (B,) of their mean difference, over test samples

    @property
    def differences(self) -> NDArray[np.float64]:
        return np.asarray(self.values[:, 0] - self.values[:, 1])


def _paired(
    resampled: Mapping[str, Mapping[Key, Resampled]], measure: str, method: str, other: str
) -> _Paired | None:
    """None where no run of both has the measure."""
    ours, theirs = resampled.get(method, {}), resampled.get(other, {})
    keys = [key for key in sorted(set(ours) & set(theirs)) if measure in ours[key].plain]
    if not keys:
        return None
    values = np.array([[side[key].plain[measure] for side in (ours, theirs)] for key in keys])
    replicates = [ours[key].resampled[measure] - theirs[key].resampled[measure] for key in keys]
    return _Paired(keys, values, np.mean(replicates, axis=0))


def _as_trained(
    resampled: Mapping[str, Mapping[Key, Resampled]], name: str, runs: Sequence[Scored], measure: str
) -> bool:
    """Whether a row made after training has the figures of its method in every run."""
    method = str(runs[0].stored.run.method)
    pair = None if name == method else _paired(resampled, measure, name, method)
    return pair is not None and not pair.differences.any()


def _family(
    evidence: Evidence,
    resampled: Mapping[str, Mapping[Key, Resampled]],
    measure: str,
    pairs: Sequence[tuple[str, str]],
) -> list[Comparison]:
    """The comparisons of ``pairs`` in one measure, corrected for their number."""
    there = [(*pair, found) for pair in pairs if (found := _paired(resampled, measure, *pair)) is not None]
    p_values = [difference_p_value(found.differences, found.replicates) for *_, found in there]
    levels = holm_levels(p_values, ALPHA)
    corrected = holm(p_values)
    return [
        _compare(evidence, measure, method, other, found, p, float(p_holm), level)
        for (method, other, found), p, p_holm, level in zip(there, p_values, corrected, levels, strict=True)
    ]


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """The confidence at which each interval leaves zero out exactly where Holm's procedure rejects.

    The smallest of m p-values is held against ``alpha / m``, the next against ``alpha / (m - 1)``, until one
    is not rejected; all others are held against the same.

    >>> [round(1 - level, 4) for level in holm_levels([0.001, 0.04, 0.03], alpha=0.05)]
    [0.0167, 0.025, 0.025]
    """
    made = [p for p in sorted(p_values) if not math.isnan(p)]
    tests = len(made)
    rejected = next((k for k, p in enumerate(made) if p * (tests - k) >= alpha), tests)
    place = {p: min(made.index(p), rejected) for p in made}
    return [1 - alpha / max(tests - place.get(p, 0), 1) for p in p_values]


def _compare(
    evidence: Evidence,
    measure: str,
    method: str,
    baseline: str,
    pair: _Paired,
    p_value: float,
    p_holm: float,
    level: float,
) -> Comparison:
    change, several = pair.differences, len(pair.keys) > 1
    value, other = (float(mean) for mean in pair.values.mean(axis=0))
    both = _possible(measure, difference_interval(change, pair.replicates))
    corrected = _possible(measure, difference_interval(change, pair.replicates, level))
    known = pair.replicates[np.isfinite(pair.replicates)]
    samples = np.quantile(known, [0.025, 0.975]) if known.size else [math.nan] * 2
    runs = _possible(measure, mean_interval(change))
    return Comparison(
        measure=measure,
        method=method,
        baseline=baseline,
        value=value,
        baseline_value=other,
        difference=value - other,
        low=both.low,
        high=both.high,
        p_value=p_value,
        corrected_low=corrected.low,
        corrected_high=corrected.high,
        p_holm=p_holm,
        samples_low=float(samples[0]),
        samples_high=float(samples[1]),
        runs_low=runs.low,
        runs_high=runs.high,
        runs=len(pair.keys),
        same_side=int((np.sign(change) == np.sign(value - other)).sum()),
        effect_size=cohens_d_paired(pair.values[:, 0], pair.values[:, 1]) if several else math.nan,
        runs_needed=runs_needed(change, pair.replicates) if several else None,
        p_each=tuple(_per_run(evidence, measure, method, baseline, pair.keys)),
    )


def _possible(measure: str, found: Interval) -> Interval:
    """Bounds that a difference can have: every measure but a cost lies between 0 and 1."""
    if measure == "expected_cost":
        return found
    return replace(found, low=max(found.low, -1.0), high=min(found.high, 1.0))


def _per_run(evidence: Evidence, measure: str, method: str, baseline: str, keys: list[Key]) -> list[float]:
    ours, theirs = ({run.key: run for run in evidence.judged[name]} for name in (method, baseline))
    both = [(ours[key], theirs[key]) for key in keys]
    if measure == "auc":
        return [delong_test(a.positive, a.score, b.score).p_value for a, b in both if _same(a, b)]
    if measure == "accuracy" and not evidence.multilabel:
        return [
            mcnemar_test(a.test.target, a.test.decision, b.test.decision).p_value
            for a, b in both
            if _same(a, b)
        ]
    return []


def _same(a: Scored, b: Scored) -> bool:
    return np.array_equal(a.test.index, b.test.index)
