"""What is judged: the predictions of every run and ensemble, as trained and as changed without training."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from steelyard import _checks as check
from steelyard import metrics
from steelyard.records import Predictions
from steelyard.studies.decisions import Scores, Thresholds, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from steelyard.studies.config import Run, Study
    from steelyard.studies.store import Store, StoredRun

LOGIT_ADJUSTMENT, PRIOR_SHIFT = "logit adjustment", "prior shift"
CORRECTIONS = (LOGIT_ADJUSTMENT, PRIOR_SHIFT)  # for the classes' frequencies, after training
TEMPERATURE = "temperature"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One set of predictions under one name, with the thresholds that held-out samples chose for it."""

    stored: StoredRun  # whose predictions they are; the first member's, of an ensemble
    name: str  # the method, and what was changed after its training
    held_out: dict[str, Predictions]  # by part
    members: tuple[StoredRun, ...] = ()  # of an ensemble
    thinned: bool = False  # on a part of the test samples, in the training ratio of the classes
    thresholds: Thresholds | None = None  # None without critical classes or without held-out positives

    @property
    def run(self) -> Run:
        """The run; without a member where it is a whole ensemble."""
        return self.stored.run.model_copy(update={"member": None}) if self.members else self.stored.run

    @property
    def trained(self) -> bool:
        """Whether these are a run's own predictions."""
        return not self.members and self.name == str(self.stored.run.method)

    @property
    def derived(self) -> bool:
        """Whether these are a run's predictions for the same samples, changed after the training."""
        return not (self.members or self.thinned or self.trained)


def outcomes(store: Store) -> list[Outcome]:
    """Every set of predictions that the finished runs of ``store`` give, run by run, ensembles last."""
    study = store.study
    finished = [stored for stored in store.runs() if stored.failure is None]
    found = [outcome for stored in finished for outcome in _of_run(stored, study)]
    for members in ensembles(finished, study):
        found += _of_ensemble(members, study)
    critical = store.facts()["critical"]
    if study.confirms:
        return [replace(one, thresholds=one.stored.thresholds().get(one.name)) for one in found]
    return _with_thresholds(found, critical, store.groups(), study) if critical else found


def ensembles(finished: Sequence[StoredRun], study: Study) -> list[list[StoredRun]]:
    """The members of each ensemble of ``study``; one of which a member failed is left out.

    On new data every run predicts the same samples. There all runs of a method are an ensemble, unless the
    study has ensembles of its own.
    """
    found: dict[tuple[object, ...], list[StoredRun]] = defaultdict(list)
    for stored in finished if study.ensemble or study.confirms else ():
        of = (stored.run.seed, stored.run.fold) if study.ensemble else ()
        found[str(stored.run.method), *of].append(stored)
    size = study.ensemble
    return [members for members in found.values() if (len(members) == size if size else len(members) > 1)]


def ensemble_name(members: Sequence[StoredRun]) -> str:
    """What the row of an ensemble is called."""
    return f"{members[0].run.method}, ensemble of {len(members)}"


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


def changes(stored: StoredRun) -> dict[str, Callable[[Predictions], Predictions]]:
    """What can be done to the predictions of a finished run without training, by name."""
    counts = np.asarray(stored.facts()["counts"]["train"], dtype=np.float64)
    priors = counts / counts.sum()
    found: dict[str, Callable[[Predictions], Predictions]] = {
        LOGIT_ADJUSTMENT: lambda p: replace(p, logits=metrics.adjust_logits(p.logits, priors)),
        PRIOR_SHIFT: lambda p: _to_own_priors(p, priors),
    }
    if (stored.folder / "val.npz").exists():
        val = stored.predictions("val")
        temperature = metrics.fit_temperature(val.logits, val.target)
        found[TEMPERATURE] = lambda p: replace(p, logits=p.logits / temperature)
    return found


def _of_run(stored: StoredRun, study: Study) -> Iterator[Outcome]:
    """A run's predictions by part, as they are and after each change that needs no training."""
    name = str(stored.run.method)
    held_out = {part: stored.predictions(part).in_order() for part in study.parts}
    yield Outcome(stored, name, held_out)
    if any(part.multilabel for part in held_out.values()):
        return  # what follows is for classes that exclude each other
    if study.data.thinned_test and "test" in held_out:
        part = thinned(held_out["test"], stored.facts()["counts"]["train"])
        yield Outcome(stored, f"{name}, thinned test", {"test": part}, thinned=True)
    for how, change in changes(stored).items():
        changed = {part: change(predictions) for part, predictions in held_out.items()}
        yield Outcome(stored, f"{name} + {how}", changed)


def _of_ensemble(members: Sequence[StoredRun], study: Study) -> Iterator[Outcome]:
    name, whole = ensemble_name(members), averaged(members)
    yield Outcome(members[0], name, {"test": whole}, tuple(members))
    if study.data.thinned_test:
        part = thinned(whole, members[0].facts()["counts"]["train"])
        yield Outcome(members[0], f"{name}, thinned test", {"test": part}, tuple(members), thinned=True)


