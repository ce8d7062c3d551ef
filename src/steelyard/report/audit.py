"""Suspected label errors: training samples of whose labels the models think otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard import _checks as check
from steelyard._checks import InputError
from steelyard.report.doubt import TIMES, Known, Opinion, doubt, known, unequal
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from steelyard.studies.store import Store, StoredRun

BY = ("probability", "margin", "loss", "weight")


@dataclass(frozen=True, slots=True)
class Suspect:
    """One training sample and how the models saw its label: means over runs."""

    rank: int  # 1 is the most suspect
    row: int  # of the data set
    name: str
    given: int  # class number
    suggested: int  # the likeliest class, as the classes are compared
    judged: bool  # whether the models know the given class well enough
    issue: bool  # whether the label is suspected to be wrong
    quality: float  # share of the judged samples that are more suspect; NaN if it is not judged
    own: float  # mean probability of the given class
    probability: float  # of the suggested class
    margin: float
    loss: float
    weight: float | None  # None without a weighting
    runs: int  # that trained on it
    held_out: int  # runs that predicted it without having trained on it


@dataclass(frozen=True, slots=True)
class Audit:
    """The training samples of a method's runs, the most suspect first, those not judged last."""

    method: str
    by: str
    per_class: bool
    runs: int  # that are finished
    asked: int  # runs of the method in the study
    classes: tuple[str, ...]
    known: tuple[Known, ...]  # by class number
    ranking: tuple[Suspect, ...]

    @property
    def issues(self) -> list[Suspect]:
        """The samples whose label is suspected to be wrong."""
        return [one for one in self.ranking if one.issue]


def audit(
    store: Store, method: str | None = None, *, by: str = "probability", per_class: bool | None = None
) -> Audit:
    """Rank the training samples of all finished runs of one method; reads the store only.

    A label is suspected if another class is at least :data:`~steelyard.report.doubt.TIMES` times as probable
    as the given one, on average over runs: for a run that trained on the sample its mean probability in
    training, each time before the step on the sample, for a run that held it out its prediction. Labels of a
    class that the models do not know well enough (:class:`~steelyard.report.doubt.Known`) are not judged:
    never suspected, and ranked last. Samples that no run trained on are left out.

    Args:
        store: of a comparison, which need not be at its end.
        method: as the study names it; None for the baseline, if it has a finished run, else the first that
            has; by weight for the first that has weights.
        by: ``"probability"`` ranks by :func:`~steelyard.report.doubt.doubt`, the others by the mean of
            :func:`suspicion` over the runs that trained on the sample.
        per_class: Whether classes are made comparable: probabilities by
            :func:`~steelyard.report.doubt.evened`, the other figures as in :func:`suspicion`. None for
            whether they are :func:`~steelyard.report.doubt.unequal` in size.

    Raises:
        InputError: if the study has no such method, no finished run of it, no weights where they are asked
            for, or was trained before losses and margins were kept.
    """
    check.one_of("ranking", by, BY)
    name, runs = _runs(store, method, by)
    kept = [_figures(run) for run in runs]
    trained = Opinion.mean([Opinion.of_one(one["index"], one["target"], one["probability"]) for one in kept])
    held_out = Opinion.mean([_predicted(run, part) for run in runs for part in store.study.parts])
    every = Opinion.mean([trained, held_out]).among(trained.index)
    classes = tuple(map(str, store.facts()["classes"]))
    counts = np.bincount(trained.given, minlength=len(classes))
    fair = unequal(counts) if per_class is None else per_class
    compared, outside, inside = (one.evened(counts) if fair else one for one in (every, held_out, trained))
    knowledge = known(outside, inside)
    judged = np.array([one.judged for one in knowledge])[every.given]
    doubts = doubt(compared.probability, every.given)
    means = {
        key: _mean(kept, [one[key] for one in kept]) for key in ("margin", "loss", "weight") if key in kept[0]
    }
    score = doubts
    if by != "probability":
        score = _mean(kept, [suspicion(by, one, one["target"], per_class=fair) for one in kept])
    order = np.lexsort((-score, ~judged))
    suggested, names = compared.probability.argmax(axis=1), store.names()
    ranking = tuple(
        Suspect(
            rank=n + 1,
            row=int(every.index[k]),
            name=str(names[every.index[k]]),
            given=int(every.given[k]),
            suggested=int(suggested[k]),
            judged=bool(judged[k]),
            issue=bool(judged[k] and doubts[k] >= math.log(TIMES)),
            quality=n / int(judged.sum()) if judged[k] else math.nan,
            own=float(every.probability[k, every.given[k]]),
            probability=float(every.probability[k, suggested[k]]),
            margin=float(means["margin"][k]),
            loss=float(means["loss"][k]),
            weight=float(means["weight"][k]) if "weight" in means else None,
            runs=int(trained.count[k]),
            held_out=int(every.count[k] - trained.count[k]),
        )
        for n, k in enumerate(order.tolist())
    )
    asked = sum(str(run.method) == name for run in store.study.runs())
    return Audit(name, by, fair, len(runs), asked, classes, tuple(knowledge), ranking)


