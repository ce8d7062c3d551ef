"""A rehearsal: a training beforehand, with some labels made wrong, from which a weighting learns."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from steelyard.hooks import ObjectivePart
from steelyard.objective import Objective
from steelyard.records import Seen
from steelyard.training.loop import epochs_of, train_epoch
from steelyard.training.optimizer import make_optimizer

if TYPE_CHECKING:
    from torch import nn

    from steelyard.data import Batches
    from steelyard.recipe import Recipe
    from steelyard.records import Signal

WRONG = 0.2  # share of the labels that are shuffled
_SMALLEST = 8  # samples of a batch: with fewer, batch normalisation trains on noise


def rehearse(model: nn.Module, objective: Objective, train: Batches, recipe: Recipe) -> None:
    """Train a copy of ``model`` on a share of ``train``, and let the weighting learn from what was seen.

    The share is ``objective.weighting.rehearsal``, of every class alike. A fifth of its labels is shuffled
    among those samples, which keeps the frequency of every class; the others are taken to be right. Batches
    shrink by the same share, so that the copy takes as many steps as the model will: in all the rehearsal
    costs about that share of the training. ``model`` and the loss stay as they are.
    """
    weighting: Any = objective.weighting
    student, loss = copy.deepcopy((model, objective.loss))  # together: a loss may look at its model
    generator = np.random.default_rng([train.seed, *b"rehearsal"])
    right = train.target.cpu().numpy()
    rows = _some_of_each_class(train.rows, right, weighting.rehearsal, generator)
    target = right.copy()
    shuffled = generator.choice(rows, round(WRONG * len(rows)), replace=False)
    target[shuffled] = target[generator.permutation(shuffled)]
    size = max(_SMALLEST, round(weighting.rehearsal * train.batch_size))
    batches = replace(train, rows=rows, target=torch.from_numpy(target), batch_size=size)
    watcher = _Watcher(torch.from_numpy(target == right).to(train.target.device))
    practice = Objective(loss, watcher)  # type: ignore[arg-type]  # a weighting, which this part does not know
    optimizer = make_optimizer(recipe, student, practice)
    epochs = epochs_of(recipe, batches)
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        practice.start_epoch(epoch, epochs)
        train_epoch(student, practice, optimizer, batches, recipe, epoch)
    weighting.learn(watcher.seen)


class _Watcher(ObjectivePart):
    """Weighs all samples the same, and keeps what a weighting would see of them."""

    needs_gradient = False
    presample = 1

    def __init__(self, trusted: Tensor) -> None:
        super().__init__()
        self.trusted = trusted
        self.progress = 0.0
        self.seen: list[Seen] = []

    def start_epoch(self, epoch: int, epochs: int) -> None:
        self.progress = epoch / epochs

    def forward(self, signal: Signal) -> Tensor:
        self.seen.append(Seen(signal.loss, signal.target, self.trusted[signal.index], self.progress))
        return torch.ones_like(signal.loss)


def _some_of_each_class(
    rows: np.ndarray, target: np.ndarray, share: float, generator: np.random.Generator
) -> np.ndarray:
    """That share of the ``rows`` of every class, rounded up, in their order."""
    mixed = generator.permutation(rows)
    of_class = [mixed[target[mixed] == c] for c in np.unique(target[rows])]
    return np.sort(np.concatenate([one[: int(np.ceil(share * len(one)))] for one in of_class]))