def _to_own_priors(predictions: Predictions, train_priors: NDArray[np.float64]) -> Predictions:
    """Corrected for the class priors of these samples themselves, estimated without their labels."""
    found = metrics.estimate_priors(predictions.probability, train_priors)
    shift = np.log(np.maximum(found, np.finfo(np.float64).tiny) / train_priors)
    return replace(predictions, logits=predictions.logits + shift)


def _with_thresholds(
    found: Sequence[Outcome], critical: Sequence[int], group: NDArray[np.int64] | None, study: Study
) -> list[Outcome]:
    """Each outcome with the thresholds chosen on what it was neither trained nor tested on."""
    by_fold: dict[tuple[object, ...], dict[int, Scores]] = defaultdict(dict)
    if study.folds:
        for one in found:
            by_fold[_but_fold(one)][one.run.fold] = Scores.of(one.held_out["test"], critical, group)
    return [
        replace(one, thresholds=None if scores is None else choose(scores, promisable(study, one.name)))
        for one in found
        for scores in (_scores_to_choose_on(one, by_fold[_but_fold(one)], critical, group),)
    ]


def _scores_to_choose_on(
    one: Outcome, folds: Mapping[int, Scores], critical: Sequence[int], group: NDArray[np.int64] | None
) -> Scores | None:
    """Held-out scores for the threshold of ``one``; None where there are none.

    With folds those that the models of the other folds gave to their own test samples: the test samples of
    ``one`` itself have no part in them. Else those of its validation samples; of an ensemble those of the
    validation samples of all members.
    """
    others = [scores for fold, scores in folds.items() if fold != one.run.fold]
    if others:
        return Scores.joined(others)
    if one.members and not one.thinned:
        return scores_of_members(one.members, critical, group)
    return Scores.of(one.held_out["val"], critical, group) if "val" in one.held_out else None


def adjustment(word: str | None) -> str | None:
    """The change that the word of an option names.

    >>> adjustment("prior-shift")
    'prior shift'
    """
    names = {name.replace(" ", "-"): name for name in (*CORRECTIONS, TEMPERATURE)}
    return None if word is None else names[check.one_of("adjustment", word, names)]


def changed(stored: StoredRun, predictions: Predictions, how: str | None) -> Predictions:
    """``predictions`` of a run's model after ``how``, one of :func:`changes`; as they are where it is None.

    Raises:
        InputError: if that cannot be done with this run.
    """
    if how is None:
        return predictions
    if predictions.multilabel:
        raise check.InputError(f"{how} is for data with one class per sample; leave it out.")
    known = changes(stored)
    if how == TEMPERATURE and how not in known:
        raise check.InputError("temperature is fitted to validation samples, and the run has none.")
    return known[how](predictions)


def promisable(study: Study, name: str) -> Study:
    """``study`` with what can be asked of the predictions called ``name``.

    After a prior shift a score depends on the other samples as well, and those of new data are others: then
    no threshold promises anything.
    """
    return study.model_copy(update={"confidence": 0.0}) if name.endswith(PRIOR_SHIFT) else study


def kept_scores(
    store: Store, stored: StoredRun, critical: Sequence[int], how: str | None = None
) -> Scores | None:
    """Scores of all samples that choose a threshold for new data of a run's model; None without any.

    With folds those of every fold's test samples, by the model of that fold; else of the validation samples.
    They are changed as :func:`changed` does.
    """
    group = store.groups()
    if store.study.folds:
        own = (stored.run.method, stored.run.seed, stored.run.member)
        same = [
            one
            for one in store.runs()
            if (one.run.method, one.run.seed, one.run.member) == own and one.failure is None
        ]
        parts = [changed(one, one.predictions("test"), how) for one in same]
        return Scores.joined([Scores.of(part, critical, group) for part in parts])
    if not (stored.folder / "val.npz").exists():
        return None
    return Scores.of(changed(stored, stored.predictions("val"), how), critical, group)


def scores_of_members(
    members: Sequence[StoredRun],
    critical: Sequence[int],
    group: NDArray[np.int64] | None,
    held_out: str = "val",
) -> Scores | None:
    """One score for every sample that a member held out: the mean over the members that did."""
    parts = [one.predictions(held_out) for one in members if (one.folder / f"{held_out}.npz").exists()]
    if not parts:
        return None
    every = Scores.joined([Scores.of(part, critical) for part in parts])
    index = np.concatenate([part.index for part in parts])
    row, first, place, count = np.unique(index, return_index=True, return_inverse=True, return_counts=True)
    score = np.bincount(place, every.score) / count
    return Scores(every.positive[first], score, None if group is None else group[row], len(parts))


def _but_fold(one: Outcome) -> tuple[object, ...]:
    return one.name, one.run.seed, one.run.member
