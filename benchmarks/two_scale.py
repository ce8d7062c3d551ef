"""What the two-scale losses cost: a whole training step of LeNet-5, batch 128, CPU, against cross-entropy's.

The step is that of :func:`steelyard.training.fit`: forward, loss, backward, optimiser, ``after_step``, with
the scales among the optimiser's parameters. Goal: a ratio of at most 1.05.

    python benchmarks/two_scale.py [--save]
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING

import torch
from _bench import alternate, machine, save

from steelyard import Objective, losses
from steelyard.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

BATCH, CLASSES = 128, 10
MAKERS: dict[str, Callable[[nn.Module], losses.Loss]] = {
    "two-scale": losses.TwoScale,
    "two-scale-fixed": losses.TwoScaleFixed,
    "two-scale-separation": lambda _: losses.TwoScaleSeparation(),
    "single-scale": losses.SingleScale,
}


def main() -> None:
    result = {name: step(make) for name, make in MAKERS.items()}
    for name, found in result.items():
        print(f"training step, {name} / cross-entropy: {found['ratio']:.3f} (goal: at most 1.05)")
    if "--save" in sys.argv:
        save("two_scale", {**result, **machine()})


def step(make: Callable[[nn.Module], losses.Loss]) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, 1, 28, 28, generator=generator)
    target = torch.randint(CLASSES, (BATCH,), generator=generator)
    net = MODELS["lenet5"]((1, 28, 28), CLASSES)

    def of(make: Callable[[nn.Module], losses.Loss]) -> Callable[[], None]:
        model = copy.deepcopy(net)
        objective = Objective(make(model))
        optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.001)

        def one() -> None:
            logits = model(x)
            total = objective(logits, target)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            objective.after_step(logits.detach(), target)

        return one

    return alternate(of(make), of(lambda _: losses.CrossEntropy()), repeats=500)


if __name__ == "__main__":
    main()
