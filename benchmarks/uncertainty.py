"""What an epoch with margins of samples costs: LeNet-5 with dropout, batch 128, 10 passes, CPU.

Both sides are an epoch of :func:`steelyard.training.fit`: that of ``umm-sum`` looks at every training sample
by Monte-Carlo dropout first. Goal: at most 2 times a plain epoch.

    python benchmarks/uncertainty.py [--save]
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from _bench import alternate, machine, save

from steelyard import UncertaintyMargin, losses
from steelyard.data import Batches, Dataset, fit_encoding
from steelyard.models import MODELS
from steelyard.objective import Objective
from steelyard.recipe import Recipe
from steelyard.training.loop import train_epoch

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES, CLASSES, EPOCHS = 10_000, 10, 20


def main() -> None:
    found = epoch()
    print(f"epoch with margins of samples / plain: {found['ratio']:.2f} (goal: at most 2)")
    if "--save" in sys.argv:
        save("uncertainty", {"epoch_with_margins_of_samples": found, **machine()})


def epoch() -> dict[str, Any]:
    torch.manual_seed(0)
    images = torch.randint(256, (SAMPLES, 1, 28, 28), dtype=torch.uint8)
    target = torch.randint(CLASSES, (SAMPLES,))
    dataset = Dataset("noise", images, target, tuple(map(str, range(CLASSES))))
    rows = np.arange(SAMPLES)
    encoding = fit_encoding(dataset, rows)
    train = Batches(encoding.inputs(dataset), target, rows, encoding, batch_size=128, shuffle=True)
    recipe = Recipe(epochs=EPOCHS)
    net = MODELS["lenet5"]((1, 28, 28), CLASSES, dropout=0.5)

    def of(make: Callable[[Any], Objective]) -> Callable[[], None]:
        model = copy.deepcopy(net)
        objective = make(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.001)

        def one() -> None:
            objective.start_epoch(EPOCHS - 1, EPOCHS)
            objective.observe(model, train.plain())
            train_epoch(model, objective, optimizer, train, recipe, EPOCHS - 1)

        return one

    return alternate(
        of(lambda model: UncertaintyMargin(model, SAMPLES)),
        of(lambda _: Objective(losses.CrossEntropy())),
        repeats=9,
    )


if __name__ == "__main__":
    main()
