"""The decision in numbers: what each rule for the threshold did on the test samples, and what comes next."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

import numpy as np

from steelyard.metrics import clopper_pearson_interval
from steelyard.report.summary import AtPrevalence, Chosen, Counted, Decision
from steelyard.studies.decisions import COST, GUARANTEED, PLAIN, at_prevalence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Scored


def chosen(evidence: Evidence) -> Chosen | None:
    """The method that validation chose, with what it then did on the test samples."""
    name = evidence.chosen
    if name is None:
        return None
    on_validation = evidence.validation[name][evidence.deciding].values()
    test = {key: float(np.mean(list(runs.values()))) for key, runs in evidence.figures[name].items()}
    return Chosen(name, evidence.deciding, float(np.mean(list(on_validation))), test)


def decisions(evidence: Evidence) -> tuple[Decision, ...]:
    """Every rule of every candidate with a threshold; the trained methods first."""
    found = []
    for name, runs in {**evidence.finished, **evidence.judged}.items():
        scored = [run for run in runs if run.thresholds is not None]
        for rule in (COST, GUARANTEED, PLAIN):
            ruled = [run for run in scored if run.thresholds and rule in run.thresholds.by_rule]
            if ruled:
                found.append(_decision(evidence, name, rule, ruled))
    return tuple(found)


def promise(evidence: Evidence) -> str:
    """What the threshold in use promises: of the chosen method, or of the baseline, in its first run."""
    runs = evidence.judged.get(evidence.chosen or evidence.baseline, ())
    return next((run.thresholds.promise for run in runs if run.thresholds is not None), "")


def following(evidence: Evidence) -> tuple[str, ...]:
    """Commands that train the chosen method on all samples, keep it, and predict new samples."""
    if evidence.chosen is None:
        return ()
    method, _, change = evidence.chosen.partition(" + ")
    trained = evidence.store.study.confirms or str(evidence.store.folder)
    study = shlex.quote(f"{trained}/study.yaml")
    adjust = f" --adjust {change.replace(' ', '-')}" if change else ""
    return (
        f"steelyard train {study} --method {shlex.quote(method)} --test-fraction 0 --out steelyard-model",
        f"steelyard predict steelyard-model NEW{adjust} --out predictions.csv",
    )


def _decision(evidence: Evidence, name: str, rule: str, runs: Sequence[Scored]) -> Decision:
    figures, study = evidence.figures.get(name, {}), evidence.store.study

    def per_run(measure: str) -> list[float]:
        values = figures.get(f"{measure}[{rule}]", {})
        return [values[run.key] for run in runs if run.key in values]

    def mean(measure: str) -> float:
        known = [value for value in per_run(measure) if math.isfinite(value)]
        return float(np.mean(known)) if known else math.nan

    tpr, fpr = mean("sensitivity"), mean("false_alarm_rate")
    promised = per_run("group_sensitivity" if evidence.group is not None else "sensitivity")
    share = float(np.mean([run.positive.mean() for run in runs]))
    shares = [share] if study.prevalence is None else [share, study.prevalence]
    return Decision(
        method=name,
        rule=rule,
        in_use=all(run.thresholds is not None and run.thresholds.in_use == rule for run in runs),
        sensitivity=counted(evidence, tpr, [run.test.index[run.positive] for run in runs]),
        false_alarms=counted(evidence, fpr, [run.test.index[~run.positive] for run in runs]),
        groups_found=mean("group_sensitivity"),
        kept=sum(value >= study.at_tpr for value in promised),
        runs=len(runs),
        expected_cost=mean("expected_cost"),
        prevalence=tuple(AtPrevalence(each, **at_prevalence(tpr, fpr, each)) for each in shares),
    )


def counted(evidence: Evidence, value: float, rows: Sequence[NDArray[np.int64]]) -> Counted:
    """``value``, the mean share over runs, with an interval that counts each sample or group once."""
    every = np.unique(np.concatenate(rows))
    n = len(every if evidence.group is None else np.unique(evidence.group[every]))
    if not n or not math.isfinite(value):
        return Counted(value, math.nan, math.nan)
    interval = clopper_pearson_interval(round(value * n), n)
    return Counted(value, min(interval.low, value), max(interval.high, value))
