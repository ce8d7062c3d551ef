"""Suspected label errors: training samples that the models disagreed with while they trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard import _checks as check
from steelyard._checks import InputError
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from steelyard.studies.store import Store, StoredRun

BY = ("margin", "loss", "weight")


@dataclass(frozen=True, slots=True)
class Suspect:
    """One training sample and how the models saw its label: means over the runs that trained on it."""

    rank: int  # 1 is the most suspect
    row: int  # of the data set
    name: str
    given: int  # class number
    suggested: int  # class of the largest mean probability
    quality: float  # share of the samples that are more suspect
    probability: float  # of the suggested class
    margin: float
    loss: float
    weight: float | None  # None without a weighting
    runs: int

    @property
    def issue(self) -> bool:
        """Whether the label is suspected to be wrong."""
        return self.suggested != self.given


@dataclass(frozen=True, slots=True)
class Audit:
    """The training samples of a method's runs, the most suspect first."""

    method: str
    by: str
    per_class: bool
    runs: int
    classes: tuple[str, ...]
    ranking: tuple[Suspect, ...]

    @property
    def issues(self) -> list[Suspect]:
        """The samples whose label is suspected to be wrong."""
        return [one for one in self.ranking if one.issue]


def audit(store: Store, method: str | None = None, *, by: str = "margin", per_class: bool = False) -> Audit:
    """Rank the training samples of all finished runs of one method; reads the store only.

    A sample's rank is that of its mean :func:`suspicion` over the runs that trained on it. The suggested
    label is the class of the largest probability, averaged over training, each time before the step on the
    sample, and over runs. Samples that no run trained on are left out.

    Args:
        store: of a comparison, which need not be at its end.
        method: as the study names it; None for the baseline or, by weight, for the first that has weights.
        by: ``"margin"``, ``"loss"`` or ``"weight"``.
        per_class: as in :func:`suspicion`.

    Raises:
        InputError: if the study has no such method, no finished run of it, no weights where they are asked
            for, or was trained before losses and margins were kept.
    """
    check.one_of("ranking", by, BY)
    name, runs = _runs(store, method, by)
    kept = [_figures(run) for run in runs]
    index, given = (np.concatenate([one[key] for one in kept]) for key in ("index", "target"))
    row, first, place, count = np.unique(index, return_index=True, return_inverse=True, return_counts=True)

    def mean(parts: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """(K,) means over runs of what each run has of its samples."""
        return np.asarray(np.bincount(place, np.concatenate(parts)) / count)

    classes = tuple(map(str, store.facts()["classes"]))
    score = mean([suspicion(by, one, one["target"], per_class=per_class) for one in kept])
    probability = np.stack([mean([one["probability"][:, c] for one in kept]) for c in range(len(classes))], 1)
    means = {key: mean([one[key] for one in kept]) for key in BY if key in kept[0]}
    names = store.names()
    order = np.argsort(-score, kind="stable")
    ranking = tuple(
        Suspect(
            rank=n + 1,
            row=int(row[k]),
            name=str(names[row[k]]),
            given=int(given[first[k]]),
            suggested=int(probability[k].argmax()),
            quality=n / len(order),
            probability=float(probability[k].max()),
            margin=float(means["margin"][k]),
            loss=float(means["loss"][k]),
            weight=float(means["weight"][k]) if "weight" in means else None,
            runs=int(count[k]),
        )
        for n, k in enumerate(order.tolist())
    )
    return Audit(name, by, per_class, len(runs), classes, ranking)


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
        name = weighed[0] if by == "weight" and weighed else str(store.facts()["baseline"])
    if not finished[name]:
        raise InputError(f"{store.folder} holds no finished run of {name}; let the comparison go on first.")
    if by == "weight" and name not in weighed:
        other = f'--method "{weighed[0]}", or ' if weighed else ""
        raise InputError(f"{name} gives samples no weights; give {other}--by margin or loss.")
    return name, finished[name]


def _figures(run: StoredRun) -> dict[str, NDArray[Any]]:
    """What ``run`` kept of its training samples, rising by row; ``weight`` where it has weights."""
    weights = run.weights()
    return run.dynamics() | ({} if weights is None else {"weight": weights["mean"]})
