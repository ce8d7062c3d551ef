"""A trained model on new samples in figures, each with an interval where there is one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.metrics import Interval
from steelyard.report.decisions import counted
from steelyard.report.evidence import Evidence, Scored
from steelyard.report.measures import count
from steelyard.report.resample import resample
from steelyard.studies.decisions import Scores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from steelyard.studies.confirm import Judged


@dataclass(frozen=True)
class Confirmed:
    """One model's figures on new samples; ``NaN`` where these give none, for the reason in ``notes``."""

    model: str  # its folder
    method: str
    data: str
    figures: dict[str, float]
    intervals: dict[str, Interval]  # of some figures: over other samples, the model as it is
    samples: int
    positives: int | None  # of the critical classes; None without such
    groups: int | None  # of samples; None where the data is not grouped
    promise: str  # of the threshold in use; empty without one
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The figures by name, and beside them what qualifies them."""
        intervals = {name: [one.low, one.high] for name, one in self.intervals.items()}
        return self.figures | {
            "model": self.model,
            "method": self.method,
            "data": self.data,
            "samples": self.samples,
            "positives": self.positives,
            "groups": self.groups,
            "intervals": intervals,
            "promise": self.promise,
            "notes": list(self.notes),
        }

    def counts(self) -> str:
        """How many samples, critical ones and groups stand behind the figures."""
        parts = [count(self.samples, "sample")]
        if self.positives is not None:
            parts.append(f"{self.positives} of them critical")
        if self.groups is not None:
            parts.append(f"in {count(self.groups, 'group')}")
        return ", ".join(parts)


def confirmed(judged: Judged) -> Confirmed:
    """Figures and 95 % intervals of a model on new samples.

    Shares of samples, such as the sensitivity, have Clopper and Pearson's interval, which counts a group
    once; other measures that of the bootstrap, which draws whole groups.
    """
    evidence, run = _evidence(judged)
    figures, group = judged.figures(), judged.group
    found = {}
    for name, drawn in resample(evidence)[judged.name][run.key].resampled.items():
        known = drawn[np.isfinite(drawn)]
        if name in figures and known.size:
            low, high = np.quantile(known, [0.025, 0.975])
            found[name] = Interval(figures[name], float(low), float(high), 0.95)
    for name, rows in _shares(judged, run):
        share = counted(evidence, figures.get(name, math.nan), [rows])
        if math.isfinite(share.low):
            found[name] = Interval(share.value, share.low, share.high, 0.95)
    return Confirmed(
        model=str(judged.stored.folder),
        method=judged.name,
        data=judged.data,
        figures=figures,
        intervals=found,
        samples=len(run.test.target),
        positives=int(run.positive.sum()) if judged.critical else None,
        groups=None if group is None else len(np.unique(group[run.test.index])),
        promise=judged.thresholds.promise if judged.thresholds else "",
        notes=judged.notes,
    )


def _evidence(judged: Judged) -> tuple[Evidence, Scored]:
    """The run as the machinery of the page takes it."""
    test, critical = judged.predictions.in_order(), judged.critical
    scores = Scores.of(test, critical) if critical else None
    run = Scored(
        judged.stored,
        test,
        scores.positive if scores else np.zeros(len(test.target), dtype=bool),
        scores.score if scores else np.zeros(len(test.target)),
        judged.thresholds,
        tuple(critical),
    )
    evidence = Evidence(
        store=judged.store,
        facts=judged.store.facts(),
        methods={judged.name: (run,)},
        derived={},
        failed=(),
        figures={},
        validation={},
        group=judged.group,
    )
    return evidence, run


def _shares(judged: Judged, run: Scored) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Figures that are a share of samples, each with the rows of these."""
    index, target = run.test.index, run.test.target
    if run.test.multilabel:
        return
    yield "accuracy", index
    for number, name in enumerate(judged.classes):
        yield f"recall[{name}]", index[target == number]
    if judged.thresholds is None:
        return
    for rule in ("", *(f"[{rule}]" for rule in judged.thresholds.by_rule)):
        yield f"sensitivity{rule}", index[run.positive]
        yield f"false_alarm_rate{rule}", index[~run.positive]
    yield "precision", index[run.score >= judged.thresholds.value]
