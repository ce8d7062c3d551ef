"""Every sample as it was in training: streaming figures, one slot per sample of the data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard._files import written_whole

if TYPE_CHECKING:
    from pathlib import Path

    from steelyard.records import Batch, Terms

_COUNT, _LOSS, _MARGIN, _WEIGHT, _PROBABILITY = range(5)  # columns of the sums; from the last on, one a class


class SampleRecorder(nn.Module):
    """Mean loss, margin, probabilities and weight of every sample, each time before the step on it.

    Also the last weight, and mean and spread of the weights per class and epoch. Everything stays on the
    device and in ``state_dict``: 4 (5 + C) bytes a sample; a step costs a few small operations.
    """

    sums: Tensor
    last: Tensor
    epoch_sums: Tensor
    epochs: Tensor

    def __init__(self, target: Tensor, num_classes: int) -> None:
        """Make slots for the samples of ``target`` (N,), the labels of the whole data set."""
        super().__init__()
        self.target = target.cpu().numpy()
        self.register_buffer("sums", torch.zeros(len(target), _PROBABILITY + num_classes))
        self.register_buffer("last", torch.zeros(len(target)))
        self.register_buffer("epoch_sums", torch.zeros(3, num_classes))  # of 1, w and w^2 in this epoch
        self.register_buffer("epochs", torch.zeros(0, 3, num_classes))

    @torch.no_grad()
    def record(self, batch: Batch, logits: Tensor, terms: Terms) -> None:
        """Take one batch: its (N, C) ``logits`` on the scale to predict on, and the terms of its objective."""
        logits, weight = logits.float(), terms.weight.float()
        own = batch.target[:, None]
        margin = logits.gather(1, own)[:, 0] - logits.scatter(1, own, -torch.inf).amax(1)
        ones = torch.ones_like(weight)
        figures = torch.stack([ones, terms.loss.float(), margin, weight], 1)
        self.sums.index_add_(0, batch.index, torch.cat([figures, logits.softmax(1)], 1))
        self.last[batch.index] = weight
        self.epoch_sums.index_add_(1, batch.target, torch.stack([ones, weight, weight.square()]))

    def end_epoch(self) -> None:
        """Close the figures of the epoch."""
        self.epochs = torch.cat([self.epochs, self.epoch_sums[None]])
        self.epoch_sums = torch.zeros_like(self.epoch_sums)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Restore, whatever number of epochs was recorded."""
        self.epochs = self.epochs.new_zeros(state_dict["epochs"].shape)
        return super().load_state_dict(state_dict, strict, assign)

    def save_dynamics(self, path: Path) -> None:
        """Write mean loss, margin and probabilities of the samples that were seen as an ``.npz`` file.

        The margin is the logit of the sample's class minus the largest other one.
        """
        index, mean = self._means()
        self._save(
            path,
            index,
            loss=mean[:, _LOSS],
            margin=mean[:, _MARGIN],
            probability=mean[:, _PROBABILITY:].astype(np.float16),  # half the size, three digits
        )

    def save_weights(self, path: Path) -> None:
        """Write the weights of the samples that were seen as an ``.npz`` file."""
        index, mean = self._means()
        n, first, second = self.epochs.double().cpu().unbind(1)
        class_mean = first / n
        spread = (second / n - class_mean.square()).clamp_min(0).sqrt()
        self._save(
            path,
            index,
            mean=mean[:, _WEIGHT],
            last=self.last.cpu().numpy()[index],
            class_mean=class_mean.numpy(),
            class_sd=spread.numpy(),
        )

    def _means(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the samples that were seen, and the means of their columns."""
        sums = self.sums.cpu().numpy()
        index = np.flatnonzero(sums[:, _COUNT])
        return index, sums[index] / sums[index, _COUNT, None]

    def _save(self, path: Path, index: np.ndarray, **figures: np.ndarray) -> None:
        count = self.sums[:, _COUNT].cpu().numpy()[index].astype(np.int64)
        with written_whole(path) as temporary:
            np.savez_compressed(temporary, index=index, target=self.target[index], count=count, **figures)
