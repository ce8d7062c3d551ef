"""Suspected label errors: training samples that the models disagreed with while they trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

BY = ("margin", "loss", "weight")


def suspicion(
    by: str, figures: Mapping[str, ArrayLike], given: ArrayLike, *, per_class: bool = False
) -> NDArray[np.float64]:
    """(N,) how much the samples of one run stand out as label errors: mean 0, standard deviation 1.

    Args:
        by: ``"margin"``: the smaller the mean margin the more suspect (area under the margin: Pleiss et al.,
            NeurIPS 2020). ``"loss"``: the larger the mean loss. ``"weight"``: the further the mean weight lies
            on the side that this weighting gives to samples of large loss, the heavy one for LOW (Santiago et
            al., 2021), the light one for self-paced learning.
        figures: (N,) means over training of ``loss``, ``margin`` and ``weight``, as far as ``by`` needs them.
        given: (N,) class numbers.
        per_class: Whether mean and deviation are those of the samples of the same class.

    >>> suspicion("margin", {"margin": [2.0, 2.0, -4.0, 0.0]}, [0, 0, 1, 1]).round(2)
    array([-0.82, -0.82,  1.63,  0.  ])
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
    return np.divide(apart, deviation, out=np.zeros_like(apart), where=deviation > 0)
