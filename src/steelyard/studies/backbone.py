"""Features by a network that others have trained, as data of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from steelyard import catalog
from steelyard._checks import InputError
from steelyard.data import BUILTIN, Batches, unscaled
from steelyard.models import seen_size
from steelyard.recipe import Recipe
from steelyard.studies.features import check_npz, save
from steelyard.studies.run import load, pick_device
from steelyard.training import features

if TYPE_CHECKING:
    from steelyard.models import Classifier
    from steelyard.studies.config import Data
    from steelyard.words import Word

_BATCH = 64


def write_backbone_features(word: Word, data: Data, out: Path, *, device: str) -> int:
    """Write the features of every sample of ``data`` by the network ``word``, a ``timm(name=...)``.

    The ``.npz`` is that of :func:`steelyard.studies.features.write_features`, with the parts that the data
    has. A folder of images is read at the size that the network sees. Returns the number of rows.

    Raises:
        InputError: if ``out`` is no ``.npz``, the data holds no images, or the network cannot be had.
    """
    check_npz(out)
    if "hidden" in word.params:
        raise InputError(f"features are those of the network below the head; leave hidden out of {word}.")
    if Path(data.source).is_dir() and data.source not in BUILTIN:
        data = data.model_copy(update={"image_size": seen_size(word)})
    dataset = load(data)
    rows = np.arange(len(dataset))
    seen = rows[dataset.part != "test"]
    encoding, where = unscaled(dataset, seen if len(seen) else rows), pick_device(device)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of random weights, where those are asked for
        model: Classifier = catalog.model(word, encoding.shape, len(dataset.classes)).to(where)
    inputs = encoding.inputs(dataset)
    batches = Batches(inputs, dataset.target, rows, encoding, batch_size=_BATCH, device=where)
    found = features(model, batches, Recipe()).logits
    save(out, found, dataset, rows, dataset.part)
    return len(rows)
