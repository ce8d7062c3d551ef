"""Sample weights as they were in training: streaming figures, one slot per sample of the data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard._files import written_whole

if TYPE_CHECKING:
    from pathlib import Path

    from steelyard.records import Batch

PERCENTILES = (5, 25, 50, 75, 95, 100)


class WeightRecorder(nn.Module):
    """Mean, last value and count of every sample's weight; by epoch mean per class and percentiles.

    Everything stays on the device and, between epochs, in ``state_dict``. A step costs a few small additions,
    the end of an epoch one sort of its weights.
    """

    total: Tensor
    last: Tensor
    count: Tensor
    epoch_sums: Tensor
    epochs: Tensor
    distributions: Tensor

    def __init__(self, target: Tensor, num_classes: int) -> None:
        """Make slots for the samples of ``target`` (N,), the labels of the whole data set.

        Of several labels (N, L) the figures per class are those of the samples that have the label.
        """
        super().__init__()
        self.target = target.cpu().numpy()
        self.register_buffer("total", torch.zeros(len(target)))
        self.register_buffer("last", torch.zeros(len(target)))
        self.register_buffer("count", torch.zeros(len(target)))
        self.register_buffer("epoch_sums", torch.zeros(3, num_classes))  # of 1, w and w^2 in this epoch
        self.register_buffer("epochs", torch.zeros(0, 3, num_classes))
        self.register_buffer("distributions", torch.zeros(0, 1 + len(PERCENTILES)))
        self._of_epoch: list[Tensor] = []  # no state: a training goes on from the end of an epoch

    def record(self, batch: Batch, weight: Tensor) -> None:
        """Take the weights of one batch."""
        weight = weight.detach().float()
        ones = torch.ones_like(weight)
        self.total.index_add_(0, batch.index, weight)
        self.count.index_add_(0, batch.index, ones)
        self.last[batch.index] = weight
        figures = torch.stack([ones, weight, weight.square()])
        if batch.target.ndim == 1:
            self.epoch_sums.index_add_(1, batch.target, figures)
        else:
            self.epoch_sums += figures @ batch.target.float()
        self._of_epoch.append(weight)

    def end_epoch(self) -> None:
        """Close the figures of the epoch."""
        self.epochs = torch.cat([self.epochs, self.epoch_sums[None]])
        self.epoch_sums = torch.zeros_like(self.epoch_sums)
        self.distributions = torch.cat([self.distributions, _distribution(torch.cat(self._of_epoch))[None]])
        self._of_epoch = []

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Restore, whatever number of epochs was recorded."""
        self.epochs = self.epochs.new_zeros(state_dict["epochs"].shape)
        self.distributions = self.distributions.new_zeros(state_dict["distributions"].shape)
        return super().load_state_dict(state_dict, strict, assign)

    def save(self, path: Path) -> None:
        """Write the figures of the samples that were seen as an ``.npz`` file."""
        count = self.count.cpu().numpy()
        index = np.flatnonzero(count)
        n, first, second = self.epochs.double().cpu().unbind(1)
        mean = first / n
        spread = (second / n - mean.square()).clamp_min(0).sqrt()
        distributions = self.distributions.cpu().numpy()
        with written_whole(path) as temporary:
            np.savez_compressed(
                temporary,
                index=index,
                target=self.target[index],
                mean=self.total.cpu().numpy()[index] / count[index],
                last=self.last.cpu().numpy()[index],
                count=count[index].astype(np.int64),
                class_mean=mean.numpy(),
                class_sd=spread.numpy(),
                share_zero=distributions[:, 0],
                percent=np.array(PERCENTILES),
                percentile=distributions[:, 1:],
            )


def _distribution(weight: Tensor) -> Tensor:
    """Share of ``weight`` (N,) that is 0, then its percentiles, each one of its values."""
    ordered = weight.sort().values
    percentiles = [ordered[(percent * len(weight) - 1) // 100] for percent in PERCENTILES]
    return torch.stack([(weight == 0).float().mean(), *percentiles])
