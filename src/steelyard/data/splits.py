"""Splits: which rows train, which choose (validation), which judge (test)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from steelyard._checks import InputError, between

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from steelyard.data.dataset import Dataset, Rows

_TEST, _VAL = 1, 2  # streams of random numbers: what is drawn for one part tells nothing of the other


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Sorted rows of the three parts; no row is in two of them."""

    train: Rows
    val: Rows
    test: Rows


class _Share(NamedTuple):
    """What one part is to get of every class."""

    part: float  # of its samples
    least: int = 1  # samples, or groups


def split(
    dataset: Dataset,
    *,
    seed: int,
    fold: int = 0,
    folds: int | None = None,
    val_fraction: float = 0.15,
    test_fraction: float = 0.2,
    imbalance: Callable[[Rows], Rows] | None = None,
) -> Split:
    """Divide ``dataset``: parts that its source gives stay, missing ones are drawn by class and by group.

    With several labels per sample they are drawn so that each label is as frequent in every part, the rarest
    label first.

    The test part never depends on ``seed``, so that runs of different seeds can be compared and joined.

    Args:
        seed: of the validation part.
        fold: which of ``folds``, 0 to ``folds - 1``, is the test part.
        folds: how many test parts to divide into; default is one test part of ``test_fraction``.
        val_fraction: share of the samples left for training; 0 makes no validation part.
        test_fraction: share of all samples; 0 draws no test part.
        imbalance: takes the rows that are not test (nor the source's own validation part), returns those
            to keep; validation is drawn from what it leaves.

    Raises:
        InputError: if a class has too few samples or groups, a group lies in two parts of the source, or
            folds are asked of a source that has a test part.

    >>> from steelyard.data import read
    >>> parts = split(read("digits"), seed=0)
    >>> len(parts.train), len(parts.val), len(parts.test)
    (1222, 216, 359)
    """
    between("val_fraction", val_fraction, 0, 0.9)
    _check_groups(dataset)
    val = np.flatnonzero(dataset.part == "val")
    draws_val = not len(val) and val_fraction > 0
    test, pool = _test_and_rest(dataset, fold, folds, test_fraction, rest=2 if draws_val else 1)
    if imbalance is not None:
        pool = imbalance(pool)
    if draws_val:
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_VAL,)))
        needs = "a training and a validation part (val_fraction 0 or a milder imbalance would help)"
        dealt = _dealt(dataset, pool, [_Share(1 - val_fraction), _Share(val_fraction)], stream, needs)
        val, pool = pool[dealt == 1], pool[dealt == 0]
    if not len(pool):
        raise InputError(f"{dataset.name}: expected training samples, got only those of other parts.")
    return Split(pool, val, test)


