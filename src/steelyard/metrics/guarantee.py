"""What a threshold chosen on held-out positives promises of new ones, whatever their distribution.

The umbrella algorithm of Neyman-Pearson classification (Tong, Feng and Li, Science Advances, 2018,
proposition 1). Of the n positive scores in ascending order, ``s(1) <= ... <= s(n)``, the threshold is an
``s(k)``. For continuous scores the share of new positives below ``s(k)`` has the distribution
Beta(k, n - k + 1). Where scores are tied, no larger share is missed: ``score >= s(k)`` finds the ties too.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc

from steelyard._checks import InputError, between
from steelyard.metrics import _inputs as check

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 1e-9  # relative; a promise that fails by less than this fails by rounding alone


def positives_needed(tpr: float, confidence: float) -> int:
    """Fewest held-out positives whose lowest score promises sensitivity ``tpr`` with ``confidence``.

    The smallest n with ``tpr ** n <= 1 - confidence``.

    Args:
        tpr: share of new positives that is to be found, strictly between 0 and 1.
        confidence: probability that the promise is kept, strictly between 0 and 1.

    >>> positives_needed(0.95, confidence=0.95)
    59
    """
    return math.ceil(math.log(_allowed(confidence)) / math.log(_promisable(tpr)))


def promised_tpr(positives: int, confidence: float) -> float:
    """Highest sensitivity that the lowest of so many positive scores promises; 0 without positives.

    ``(1 - confidence) ** (1 / positives)``.

    Args:
        positives: number of held-out positive samples, or of groups with one.
        confidence: probability that the promise is kept, strictly between 0 and 1.

    >>> round(promised_tpr(59, confidence=0.95), 4)
    0.9505
    """
    allowed = 1 - _confidence(confidence)
    return float(allowed ** (1 / positives)) if check.whole("positives", positives, 0) else 0.0


def promising_rank(positives: int, tpr: float, confidence: float, unit: str = "positive samples") -> int:
    """Largest k, at least 1, for which the k-th lowest of so many positive scores keeps the promise.

    Raises:
        InputError: if no score keeps it; ``unit`` names what was counted.

    >>> promising_rank(59, tpr=0.95, confidence=0.95), promising_rank(93, tpr=0.95, confidence=0.95)
    (1, 2)
    """
    found, rate = check.whole("positives", positives, 0), _promisable(tpr)
    # P(Beta(k, n - k + 1) > 1 - tpr): the promise is broken. It grows with k.
    rank = bisect_right(
        range(1, found + 1), _allowed(confidence), key=lambda k: float(betainc(found - k + 1, k, rate))
    )
    if not rank:
        best = math.floor(1000 * promised_tpr(found, confidence)) / 1000
        raise InputError(
            f"expected at least {positives_needed(tpr, confidence)} {unit} to promise a sensitivity "
            f"of {tpr} with confidence {confidence}, got {found}, which can promise {best} at most; hold out "
            "more or ask for less."
        )
    return rank


def lowest_of_groups(group: NDArray[np.generic], score: NDArray[np.floating]) -> NDArray[np.floating]:
    """(G,) lowest of the (N,) scores of each group.

    >>> lowest_of_groups(np.array(["a", "b", "a"]), np.array([3.0, 2.0, 1.0]))
    array([1., 2.])
    """
    names, member = np.unique(group, return_inverse=True)
    lowest = np.full(names.size, np.inf, score.dtype)
    np.minimum.at(lowest, member, score)
    return lowest


def _promisable(tpr: float) -> float:
    if not 0 < between("tpr", tpr, 0, 1) < 1:
        raise InputError(
            f"expected tpr strictly between 0 and 1 with a confidence, got {tpr!r}; a sensitivity of 1 can "
            "never be promised of new samples."
        )
    return tpr


def _confidence(value: float) -> float:
    if not 0 < between("confidence", value, 0, 1) < 1:
        raise InputError(f"confidence must lie strictly between 0 and 1 (0.95 for 95 %), got {value!r}.")
    return value


def _allowed(confidence: float) -> float:
    """Probability with which a promise may be broken."""
    return (1 - _confidence(confidence)) * (1 + ROUNDING)
