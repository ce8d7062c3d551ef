"""One epoch of the training loop against the same epoch written by hand in plain PyTorch.

LeNet-5 on 60,000 images of 1x28x28 (random pixels: the time does not depend on them), batches of 256, SGD
with Nesterov's momentum, cross-entropy, on the CPU. Goal: a ratio of at most 1.03.

    python benchmarks/training_loop.py [--save]
"""

from __future__ import annotations

import copy
import sys

import numpy as np
import torch
from _bench import alternate, machine, save
from torch import nn

from steelyard import Objective
from steelyard.data import Batches, ImageEncoding
from steelyard.losses import CrossEntropy
from steelyard.models import MODELS
from steelyard.recipe import Recipe
from steelyard.training.loop import train_epoch
from steelyard.training.optimizer import make_optimizer

SAMPLES, BATCH, MEAN, STD = 60_000, 256, 0.13, 0.31


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (SAMPLES, 1, 28, 28), dtype=torch.uint8, generator=generator)
    target = torch.randint(0, 10, (SAMPLES,), generator=generator)
    net = MODELS["lenet5"]((1, 28, 28), 10)
    result = alternate(ours(copy.deepcopy(net), images, target), by_hand(net, images, target), repeats=7)
    print(f"epoch of the training loop / epoch by hand: {result['ratio']:.3f} (goal: at most 1.03)")
    if "--save" in sys.argv:
        save("training_loop", {"claim": "epoch of the loop / epoch by hand <= 1.03", **result, **machine()})


def ours(net: nn.Module, images: torch.Tensor, target: torch.Tensor):  # noqa: ANN201 - a closure to be timed
    recipe = Recipe(optimizer="sgd", lr=0.001, schedule="constant", batch_size=BATCH)
    encoding = ImageEncoding(classes=tuple("0123456789"), size=(28, 28), mean=(MEAN,), std=(STD,))
    batches = Batches(images, target, np.arange(SAMPLES), encoding, batch_size=BATCH, shuffle=True)
    objective = Objective(CrossEntropy())
    optimizer = make_optimizer(recipe, net, objective)
    return lambda: train_epoch(net, objective, optimizer, batches, recipe, 0)


def by_hand(net: nn.Module, images: torch.Tensor, target: torch.Tensor):  # noqa: ANN201 - a closure to be timed
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, nesterov=True, weight_decay=1e-4)

    def epoch() -> None:
        net.train()
        for rows in torch.randperm(SAMPLES).split(BATCH):
            x = (images[rows].float() / 255 - MEAN) / STD
            loss = nn.functional.cross_entropy(net(x), target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


if __name__ == "__main__":
    main()
