"""Each method against the baseline: what another test set, and what another training, could change."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from steelyard.metrics import (
    cohens_d_paired,
    corrected_resampled_t_test,
    delong_test,
    holm,
    mcnemar_test,
    wilcoxon_test,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Key, Scored
    from steelyard.report.resample import Resampled

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """``method`` minus ``baseline`` in one measure, averaged over the runs that both finished."""

    measure: str
    method: str
    baseline: str
    value: float  # the method's mean over the paired runs
    baseline_value: float
    difference: float
    low: float  # bounds of the 95 % interval over test samples
    high: float
    p_value: float  # two-sided, over test samples
    p_holm: float  # corrected for the number of methods
    runs: int  # paired by seed and fold
    same_side: int  # runs whose difference has the sign of the mean
    effect_size: float  # mean difference over its standard deviation between runs; NaN for one run
    p_runs: float  # corrected resampled t-test over runs
    p_signed_rank: float  # Wilcoxon's test over runs
    p_each: tuple[float, ...]  # per run: DeLong's test for AUC, McNemar's for accuracy, else empty

    @property
    def shown(self) -> bool:
        """Whether the difference stands against the choice of test samples, after Holm's correction."""
        return self.p_holm < ALPHA


def against_baseline(
    evidence: Evidence, resampled: Mapping[str, Mapping[Key, Resampled]], measures: Sequence[str]
) -> tuple[Comparison, ...]:
    """Compare every finished method with the baseline in each of ``measures``; empty without a baseline."""
    found: list[Comparison] = []
    for measure in measures:
        family = [
            _compare(evidence, resampled, measure, name, evidence.baseline)
            for name in evidence.finished
            if name != evidence.baseline and set(resampled[name]) & set(resampled.get(evidence.baseline, {}))
        ]
        found += _with_holm(family)
    return tuple(found)


def against_controls(
    evidence: Evidence,
    resampled: Mapping[str, Mapping[Key, Resampled]],
    measures: Sequence[str],
    pairs: Sequence[tuple[str, str]],
) -> tuple[Comparison, ...]:
    """Compare the methods of ``pairs`` in each of ``measures``; those without a common run are left out."""
    there = [(method, other) for method, other in pairs if set(resampled[method]) & set(resampled[other])]
    found: list[Comparison] = []
    for measure in measures:
        found += _with_holm([_compare(evidence, resampled, measure, *pair) for pair in there])
    return tuple(found)


def tied_with_best(evidence: Evidence, measure: str, best: str) -> set[str]:
    """Methods whose runs a paired test cannot tell from those of ``best``, after Holm's correction.

    Empty where fewer than two runs are paired: then nothing can be said.
    """
    names, p_values = [], []
    for name in evidence.finished:
        pairs = _pairs(evidence, measure, name, best)
        if name != best and len(pairs) > 1:
            names.append(name)
            p_values.append(_p_over_runs(evidence, pairs))
    corrected = holm(p_values)
    return {name for name, p in zip(names, corrected, strict=True) if not p < ALPHA}


def percentiles(resampled: NDArray[np.float64]) -> tuple[float, float, float]:
    """95 % interval of a difference from its resamples, and the two-sided p-value that goes with it.

    Plain percentiles: for a rate at a high sensitivity, which hangs on the few lowest positives, they hold
    the true difference more often than normal, pivotal or bias-corrected intervals (measured on Gaussian
    scores). The p-value is twice the share of resamples on the rarer side of 0, and never below 2 / (B + 1).

    >>> low, high, p = percentiles(np.linspace(-1.0, 3.0, 999))
    >>> round(low, 2), round(high, 2), round(p, 2)
    (-0.9, 2.9, 0.5)
    """
    if not resampled.size:
        return math.nan, math.nan, math.nan
    low, high = np.quantile(resampled, [0.025, 0.975])
    rarer = min((resampled <= 0).sum(), (resampled >= 0).sum())
    return float(low), float(high), float(min(1.0, 2 * (rarer + 1) / (resampled.size + 1)))


def _compare(
    evidence: Evidence,
    resampled: Mapping[str, Mapping[Key, Resampled]],
    measure: str,
    method: str,
    baseline: str,
) -> Comparison:
    ours, theirs = resampled[method], resampled[baseline]
    keys = sorted(set(ours) & set(theirs))
    value = float(np.mean([ours[key].plain[measure] for key in keys]))
    baseline_value = float(np.mean([theirs[key].plain[measure] for key in keys]))
    spread = np.mean([ours[key].resampled[measure] - theirs[key].resampled[measure] for key in keys], axis=0)
    low, high, p_value = percentiles(spread[np.isfinite(spread)])
    pairs = np.array([[ours[key].plain[measure], theirs[key].plain[measure]] for key in keys])
    change = pairs[:, 0] - pairs[:, 1]
    several = len(keys) > 1
    return Comparison(
        measure=measure,
        method=method,
        baseline=baseline,
        value=value,
        baseline_value=baseline_value,
        difference=value - baseline_value,
        low=low,
        high=high,
        p_value=p_value,
        p_holm=math.nan,
        runs=len(keys),
        same_side=int((np.sign(change) == np.sign(value - baseline_value)).sum()),
        effect_size=cohens_d_paired(pairs[:, 0], pairs[:, 1]) if several else math.nan,
        p_runs=_p_over_runs(evidence, pairs) if several else math.nan,
        p_signed_rank=wilcoxon_test(pairs[:, 0], pairs[:, 1]).p_value if several else math.nan,
        p_each=tuple(_per_run(evidence, measure, method, baseline, keys)),
    )


def _with_holm(family: list[Comparison]) -> list[Comparison]:
    corrected = holm([one.p_value for one in family])
    return [replace(one, p_holm=float(p)) for one, p in zip(family, corrected, strict=True)]


def _pairs(evidence: Evidence, measure: str, a: str, b: str) -> NDArray[np.float64]:
    """(n, 2) figures of the runs that both methods finished."""
    ours, theirs = (evidence.figures.get(name, {}).get(measure, {}) for name in (a, b))
    pairs = [(ours[key], theirs[key]) for key in sorted(set(ours) & set(theirs))]
    found = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return found[np.isfinite(found).all(axis=1)]


def _p_over_runs(evidence: Evidence, pairs: NDArray[np.float64]) -> float:
    facts = next(iter(evidence.finished.values()))[0].facts
    train, test = (
        facts["samples"][part] if "samples" in facts else sum(facts["counts"][part])
        for part in ("train", "test")
    )
    return corrected_resampled_t_test(pairs[:, 0], pairs[:, 1], test / (train + test)).p_value


def _per_run(evidence: Evidence, measure: str, method: str, baseline: str, keys: list[Key]) -> list[float]:
    ours, theirs = ({run.key: run for run in evidence.methods[name]} for name in (method, baseline))
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
