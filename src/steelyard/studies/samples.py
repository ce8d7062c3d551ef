"""Single samples, kept beside a study so that its pages can show them without the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

from steelyard.data import Table
from steelyard.studies.compare import read_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steelyard.data import Dataset
    from steelyard.studies.store import Store

LARGEST = 96  # pixels of a thumbnail's longer side


def keep_samples(store: Store, rows: NDArray[np.int64], dataset: Dataset | None = None) -> None:
    """Put small pictures and names of the samples at ``rows`` into ``store``; nothing for tables.

    Pictures that are there stay, and the data is read only for those that are not, unless ``dataset`` is
    given.
    """
    there = store.samples()
    index = np.unique(rows) if there is None else np.union1d(rows, there["index"])
    if there is not None and len(index) == len(there["index"]):
        return
    dataset = dataset or read_once(store.study.data.model_dump_json())
    if isinstance(dataset.x, Table) or len(index) == 0:
        return
    image = dataset.x[index] if isinstance(dataset.x, Tensor) else dataset.x.decoded(index)
    if image.ndim == 5:
        image = image[:, :1, image.shape[2] // 2]  # of a volume the first channel, halfway through
    if image.is_floating_point() or dataset.is_volume:
        image = _eight_bits(image)
    scale = LARGEST / max(image.shape[-2:])
    if scale < 1:
        small = interpolate(image.float(), scale_factor=scale, mode="area")
        image = small.round().clamp(0, 255).byte()
    store.write_samples(index, image.numpy(), [dataset.sample[i] for i in index])


def keep_values(store: Store, rows: NDArray[np.int64]) -> None:
    """Put the columns of the samples at ``rows`` into ``store``, as text; nothing for images."""
    there, index = store.values(), np.unique(rows)
    if store.facts()["kind"] != "table" or (there is not None and np.isin(index, there["index"]).all()):
        return
    part = cast("Table", read_once(store.study.data.model_dump_json()).x).take(index)
    numbers = [["" if np.isnan(x) else f"{x:.6g}" for x in row] for row in part.numeric.tolist()]
    texts = [["" if x is None else str(x) for x in row] for row in part.categorical.tolist()]
    value = [[*number, *text] for number, text in zip(numbers, texts, strict=True)]
    store.write_values(index, [*part.numeric_names, *part.categorical_names], np.array(value, dtype=str))


def _eight_bits(image: Tensor) -> Tensor:
    """(K, 1, H, W) uint8, each of the images (K, 1, H, W) in its own full range."""
    image = image.float()
    low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
    return (255 * (image - low) / (high - low).clamp_min(1e-12)).round().byte()
