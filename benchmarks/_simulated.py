"""Methods of known accuracy on one test set: some samples are hard for all, and every training differs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SAMPLES, RESAMPLES = 400, 500
SHARED = (0.5, 0.0)  # of a sample's difficulty, the variance that all runs, and all of one method, have alike
TINY = 1e-12  # a variance over runs of 0 gives many degrees of freedom, not infinitely many
FARTHEST = 2.5  # a training lies within so many standard deviations, to keep its accuracy below 1


def correct(
    rng: np.random.Generator,
    accuracy: Sequence[float],
    runs: int,
    spread: float,
    shared: tuple[float, float] = SHARED,
) -> NDArray[np.float64]:
    """(methods, runs, samples) 1 where right; ``accuracy`` is each method's mean over all of these."""
    methods = len(accuracy)
    trained = np.clip(rng.normal(size=(methods, runs)), -FARTHEST, FARTHEST) * spread
    difficulty = sum(
        math.sqrt(share) * rng.normal(size=(*size, SAMPLES))
        for share, size in zip(
            (*shared, 1 - sum(shared)), ((1, 1), (methods, 1), (methods, runs)), strict=True
        )
    )
    return np.asarray(difficulty < ndtri(np.asarray(accuracy)[:, None] + trained)[..., None], np.float64)


def resamples(rng: np.random.Generator) -> NDArray[np.float64]:
    """(RESAMPLES, SAMPLES) weights of a bootstrap over test samples; a product with them is the mean."""
    return rng.multinomial(SAMPLES, np.full(SAMPLES, 1 / SAMPLES), size=RESAMPLES) / SAMPLES


def satterthwaite(
    differences: NDArray[np.float64], resampled: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(...,) standard error and degrees of freedom of (..., runs) differences with (..., B) resamples."""
    runs = differences.shape[-1]
    of_runs = differences.var(axis=-1, ddof=1) / runs
    both = of_runs + resampled.var(axis=-1, ddof=1)
    return np.sqrt(both), (runs - 1) * (both / np.maximum(of_runs, TINY)) ** 2
