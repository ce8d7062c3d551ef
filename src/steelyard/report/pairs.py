"""Methods in phases beside their controls, and ensembles beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steelyard.metrics import auc, critical_score, delong_test
from steelyard.report.measures import joined
from steelyard.studies.outcomes import averaged, ensembles, thinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from steelyard.records import Predictions
    from steelyard.report.evidence import Evidence


@dataclass(frozen=True, slots=True)
class EnsembleTest:
    """DeLong's test between the ensembles of two methods on one set of test samples."""

    method: str
    other: str
    samples: str  # "all", or "thinned" to the training ratio
    auc: float  # mean over seeds and folds, as below
    other_auc: float
    p_each: tuple[float, ...]  # one for each seed and fold that both have an ensemble of


def in_phases(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Each method in phases with its first phase alone, then with that trained on for as many epochs."""
    for method, own in evidence.facts.get("phases", {}).items():
        for other in (own["base"], own["control"]):
            if evidence.methods.get(method) and evidence.methods.get(other):
                yield method, other


def sentences(evidence: Evidence) -> list[str]:
    """What the rows of methods in phases, of their bases and of their controls are."""
    methods: dict[tuple[str, str], list[str]] = {}
    for method, own in evidence.facts.get("phases", {}).items():
        methods.setdefault((own["base"], own["control"]), []).append(method)
    return [
        f"{joined(names)} {'is' if len(names) == 1 else 'are'} trained in two phases: first as {base}, then "
        f"on with a constraint; {base} is the first phase alone and {control} trains on without the "
        f"constraint for as many epochs, so only what is gained over {control} is due to the constraint."
        for (base, control), names in methods.items()
    ]


def ensemble_tests(evidence: Evidence) -> tuple[EnsembleTest, ...]:
    """Every method against the baseline, and those in phases against their controls as well."""
    if not evidence.critical:
        return ()
    against = [(name, evidence.baseline) for name in evidence.finished if name != evidence.baseline]
    pairs = dict.fromkeys([*against, *in_phases(evidence)])
    return tuple(
        _test(evidence, method, other, samples, found)
        for samples, found in _ensembles(evidence).items()
        for method, other in pairs
        if found.get(method, {}).keys() & found.get(other, {}).keys()
    )


def _ensembles(evidence: Evidence) -> dict[str, dict[str, dict[tuple[int, int], Predictions]]]:
    """Predictions by samples, method, and seed and fold."""
    study = evidence.store.study
    found: dict[str, dict[str, dict[tuple[int, int], Predictions]]] = {"all": {}}
    for name, runs in evidence.finished.items():
        for members in ensembles([run.stored for run in runs], study):
            key = members[0].run.seed, members[0].run.fold
            whole = averaged(members)
            found["all"].setdefault(name, {})[key] = whole
            if study.data.thinned_test:
                part = thinned(whole, members[0].facts()["counts"]["train"])
                found.setdefault("thinned", {}).setdefault(name, {})[key] = part
    return found


def _test(
    evidence: Evidence,
    method: str,
    other: str,
    samples: str,
    found: dict[str, dict[tuple[int, int], Predictions]],
) -> EnsembleTest:
    ours, theirs = found[method], found[other]
    keys = sorted(ours.keys() & theirs.keys())
    scored = [(_scored(evidence, ours[key]), _scored(evidence, theirs[key])) for key in keys]
    return EnsembleTest(
        method=method,
        other=other,
        samples=samples,
        auc=float(np.mean([auc(*one) for one, _ in scored])),
        other_auc=float(np.mean([auc(*two) for _, two in scored])),
        p_each=tuple(delong_test(one[0], one[1], two[1]).p_value for one, two in scored),
    )


def _scored(evidence: Evidence, predictions: Predictions) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    positive = np.isin(predictions.target, evidence.critical)
    return positive, np.asarray(critical_score(predictions.logits, evidence.critical), dtype=np.float64)
