"""Numbers from saved predictions. Needs no training and no torch."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard import metrics
from steelyard.records import Predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from steelyard.studies.config import Run, Study
    from steelyard.studies.store import Store, StoredRun

Measures = dict[str, float]

CORRECTIONS = ("logit adjustment", "prior shift")  # for the classes' frequencies, after training

_TOP = (2, 5, 10)  # places of the true class
_NEAR = (0.01, 0.05)  # distances from the largest probability
_SENSITIVITIES = (1.0, 0.95, 0.9)  # at which false alarms are measured, beside the one asked for


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
        positive, score = positives_and_score(predictions, critical)
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


def decided(predictions: Predictions, critical: Sequence[int], threshold: float) -> Measures:
    """Sensitivity and false-alarm rate of deciding "critical" where the score reaches ``threshold``.

    Both are NaN with a threshold of NaN, by which nothing can be decided.
    """
    if math.isnan(threshold):
        return {"sensitivity": math.nan, "false_alarm_rate": math.nan}
    positive, score = positives_and_score(predictions, critical)
    alarm = score >= threshold
    return {
        "sensitivity": float(alarm[positive == 1].mean()) if (positive == 1).any() else math.nan,
        "false_alarm_rate": float(alarm[positive == 0].mean()) if (positive == 0).any() else math.nan,
    }


def positives_and_score(predictions: Predictions, critical: Sequence[int]) -> tuple[Any, Any]:
    """(N,) 1 for samples of the critical classes, and (N,) log-odds of those classes against the rest."""
    positive = np.isin(predictions.target, critical).astype(np.int64)
    return positive, metrics.critical_score(predictions.logits, critical)


def threshold(validation: Predictions, critical: Sequence[int], at_tpr: float) -> float:
    """The score from which on to decide "critical"; NaN without a critical sample in ``validation``."""
    positive, score = positives_and_score(validation, critical)
    return metrics.threshold_at_tpr(positive, score, at_tpr)


def evaluate(store: Store) -> list[dict[str, Any]]:
    """Rows of ``results.csv``: every run that did not fail, what comes free with it, and every ensemble."""
    facts, study = store.facts(), store.study
    finished = [stored for stored in store.runs() if stored.failure is None]
    rows = [
        row
        for stored in finished
        for name, held_out in _with_free_choices(stored, study)
        for row in _rows(stored.run, name, _all_measures(held_out, study, facts))
    ]
    for members in ensembles(finished, study.ensemble):
        whole = members[0].run.model_copy(update={"member": None})
        called, tested = f"{whole.method}, ensemble of {len(members)}", {"test": averaged(members)}
        for name, held_out in [(called, tested), *_on_thinned_test(called, tested, members[0], study)]:
            rows += _rows(whole, name, _all_measures(held_out, study, facts))
    return rows


def _rows(run: Run, name: str, found: Mapping[str, Measures]) -> list[dict[str, Any]]:
    key = {"method": name} | run.model_dump(exclude={"method"}, exclude_none=True)
    return [
        key | {"split": part, "metric": metric, "value": f"{value:.10g}"}
        for part, measured in found.items()
        for metric, value in measured.items()
    ]


def ensembles(finished: Sequence[StoredRun], size: int | None) -> list[list[StoredRun]]:
    """The members of each ensemble of ``size``; one of which a member failed is left out."""
    found: dict[tuple[str, int, int], list[StoredRun]] = defaultdict(list)
    for stored in finished if size else ():
        found[str(stored.run.method), stored.run.seed, stored.run.fold].append(stored)
    return [members for members in found.values() if len(members) == size]


def averaged(members: Sequence[StoredRun]) -> Predictions:
    """Predictions of an ensemble: the mean of its members' logits, on their common test samples."""
    parts = [stored.predictions("test").in_order() for stored in members]
    logits = np.stack([part.logits for part in parts]).mean(axis=0, dtype=np.float64)
    return Predictions(np.asarray(logits), parts[0].target, parts[0].index)


def thinned(predictions: Predictions, counts: Sequence[int]) -> Predictions:
    """As many of the samples as can be kept with classes in the ratio of ``counts``; always the same ones."""
    ordered, share = predictions.in_order(), np.asarray(counts) / np.sum(counts)
    there = np.bincount(ordered.target, minlength=len(share))
    size = np.min(there[share > 0] / share[share > 0])
    drawn = np.random.default_rng(0).permutation(len(ordered.target))
    kept = [drawn[ordered.target[drawn] == c][: round(size * part)] for c, part in enumerate(share)]
    rows = np.sort(np.concatenate(kept))
    return Predictions(ordered.logits[rows], ordered.target[rows], ordered.index[rows])


def _with_free_choices(stored: StoredRun, study: Study) -> Iterator[tuple[str, dict[str, Predictions]]]:
    """A run's predictions by part, as they are and after each change that needs no training."""
    name = str(stored.run.method)
    held_out = {part: stored.predictions(part) for part in study.parts}
    yield name, held_out
    if held_out["test"].multilabel:
        return  # what follows is for classes that exclude each other
    yield from _on_thinned_test(name, held_out, stored, study)
    counts = np.asarray(stored.facts()["counts"]["train"], dtype=np.float64)
    priors = counts / counts.sum()
    adjustment, shift = CORRECTIONS
    yield (
        f"{name} + {adjustment}",
        {k: replace(p, logits=metrics.adjust_logits(p.logits, priors)) for k, p in held_out.items()},
    )
    yield f"{name} + {shift}", {k: _to_own_priors(p, priors) for k, p in held_out.items()}
    if "val" in held_out:
        temperature = metrics.fit_temperature(held_out["val"].logits, held_out["val"].target)
        yield (
            f"{name} + temperature",
            {k: replace(p, logits=p.logits / temperature) for k, p in held_out.items()},
        )


def _on_thinned_test(
    name: str, held_out: Mapping[str, Predictions], stored: StoredRun, study: Study
) -> Iterator[tuple[str, dict[str, Predictions]]]:
    """The same predictions on test samples in the training ratio, where the study asks for it."""
    if study.data.thinned_test:
        counts = stored.facts()["counts"]["train"]
        yield f"{name}, thinned test", {"test": thinned(held_out["test"], counts)}


def _to_own_priors(predictions: Predictions, train_priors: NDArray[np.float64]) -> Predictions:
    """Corrected for the class priors of these samples themselves, estimated without their labels."""
    found = metrics.estimate_priors(predictions.probability, train_priors)
    shift = np.log(np.maximum(found, np.finfo(np.float64).tiny) / train_priors)
    return replace(predictions, logits=predictions.logits + shift)


def _all_measures(
    held_out: Mapping[str, Predictions], study: Study, facts: dict[str, Any]
) -> dict[str, Measures]:
    critical = facts["critical"]
    found = {
        part: measures(predictions, facts["classes"], critical, study.at_tpr)
        for part, predictions in held_out.items()
    }
    if facts.get("superclass"):
        for part, predictions in held_out.items():
            found[part]["superclass_accuracy"] = metrics.superclass_accuracy(
                predictions.target, predictions.decision, facts["superclass"]
            )
    if critical and "val" in held_out:
        cut = threshold(held_out["val"], critical, study.at_tpr)
        found["test"] |= decided(held_out["test"], critical, cut)
    return found


def _mean_of_present(values: Any) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else math.nan
