"""Imbalance makers: how many samples of each class to keep, and which rows these are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard._checks import InputError, at_least, between, one_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steelyard.data.dataset import Rows

Classes = Sequence[str]


def imbalance(
    kind: str,
    target: Rows,
    rows: Rows,
    classes: Classes,
    rng: np.random.Generator,
    /,
    **params: Any,
) -> Rows:
    """The rows, sorted, that the imbalance ``kind`` leaves of ``rows``; no class that is there vanishes.

    Args:
        kind: a word of :data:`IMBALANCES`.
        target: (N,) class numbers of the whole data set.
        rows: rows to choose from.
        classes: (C,) names.
        rng: decides which classes become rare and which samples stay.
        params: of the function that ``kind`` names.

    Raises:
        InputError: if the word, a parameter or its value is not known or not possible.

    >>> target = np.repeat([0, 1], 50)
    >>> rows = imbalance("counts", target, np.arange(100), ["no", "yes"], np.random.default_rng(0), yes=5)
    >>> np.bincount(target[rows])
    array([50,  5])
    """
    maker = IMBALANCES[one_of("imbalance", kind, IMBALANCES)]
    known = inspect.signature(maker).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in known):
        for name in params:
            one_of(f"parameter of {kind}", name, [p.name for p in known if p.kind is p.KEYWORD_ONLY])
    there = np.bincount(target[rows], minlength=len(classes))
    wanted = maker(there, classes, rng, **params)
    keep = np.minimum(there, np.maximum(wanted, 1))
    kept = [rng.permutation(rows[target[rows] == c])[:number] for c, number in enumerate(keep)]
    return np.sort(np.concatenate(kept))


def step(
    there: Rows, classes: Classes, rng: np.random.Generator, /, *, ratio: float = 100, fraction: float = 0.5
) -> NDArray[Any]:
    """A random ``fraction`` of the classes keeps the largest count / ``ratio`` (Buda et al. 2018)."""
    at_least("ratio", ratio, 1)
    between("fraction", fraction, 0, 1)
    rare = rng.permutation(len(classes))[: np.clip(round(fraction * len(classes)), 1, len(classes) - 1)]
    keep = there.copy()
    keep[rare] = _rounded(there.max() / ratio)
    return keep


def longtail(
    there: Rows, classes: Classes, rng: np.random.Generator, /, *, ratio: float = 100, order: str = "random"
) -> NDArray[Any]:
    """Counts fall exponentially from the largest to the largest / ``ratio`` (Cui et al. 2019).

    ``order`` is ``random``, or ``given`` to fall in the order of the classes.
    """
    at_least("ratio", ratio, 1)
    one_of("order", order, ["random", "given"])
    rank = np.arange(len(classes)) if order == "given" else rng.permutation(len(classes))
    return _rounded(there.max() * ratio ** -(rank / (len(classes) - 1)))


def powers(
    there: Rows, classes: Classes, rng: np.random.Generator, /, *, largest: int | None = None
) -> NDArray[Any]:
    """A class keeps ``largest / 2**k``, k a random permutation of 0..C-1.

    ``largest`` is by default the count of the largest class (Santiago et al. 2021, section 5.1.2).
    """
    most = there.max() if largest is None else int(at_least("largest", largest, 1))
    return _rounded(most / 2.0 ** rng.permutation(len(classes)))


def counts(there: Rows, classes: Classes, _rng: np.random.Generator, /, **samples: int) -> NDArray[Any]:
    """Each class named keeps the number of samples given; the others stay whole."""
    keep = there.copy()
    for name, number in samples.items():
        c = classes.index(one_of("class", name, classes))
        if number != int(between(f"samples of class {name!r}", number, 1, there[c])):
            raise InputError(f"samples of class {name!r} must be a whole number, got {number!r}.")
        keep[c] = number
    return keep


def ratio(
    there: Rows,
    classes: Classes,
    _rng: np.random.Generator,
    /,
    *,
    majority: str | None = None,
    minority: str | None = None,
    n: int | None = None,
    ratio: float = 19,
) -> NDArray[Any]:
    """Of two classes, ``n`` samples of the majority and ``n / ratio`` of the minority.

    ``n`` is by default all, the minority the second class.
    """
    if len(classes) != 2:
        raise InputError(f"ratio is for two classes, got {len(classes)}; select two of them first.")
    at_least("ratio", ratio, 1)
    named = [
        None if name is None else classes.index(one_of("class", str(name), classes))
        for name in (majority, minority)
    ]
    many, few = named
    few = few if few is not None else (1 if many is None else 1 - many)
    if many == few:
        raise InputError(f"expected two different classes, got {classes[few]!r} as majority and minority.")
    most = there[1 - few] if n is None else int(between("n", n, 1, there[1 - few]))
    rare = _rounded(most / ratio)
    if rare > there[few]:
        raise InputError(
            f"{most} samples at a ratio of {ratio:g} need {rare} of {classes[few]!r}, "
            f"there are {there[few]}; lower n."
        )
    keep = np.empty(2, dtype=np.int64)
    keep[few], keep[1 - few] = rare, most
    return keep


def halved(
    there: Rows,
    classes: Classes,
    rng: np.random.Generator,
    /,
    *,
    keep: float = 0.1,
    largest: int | None = None,
) -> NDArray[Any]:
    """A random half of the classes keeps the share ``keep`` of its samples (Khan et al. 2019).

    No class has more than ``largest`` before that, where it is given.
    """
    between("keep", keep, 0, 1)
    rare = rng.permutation(len(classes))[: len(classes) // 2]
    left = there.copy() if largest is None else there.clip(max=int(at_least("largest", largest, 1)))
    left[rare] = _rounded(left[rare] * keep)
    return left


IMBALANCES: Mapping[str, Callable[..., NDArray[Any]]] = MappingProxyType(
    {f.__name__: f for f in (step, longtail, powers, counts, ratio, halved)}
)


def _rounded(numbers: Any) -> NDArray[Any]:
    return np.asarray(np.rint(numbers), dtype=np.int64)
