"""From held-out scores to a decision: thresholds, what they rest on and what they promise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from steelyard.records import Predictions
    from steelyard.studies.config import Study

GUARANTEED, PLAIN, COST = "guaranteed", "plain", "cost"  # the rules by which a threshold is chosen


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of samples that the models which gave them were not trained on."""

    positive: NDArray[np.bool_]  # (N,) of a critical class
    score: NDArray[np.float64]  # (N,) log-odds of the critical classes against the rest
    group: NDArray[np.int64] | None = None  # (N,) where samples of one group are no independent evidence
    models: int = 1  # that gave the scores, each for samples of its own

    @classmethod
    def of(
        cls, predictions: Predictions, critical: Sequence[int], group: NDArray[np.int64] | None = None
    ) -> Scores:
        """Scores of ``predictions``; ``group`` has the group of every row of the data set."""
        return cls(
            np.isin(predictions.target, critical),
            metrics.critical_score(predictions.logits, critical),
            None if group is None else group[predictions.index],
        )

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """The samples of all ``parts``, each with scores of a model of its own."""
        grouped = all(part.group is not None for part in parts)
        return cls(
            np.concatenate([part.positive for part in parts]),
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.group for part in parts if part.group is not None]) if grouped else None,
            len(parts),
        )

    @property
    def units(self) -> int:
        """Independent critical samples: the samples, or their groups."""
        if self.group is None:
            return int(self.positive.sum())
        return len(np.unique(self.group[self.positive]))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores from which on to decide "critical", by rule, with what they were chosen for and from."""

    by_rule: dict[str, float]  # "plain", "guaranteed" where enough positives are held out, "cost" if asked
    at_tpr: float
    confidence: float  # 0: no guarantee was asked for
    positives: int  # held-out critical samples, or groups that hold one
    grouped: bool
    models: int  # whose held-out scores were joined; 1: those of the model itself

    @property
    def in_use(self) -> str:
        """The rule that decides: cost where it is asked for, else the guarantee where it can be given."""
        return next(rule for rule in (COST, GUARANTEED, PLAIN) if rule in self.by_rule)

    @property
    def value(self) -> float:
        """The threshold in use."""
        return self.by_rule[self.in_use]

    @property
    def shortfall(self) -> str:
        """Why no guarantee is given although one was asked for; empty where that is not so."""
        if not self.confidence or GUARANTEED in self.by_rule:
            return ""
        if self.at_tpr == 1:
            return "no finite number of samples can promise a sensitivity of 100 %"
        needed = metrics.positives_needed(self.at_tpr, self.confidence)
        best = 100 * metrics.promised_tpr(self.positives, self.confidence)
        return (
            f"{self._counted} {'is' if self.positives == 1 else 'are'} held out, {needed} are needed for "
            f"{_share(self.at_tpr)} with {_share(self.confidence)} confidence; these can promise at most "
            f"{best:.1f} %"
        )

    @property
    def promise(self) -> str:
        """What the threshold in use promises of new samples, in one sentence."""
        rule, source = self.in_use, f"chosen from the scores of {self._counted}{self._of_models}"
        if rule == GUARANTEED:
            found = (
                f"at least {_share(self.at_tpr)} of new groups with a critical sample have all of them found"
                if self.grouped
                else f"at least {_share(self.at_tpr)} of new critical samples are found"
            )
            return f"With {_share(self.confidence)} confidence {found} ({source}).{self._of_a_model}"
        if rule == COST:
            return f"The least expected cost on held-out samples ({source}); no sensitivity is promised."
        return f"{_share(self.at_tpr)} of the held-out critical samples are found ({source}); " + (
            f"nothing is promised of new ones: {self.shortfall}." if self.shortfall else
            "nothing is promised of new ones."
        )  # fmt: skip

    @property
    def in_short(self) -> str:
        """The promise in a few words, for a column of a table."""
        if self.in_use != GUARANTEED:
            return "none"
        of = "critical groups" if self.grouped else "critical samples"
        about = ", approximately" if self.models > 1 else ""
        return f"{_share(self.at_tpr)} of new {of} with {_share(self.confidence)} confidence{about}"

    @property
    def _counted(self) -> str:
        noun = "group with a critical sample" if self.grouped else "critical sample"
        if self.grouped and self.positives != 1:
            return f"{self.positives} groups with critical samples"
        return f"{self.positives} {noun}{'' if self.positives == 1 else 's'}"

    @property
    def _of_models(self) -> str:
        return f", each by one of {self.models} models that was not trained on it" if self.models > 1 else ""

    @property
    def _of_a_model(self) -> str:
        """A promise from several models' scores is not one for each of them."""
        if self.models == 1:
            return ""
        return (
            " It holds for a new sample that one of these models, drawn at random, judges; approximately, "
            "as the models share training samples, and a single one may do better or worse."
        )


