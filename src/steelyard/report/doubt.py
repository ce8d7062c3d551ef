"""What models say against labels: how much more probable another class is, and which classes they know."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

TIMES = 2.0  # as probable as the given class another one must be for a label to be suspected
UNEQUAL = 2.0  # times as many samples of the largest class as of the smallest
_LEAST = float(np.finfo(np.float16).tiny)  # probabilities are kept as half floats, with fewer digits below


@dataclass(frozen=True, eq=False, slots=True)
class Opinion:
    """What models say of K samples."""

    index: NDArray[np.int64]  # (K,) rows of the data set
    given: NDArray[np.int64]  # (K,) class numbers
    probability: NDArray[np.float64]  # (K, C)
    count: NDArray[np.int64]  # (K,) models that the probabilities are means over

    @classmethod
    def of_one(cls, index: NDArray[np.int64], given: NDArray[np.int64], probability: NDArray[Any]) -> Opinion:
        """Of one model."""
        return cls(index, given, probability.astype(np.float64), np.ones(len(index), dtype=np.int64))

    @classmethod
    def mean(cls, parts: Sequence[Opinion]) -> Opinion:
        """The mean over the models of ``parts``, sample by sample, rising by row.

        >>> one, two = (Opinion.of_one(*map(np.array, part)) for part in (
        ...     ([5, 3], [1, 0], [[0.5, 0.5], [1.0, 0.0]]), ([3], [0], [[0.6, 0.4]])))
        >>> Opinion.mean([one, two]).probability
        array([[0.8, 0.2],
               [0.5, 0.5]])
        """
        index, given, count = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("index", "given", "count")
        )
        probability = np.concatenate([part.probability for part in parts])
        row, first, place = np.unique(index, return_index=True, return_inverse=True)
        total = np.bincount(place, count)
        mean = np.stack([np.bincount(place, count * one) / total for one in probability.T], axis=1)
        return cls(row, given[first], mean, total.astype(np.int64))

    def among(self, rows: NDArray[np.int64]) -> Opinion:
        """Of the samples at ``rows`` alone."""
        there = np.isin(self.index, rows)
        return Opinion(self.index[there], self.given[there], self.probability[there], self.count[there])

    def evened(self, counts: NDArray[np.int64]) -> Opinion:
        """With probabilities as :func:`evened` makes them."""
        return replace(self, probability=evened(self.probability, counts))


@dataclass(frozen=True, slots=True)
class Known:
    """How well the models know a class."""

    recall: float  # share of the samples labelled with it that look like it; NaN without samples
    chance: float  # share of the other samples that look like it
    samples: int  # labelled with it, that the recall is of
    held_out: bool  # whether no model that was asked had trained on the sample

    @property
    def judged(self) -> bool:
        """Whether the models know the class well enough to judge its labels.

        They do from halfway between chance and certainty on. Below, they contradict so many labels of the
        class that rather they than the labels are wrong.
        """
        return self.recall >= (1 + self.chance) / 2


def unequal(counts: ArrayLike) -> bool:
    """Whether the largest class has over :data:`UNEQUAL` times the samples of the smallest that has any.

    >>> unequal([50, 30, 0]), unequal([50, 20])
    (False, True)
    """
    there = np.asarray(counts)[np.asarray(counts) > 0]
    return bool(there.max() > UNEQUAL * there.min())


def evened(probability: ArrayLike, counts: ArrayLike) -> NDArray[np.float64]:
    """(N, C) probabilities divided by the square root of the class's samples (C,), summing to 1 again.

    Models favour frequent classes, the more so the less they have learned. Logit adjustment (Menon et al.,
    ICLR 2021) divides by the frequency itself. The square root lies between that and nothing, for wrong
    labels come from frequent classes more often, too.

    >>> evened([[0.8, 0.2]], [400, 25]).round(2)
    array([[0.5, 0.5]])
    """
    even = np.asarray(probability, dtype=np.float64) / np.sqrt(np.maximum(np.asarray(counts), 1))
    return np.asarray(even / even.sum(axis=1, keepdims=True))


def doubt(probability: ArrayLike, given: ArrayLike) -> NDArray[np.float64]:
    """(N,) log of how many times as probable as the given class the likeliest other class is.

    Args:
        probability: (N, C), C at least 2.
        given: (N,) class numbers.

    >>> np.exp(doubt([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]], [0, 1])).round(2)
    array([0.5, 2. ])
    """
    log = np.log(np.maximum(np.asarray(probability, dtype=np.float64), _LEAST))
    place, own = np.arange(len(log)), np.asarray(given)
    others = log.copy()
    others[place, own] = -np.inf
    return np.asarray(others.max(axis=1) - log[place, own])


def known(held_out: Opinion, trained: Opinion) -> list[Known]:
    """How well each class is known: by held-out samples where it has any, else by training samples."""
    found = []
    for c in range(held_out.probability.shape[1]):
        outside = bool((held_out.given == c).any())
        asked = held_out if outside else trained
        own, like = asked.given == c, asked.probability.argmax(axis=1) == c
        found.append(Known(_share(like[own]), _share(like[~own]), int(own.sum()), outside))
    return found


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else math.nan