def _test_and_rest(
    dataset: Dataset, fold: int, folds: int | None, test_fraction: float, rest: int
) -> tuple[Rows, Rows]:
    """The test rows, and those that are neither test nor the source's own validation part.

    The latter have at least ``rest`` samples or groups of each class.
    """
    test = np.flatnonzero(dataset.part == "test")
    pool = np.flatnonzero((dataset.part == "train") | (dataset.part == ""))
    stream = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(_TEST,)))
    if folds is None:
        if fold != 0:
            raise InputError(f"fold {fold} needs folds, the number of them.")
        if len(test) or test_fraction == 0:
            return test, pool
        between("test_fraction", test_fraction, 0.01, 0.9)
        shares = [_Share(1 - test_fraction, least=rest), _Share(test_fraction)]
        dealt = _dealt(dataset, pool, shares, stream, "a test part and what is left")
        return pool[dealt == 1], pool[dealt == 0]
    if len(test):
        raise InputError(f"{dataset.name} comes with a test part of its own; leave folds out.")
    if folds < 2 or not 0 <= fold < folds:
        raise InputError(f"expected at least 2 folds and fold in 0..folds - 1, got {folds} and {fold}.")
    equal = _Share(1 / folds, least=-(-rest // (folds - 1)))  # so that the other folds together hold the rest
    dealt = _dealt(dataset, pool, [equal] * folds, stream, f"{folds} folds (fewer would help)")
    return pool[dealt == fold], pool[dealt != fold]


def _dealt(
    dataset: Dataset, rows: Rows, shares: Sequence[_Share], rng: np.random.Generator, needs: str
) -> Rows:
    """The part, 0 to P-1, that each of ``rows`` falls to: ``shares`` of each class, groups undivided."""
    target = dataset.target.numpy()[rows]
    group = np.arange(len(rows))
    if dataset.group is not None:
        group = np.unique(dataset.group[rows], return_inverse=True)[1]
    units = "samples" if dataset.group is None else "groups"
    names = list(dataset.classes)
    if dataset.multilabel:
        names += [f"no {name}" for name in names]
    held = _held(target, group, len(names))
    least = sum(share.least for share in shares)
    for name, number in zip(names, np.bincount(held.name, minlength=len(names)), strict=True):
        if number < least:
            raise InputError(
                f"{dataset.name}: the class {name!r} has {number} {units[:-1] if number == 1 else units} "
                f"for {needs}; it needs at least {least}, or leave the class out."
            )
    alone = dataset.group is None and not dataset.multilabel
    part = _deal(target, shares, rng) if alone else _deal_groups(held, shares, rng)
    reached = np.zeros((len(shares), len(names)), dtype=bool)
    reached[part[held.group], held.name] = True
    for name, number in zip(names, reached.sum(axis=0), strict=True):
        if number < len(shares):
            raise InputError(
                f"{dataset.name}: the {units} of the class {name!r} cannot be divided into {needs}: "
                "they hold other classes as well; leave the class out or divide the groups."
            )
    return part[group]


class _Held(NamedTuple):
    """How many samples of which class each group holds, group by group; classes it lacks are left out."""

    group: Rows
    name: Rows  # number of the class; those with a label are one class, those without it another
    number: Rows


def _held(target: Rows, group: Rows, names: int) -> _Held:
    if target.ndim == 2:
        sample, name = np.nonzero(np.hstack([target == 1, target == 0]))
    else:
        sample, name = np.arange(len(target)), target
    pair, number = np.unique(group[sample] * names + name, return_counts=True)
    return _Held(pair // names, pair % names, number)


def _deal(target: Rows, shares: Sequence[_Share], rng: np.random.Generator) -> Rows:
    """Stratified: each class is shuffled and cut by the shares, each part within one sample of its own."""
    dealt = np.empty(len(target), dtype=np.int64)
    least = np.array([share.least for share in shares])
    withheld = np.zeros(len(shares))  # by rounding, so far; made up for, it keeps the sizes of parts even
    for rows in np.split(target.argsort(kind="stable"), np.bincount(target).cumsum()[:-1]):
        mine = rng.permutation(rows)
        exact = np.array([share.part for share in shares]) * len(mine)
        sizes = np.floor(exact + 1e-9).astype(np.int64)
        upped = np.lexsort((withheld, exact - sizes > 1e-9))[::-1][: len(mine) - sizes.sum()]
        sizes[upped] += 1
        while (sizes < least).any():
            sizes[(sizes - least).argmin()] += 1
            sizes[(sizes - least).argmax()] -= 1
        withheld += exact - sizes
        dealt[mine] = np.repeat(np.arange(len(shares)), sizes)
    return dealt


def _deal_groups(held: _Held, shares: Sequence[_Share], rng: np.random.Generator) -> Rows:
    """Greedy: groups of the rarest class first, large before small, each to the part that lacks it most.

    A part is to have its share of the samples of each class and also of the groups that hold the class, so
    that groups are as large in one part as in another. Each step lowers the sum of squares of what is
    lacking, over the share of the part, as far as one group can. After iterative stratification (Sechidis,
    Tsoumakas, Vlahavas, ECML PKDD 2011), where the rarest label of a sample comes first and decides alone.
    """
    start = np.flatnonzero(np.diff(held.group, prepend=-1))
    size = np.add.reduceat(held.number, start)
    rarity = np.bincount(held.name, held.number).argsort(kind="stable").argsort()
    rarest = np.minimum.reduceat(rarity[held.name], start)  # from here on 0 is the rarest class
    name = np.insert(rarity[held.name], start, len(rarity))  # and the last one is all samples
    number = np.insert(held.number, start, size)
    taken = np.stack([number / np.bincount(name, number)[name], 1 / np.bincount(name)[name]])
    ends = start[1:] + np.arange(1, len(start))
    names, takes = np.split(name, ends), np.split(taken, ends, axis=1)
    share = np.array([share.part for share in shares])
    lacking = np.tile(share[:, None, None], (2, len(rarity) + 1))  # (P, 2, C) of all samples, of all groups
    owed = np.tile([[share.least] for share in shares], len(rarity) + 1)  # (P, C) groups due to a part
    waiting = np.bincount(rarest, minlength=len(rarity))  # groups of each rarest class still to come
    part = np.empty(len(size), dtype=np.int64)
    blurred = size * rng.uniform(1, 1.5, len(size))  # shuffles equal sizes, and near ones for seeds to differ
    for g in np.lexsort((-blurred, rarest)):
        mine, rare = names[g], rarest[g]
        gain = ((lacking[:, :, mine] - takes[g] / 2) * takes[g]).sum(axis=(1, 2)) / share
        if waiting[rare] <= owed[:, rare].sum():
            gain[owed[:, rare] == 0] = -np.inf
        part[g] = best = gain.argmax()
        lacking[best][:, mine] -= takes[g]
        owed[best, mine] = np.maximum(owed[best, mine] - 1, 0)
        waiting[rare] -= 1
    return part


def _check_groups(dataset: Dataset) -> None:
    """Refuse a source whose own parts share a group: its test part would judge what training has seen."""
    if dataset.group is None:
        return
    side = np.where(dataset.part == "", "train", dataset.part)
    pairs = np.unique(np.stack([dataset.group, np.unique(side, return_inverse=True)[1]]), axis=1)
    number, parts = np.unique(pairs[0], return_counts=True)
    if (parts > 1).any():
        example = np.flatnonzero(dataset.group == number[parts > 1][0])
        raise InputError(
            f"{dataset.name}: {(parts > 1).sum()} groups lie in more than one part of the source, "
            f"one of them with the sample {dataset.sample[example[0]]}; "
            "move each group to one part, or leave the group out."
        )