def choose(scores: Scores, study: Study) -> Thresholds | None:
    """Thresholds by every rule that ``study`` asks for; None without a critical sample to choose on."""
    if not scores.positive.any():
        return None
    positive, score = scores.positive, scores.score
    by_rule = {PLAIN: metrics.threshold_at_tpr(positive, score, study.at_tpr)}
    if study.confidence and study.at_tpr < 1:
        needed = metrics.positives_needed(study.at_tpr, study.confidence)
        if scores.units >= needed:
            by_rule[GUARANTEED] = metrics.threshold_at_tpr(
                positive, score, study.at_tpr, study.confidence, group=scores.group
            )
    if study.cost is not None and not positive.all():
        cost = study.cost
        by_rule[COST] = metrics.threshold_at_cost(positive, score, cost.miss, cost.alarm, study.prevalence)
    grouped = scores.group is not None
    return Thresholds(by_rule, study.at_tpr, study.confidence, scores.units, grouped, scores.models)


def decided(scores: Scores, threshold: float, study: Study) -> dict[str, float]:
    """What deciding "critical" from ``threshold`` on does on samples; NaN where a side is absent.

    Precision and its kind hold at the share of critical samples among these, and once more at the prevalence
    that the study names. The expected cost is that at the named prevalence, where there is one.
    """
    alarm, positive = metrics.decide(scores.score, threshold) == 1, scores.positive
    tpr = float(alarm[positive].mean()) if positive.any() else math.nan
    fpr = float(alarm[~positive].mean()) if not positive.all() else math.nan
    found = {"sensitivity": tpr, "false_alarm_rate": fpr}
    if scores.group is not None:
        found["group_sensitivity"] = _share_of_groups(scores.group[positive], alarm[positive])
    share = float(positive.mean()) if len(positive) else math.nan
    found |= at_prevalence(tpr, fpr, share)
    if study.prevalence is not None:
        share = study.prevalence
        elsewhere = at_prevalence(tpr, fpr, share)
        found |= {f"{name}[prevalence={share:g}]": value for name, value in elsewhere.items()}
    if study.cost is not None:
        found["expected_cost"] = metrics.expected_cost(tpr, fpr, share, study.cost.miss, study.cost.alarm)
    return found


def at_prevalence(tpr: float, fpr: float, prevalence: float) -> dict[str, float]:
    """What a sensitivity and a false-alarm rate mean where a share ``prevalence`` of samples is critical."""
    found, alarms = prevalence * tpr, prevalence * tpr + (1 - prevalence) * fpr
    return {
        "precision": metrics.precision_at_prevalence(tpr, fpr, prevalence),
        "npv": metrics.npv_at_prevalence(tpr, fpr, prevalence),
        "alarms_per_1000": 1000 * alarms,
        "alarms_per_case_found": alarms / found if found > 0 else math.inf if alarms > 0 else math.nan,
    }


def _share_of_groups(group: NDArray[np.int64], found: NDArray[np.bool_]) -> float:
    """Share of the groups whose samples are all found."""
    if not len(group):
        return math.nan
    number = np.unique(group, return_inverse=True)[1]
    missed: Any = np.bincount(number, ~found)
    return float((missed == 0).mean())


def _share(value: float) -> str:
    return f"{100 * value:.4g} %"
