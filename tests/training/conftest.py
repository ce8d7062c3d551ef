from collections.abc import Callable

import numpy as np
import pytest
import torch

from steelyard.data import Batches, ImageEncoding

MakeBatches = Callable[..., Batches]


@pytest.fixture
def make_batches() -> MakeBatches:
    """Batches of 50 small random images of three classes, which show in the brightness."""
    generator = torch.Generator().manual_seed(1)
    target = torch.arange(50) % 3
    x = torch.randint(0, 80, (50, 1, 8, 8), dtype=torch.uint8, generator=generator)
    x += (target * 80)[:, None, None, None].to(torch.uint8)
    encoding = ImageEncoding(classes=("a", "b", "c"), size=(8, 8), mean=(0.5,), std=(0.3,))

    def make(rows: range = range(50), shuffle: bool = True) -> Batches:
        return Batches(x, target, np.array(rows), encoding, batch_size=16, shuffle=shuffle, seed=3)

    return make