def suspicion(
    by: str, figures: Mapping[str, ArrayLike], given: ArrayLike, *, per_class: bool = False
) -> NDArray[np.float64]:
    """(N,) how much the samples of one run stand out as label errors: mean 0, standard deviation 1.

    Args:
        by: ``"margin"``: the smaller the mean margin the more suspect (area under the margin: Pleiss et al.,
            NeurIPS 2020). ``"loss"``: the larger the mean loss. ``"weight"``: the further the mean weight
            lies on the side that this weighting gives to samples of large loss, the heavy one for LOW
            (Santiago et al., 2021), the light one for self-paced learning.
        figures: (N,) means over training of ``loss``, ``margin`` and ``weight``, as far as ``by`` needs them.
        given: (N,) class numbers.
        per_class: Whether mean and deviation are those of the samples of the same class.

    >>> suspicion("margin", {"margin": [2.0, 2.0, -4.0, 0.0]}, [0, 0, 1, 1]).round(2)
    array([-0.82, -0.82,  1.63, -0.  ])
    >>> suspicion("margin", {"margin": [2.0, 2.0, -4.0, 0.0]}, [0, 0, 1, 1], per_class=True)
    array([ 0.,  0.,  1., -1.])
    """
    value = np.asarray(figures[by], dtype=np.float64)
    if by == "weight":
        loss = np.asarray(figures["loss"], dtype=np.float64)
        value = value * np.sign(np.dot(value - value.mean(), loss - loss.mean()))
    elif by == "margin":
        value = -value
    group = np.asarray(given) if per_class else np.zeros(len(value), dtype=np.int64)
    size = np.maximum(np.bincount(group), 1)
    apart = value - (np.bincount(group, value) / size)[group]
    deviation = np.sqrt(np.bincount(group, apart**2) / size)[group]
    return np.asarray(np.divide(apart, deviation, out=np.zeros_like(apart), where=deviation > 0))


def _runs(store: Store, method: str | None, by: str) -> tuple[str, list[StoredRun]]:
    """The name of the method to audit and its finished runs."""
    names = [str(word) for word in store.study.methods]
    finished: dict[str, list[StoredRun]] = {name: [] for name in names}
    for run in store.runs():
        if run.failure is None:
            finished[str(run.run.method)].append(run)
    weighed = [name for name, runs in finished.items() if runs and runs[0].weights() is not None]
    if method is not None:
        name = check.one_of("method", str(Word.parse(method)), names)
    else:
        baseline = str(store.facts()["baseline"])
        there = [one for one in (baseline, *names) if finished[one]]
        name = (*(weighed if by == "weight" else ()), *there, baseline)[0]
    if not finished[name]:
        raise InputError(f"{store.folder} holds no finished run of {name}; let the comparison go on first.")
    if by == "weight" and name not in weighed:
        other = f'--method "{weighed[0]}", or ' if weighed else ""
        raise InputError(f"{name} gives samples no weights; give {other}--by probability, margin or loss.")
    return name, finished[name]


def _figures(run: StoredRun) -> dict[str, NDArray[Any]]:
    """What ``run`` kept of its training samples, rising by row; ``weight`` where it has weights."""
    weights = run.weights()
    return run.dynamics() | ({} if weights is None else {"weight": weights["mean"]})


def _predicted(run: StoredRun, part: str) -> Opinion:
    """What ``run`` predicted of samples that it did not train on."""
    found = run.predictions(part)
    return Opinion.of_one(found.index, found.target, found.probability)


def _mean(kept: Sequence[Mapping[str, NDArray[Any]]], parts: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """(K,) means over the runs that trained on a sample of ``parts``, one for each run; rising by row."""
    _, place = np.unique(np.concatenate([one["index"] for one in kept]), return_inverse=True)
    return np.asarray(np.bincount(place, np.concatenate(parts)) / np.bincount(place))
