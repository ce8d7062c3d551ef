"""Pictures of single samples, kept beside a study so that its page can show them without the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

from steelyard.data import Table
from steelyard.studies.compare import read_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steelyard.studies.store import Store

LARGEST = 96  # pixels of a thumbnail's longer side


def keep_samples(store: Store, rows: NDArray[np.int64]) -> None:
    """Put small pictures and names of the samples at ``rows`` into ``store``; nothing for tables."""
    dataset = read_once(store.study.data.model_dump_json())
    if isinstance(dataset.x, Table) or len(rows) == 0:
        return
    index = np.unique(rows)
    image = dataset.x[index] if isinstance(dataset.x, Tensor) else dataset.x.decoded(index)
    image = _middle_slice(image) if image.ndim == 5 else image
    scale = LARGEST / max(image.shape[-2:])
    if scale < 1:
        small = interpolate(image.float(), scale_factor=scale, mode="area")
        image = small.round().clamp(0, 255).byte()
    store.write_samples(index, image.numpy(), [dataset.sample[i] for i in index])


def _middle_slice(volume: Tensor) -> Tensor:
    """(K, 1, H, W) uint8: the first channel halfway through (K, C, D, H, W), each in its own full range."""
    image = volume[:, :1, volume.shape[2] // 2].float()
    low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
    return (255 * (image - low) / (high - low).clamp_min(1e-12)).round().byte()
