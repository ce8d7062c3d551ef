"""Numbers from saved predictions. Needs no training and no torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard import metrics
from steelyard.studies.decisions import Scores, decided
from steelyard.studies.outcomes import outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from steelyard.records import Predictions
    from steelyard.studies.config import Study
    from steelyard.studies.decisions import Thresholds
    from steelyard.studies.outcomes import Outcome
    from steelyard.studies.store import Store

Measures = dict[str, float]

_TOP = (2, 5, 10)  # places of the true class
_NEAR = (0.01, 0.05)  # distances from the largest probability
_SENSITIVITIES = (1.0, 0.95, 0.9)  # at which false alarms are measured, beside the one asked for
_BY_RULE = ("threshold", "sensitivity", "false_alarm_rate", "group_sensitivity", "expected_cost")


def measures(
    predictions: Predictions, classes: Sequence[str], critical: Sequence[int], at_tpr: float
) -> Measures:
    """Every measure of one set of predictions, by name.

    Args:
        predictions: Of N samples over the C classes.
        classes: Their C names; per-class measures are named ``recall[NAME]``.
        critical: Numbers of the classes that must not be missed; empty: no measures of an operating point.
        at_tpr: The sensitivity asked for.
    """
    if predictions.multilabel:
        return _measures_of_labels(predictions, classes)
    target, decision, probability = predictions.target, predictions.decision, predictions.probability
    per_class = {
        "recall": metrics.recall_per_class(target, decision, len(classes)),
        "precision": metrics.precision_per_class(target, decision, len(classes)),
        "f1": metrics.f1_per_class(target, decision, len(classes)),
    }
    found = {
        "accuracy": metrics.accuracy(target, decision),
        "balanced_accuracy": _mean_of_present(per_class["recall"]),
        "mean_auc": metrics.mean_auc(target, probability),
        "mean_f1": metrics.mean_f1(target, decision),
        "mean_precision": metrics.mean_precision(target, decision),
        "g_mean": metrics.g_mean(target, decision),
        "iba": metrics.iba(target, decision),
        "ece": metrics.expected_calibration_error(target, probability),
        "brier": metrics.brier(target, probability),
    }
    if len(classes) >= 10:  # how near the wrong decisions are; with few classes they cannot be far
        found |= {f"top{k}_accuracy": metrics.top_k_accuracy(target, probability, k) for k in _TOP}
        found |= {f"close_enough[{a}]": metrics.close_enough_accuracy(target, probability, a) for a in _NEAR}
    for name, values in per_class.items():
        found |= {f"{name}[{label}]": float(value) for label, value in zip(classes, values, strict=True)}
    if critical:
        scores = Scores.of(predictions, critical)
        positive, score = scores.positive, scores.score
        found["auc"] = metrics.auc(positive, score)
        found["average_precision"] = metrics.average_precision(positive, score)
        found["fpr_at_tpr"] = metrics.fpr_at_tpr(positive, score, at_tpr)
        found |= {f"fpr_at_tpr[{tpr:g}]": metrics.fpr_at_tpr(positive, score, tpr) for tpr in _SENSITIVITIES}
    return found


def _measures_of_labels(predictions: Predictions, labels: Sequence[str]) -> Measures:
    """Means over the labels, and of each label; one that all or no samples have counts for nothing."""
    target, decision, logits = predictions.target, predictions.decision, predictions.logits
    pairs = list(zip(target.T, logits.T, strict=True))
    per_label = {
        "balanced_accuracy": metrics.balanced_accuracy_per_label(target, decision),
        "auc": np.array([metrics.auc(*pair) for pair in pairs]),
        "average_precision": np.array([metrics.average_precision(*pair) for pair in pairs]),
        "f1": np.array(
            [metrics.f1_per_class(*pair, 2)[1] for pair in zip(target.T, decision.T, strict=True)]
        ),
    }
    found = {
        "accuracy": float((target == decision).mean()),
        "balanced_accuracy": _mean_of_present(per_label["balanced_accuracy"]),
        **{f"mean_{name}": _mean_of_present(per_label[name]) for name in ("auc", "average_precision", "f1")},
    }
    for name, values in per_label.items():
        found |= {f"{name}[{label}]": float(value) for label, value in zip(labels, values, strict=True)}
    return found


def evaluate(store: Store) -> list[dict[str, Any]]:
    """Rows of ``results.csv``: every run that did not fail, what comes free with it, and every ensemble."""
    facts, group = store.facts(), store.groups()
    return [
        {"method": outcome.name}
        | outcome.run.model_dump(exclude={"method"}, exclude_none=True)
        | {"split": part, "metric": metric, "value": f"{value:.10g}"}
        for outcome in outcomes(store)
        for part, measured in _all_measures(outcome, store.study, facts, group).items()
        for metric, value in measured.items()
    ]


def _all_measures(
    outcome: Outcome, study: Study, facts: dict[str, Any], group: NDArray[np.int64] | None
) -> dict[str, Measures]:
    """Measures by part: of each by itself, and of the decision that held-out samples chose."""
    found = {
        part: measures(predictions, facts["classes"], facts["critical"], study.at_tpr)
        for part, predictions in outcome.held_out.items()
    }
    if facts.get("superclass"):
        for part, predictions in outcome.held_out.items():
            found[part]["superclass_accuracy"] = metrics.superclass_accuracy(
                predictions.target, predictions.decision, facts["superclass"]
            )
    if outcome.thresholds is not None:
        for part, predictions in outcome.held_out.items():
            scores = Scores.of(predictions, facts["critical"], group)
            found[part] |= in_use(scores, outcome.thresholds, study)
    return found


def in_use(scores: Scores, thresholds: Thresholds, study: Study) -> Measures:
    """What the thresholds do on samples: plain names for the rule in use, ``name[rule]`` for each rule."""
    found = {"threshold": thresholds.value} | decided(scores, thresholds.value, study)
    for rule, value in thresholds.by_rule.items():
        own = {"threshold": value} | decided(scores, value, study)
        found |= {f"{name}[{rule}]": figure for name, figure in own.items() if name in _BY_RULE}
    return found


def _mean_of_present(values: Any) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else math.nan
