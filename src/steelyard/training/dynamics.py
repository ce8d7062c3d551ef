"""How every sample fared in training: streaming means, one slot per sample of the data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard._files import written_whole
from steelyard.training.recorder import WeightRecorder

if TYPE_CHECKING:
    from pathlib import Path

    from steelyard.records import Batch, Terms

_COUNT, _LOSS, _MARGIN, _PROBABILITY = range(4)  # columns of the sums; from the last on, one a class


class SampleRecorder(nn.Module):
    """Mean loss, margin and probabilities of every sample, each as it was before the step on it; weights too.

    The margin is the logit of the sample's class minus the largest other one. Everything stays on the device
    and in ``state_dict``: 4 (3 + C) bytes a sample. A step costs a few small operations. Of samples with
    several labels (N, L) the weights alone are kept.
    """

    sums: Tensor

    def __init__(self, target: Tensor, num_classes: int, *, weighted: bool) -> None:
        """Make slots for the samples of ``target`` (N,), the labels of the whole data set.

        Args:
            target: as said.
            num_classes: C.
            weighted: Whether weights are to be kept as well.
        """
        super().__init__()
        self.target = target.cpu().numpy()
        self.weights = WeightRecorder(target, num_classes) if weighted else None
        self.register_buffer("sums", torch.zeros(len(target), _PROBABILITY + num_classes))

    @torch.no_grad()
    def record(self, batch: Batch, logits: Tensor, terms: Terms) -> None:
        """Take one batch: its (N, C) ``logits``, on the scale to predict on, and its objective's terms."""
        if self.weights is not None:
            self.weights.record(batch, terms.weight)
        if batch.target.ndim > 1:
            return
        logits, own = logits.float(), batch.target[:, None]
        margin = logits.gather(1, own)[:, 0] - logits.scatter(1, own, -torch.inf).amax(1)
        figures = torch.stack([torch.ones_like(margin), terms.loss.float(), margin], 1)
        self.sums.index_add_(0, batch.index, torch.cat([figures, logits.softmax(1)], 1))

    def end_epoch(self) -> None:
        """Close the figures of the epoch."""
        if self.weights is not None:
            self.weights.end_epoch()

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Restore, whatever number of epochs was recorded."""
        if self.weights is not None:
            parts = {name.partition("."): value for name, value in state_dict.items()}
            weights = {name: value for (part, _, name), value in parts.items() if part == "weights"}
            self.weights.load_state_dict(weights)  # now every buffer has the size that it had
        return super().load_state_dict(state_dict, strict, assign)

    def save(self, folder: Path) -> None:
        """Write ``dynamics.npz``, of the samples that were seen, and ``weights.npz`` if weights were kept."""
        if self.weights is not None:
            self.weights.save(folder / "weights.npz")
        if self.target.ndim > 1:
            return
        sums = self.sums.cpu().numpy()
        index = np.flatnonzero(sums[:, _COUNT])
        count = sums[index, _COUNT]
        mean = sums[index] / count[:, None]
        with written_whole(folder / "dynamics.npz") as temporary:
            np.savez_compressed(
                temporary,
                index=index,
                target=self.target[index],
                count=count.astype(np.int64),
                loss=mean[:, _LOSS],
                margin=mean[:, _MARGIN],
                probability=mean[:, _PROBABILITY:].astype(np.float16),  # half the size, three digits
            )
