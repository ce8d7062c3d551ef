"""Several methods on several data sets, compared by rank (Demšar, JMLR 2006)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc
from scipy.stats import rankdata, studentized_range

from steelyard._checks import InputError
from steelyard.metrics import _inputs as check

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class FriedmanTest:
    """Do the methods differ at all?"""

    statistic: float  # chi-square with methods - 1 degrees of freedom, corrected for ties
    p_value: float


def average_ranks(matrix: ArrayLike) -> NDArray[np.float64]:
    """Mean rank of each method, (M,); 1 is best, equals share.

    Args:
        matrix: (D, M) one figure per data set and method, larger is better; negate errors.

    >>> average_ranks([[0.9, 0.8, 0.8], [0.7, 0.6, 0.5]])
    array([1.  , 2.25, 2.75])
    """
    return np.asarray(_ranks(matrix).mean(axis=0), dtype=np.float64)


def friedman_test(matrix: ArrayLike) -> FriedmanTest:
    """Friedman's (1937) test that all M methods rank alike over D data sets; ``matrix`` as above.

    >>> round(friedman_test([[3, 2, 1], [3, 2, 1], [3, 1, 2], [3, 2, 1]]).p_value, 4)
    0.0388
    """
    ranks = _ranks(matrix)
    data_sets, methods = ranks.shape
    between = data_sets * ((ranks.mean(axis=0) - (methods + 1) / 2) ** 2).sum()
    within = ((ranks - (methods + 1) / 2) ** 2).sum() / (data_sets * (methods - 1))
    if within == 0:
        return FriedmanTest(0.0, 1.0)  # every data set is a tie of all methods
    return FriedmanTest(float(between / within), float(chdtrc(methods - 1, between / within)))


def critical_difference(methods: int, data_sets: int, level: float = 0.95) -> float:
    """Difference of mean ranks from which two methods differ at this level (Nemenyi, 1963).

    >>> round(critical_difference(methods=4, data_sets=14, level=0.95), 2)
    1.25
    """
    check.whole("methods", methods, 2)
    check.whole("data_sets", data_sets, 1)
    quantile = float(studentized_range.ppf(check.level(level), methods, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(methods * (methods + 1) / (6 * data_sets))


def _ranks(matrix: ArrayLike) -> NDArray[np.float64]:
    found = check.numbers("matrix", matrix)
    if found.ndim != 2 or found.shape[0] < 1 or found.shape[1] < 2:
        raise InputError(f"expected a matrix of (data sets, at least 2 methods), got {found.shape}.")
    return np.asarray(rankdata(-found, axis=1), dtype=np.float64)
