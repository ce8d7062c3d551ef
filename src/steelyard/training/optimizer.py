"""Optimisers and learning-rate schedules, as a recipe names them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn

    from steelyard.objective import Objective
    from steelyard.recipe import Recipe


def make_optimizer(recipe: Recipe, model: nn.Module, objective: Objective) -> torch.optim.Optimizer:
    """The recipe's optimiser over the model's parameters and those that the objective learns.

    The latter have no decay, and their learning rate is ``objective.lr_factor`` times the model's.
    """
    groups: list[dict[str, Any]] = [{"params": list(model.parameters()), "weight_decay": recipe.weight_decay}]
    learned = list(objective.parameters())
    if learned:
        groups.append({"params": learned, "weight_decay": 0.0, "lr_factor": objective.lr_factor})
    if recipe.optimizer == "sgd":
        nesterov = recipe.momentum > 0
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr)
    return torch.optim.AdamW(groups, lr=recipe.lr)


def set_learning_rate(
    optimizer: torch.optim.Optimizer, recipe: Recipe, epoch: float, end: float | None = None
) -> float:
    """Set and return the model's learning rate at ``epoch``; arguments as in :func:`rate_factor`."""
    rate = recipe.lr * rate_factor(recipe, epoch, end)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_factor", 1.0)
    return rate


def rate_factor(recipe: Recipe, epoch: float, end: float | None = None) -> float:
    """Share of the full learning rate at ``epoch``, a real number that grows with every step.

    ``end`` is where the training ends, in epochs; the recipe's number of them if None.

    >>> from steelyard.recipe import Recipe
    >>> rate_factor(Recipe(schedule="step", epochs=100), 60.0)
    0.1
    """
    done = epoch / (recipe.epochs if end is None else end)
    factor = 1.0
    if recipe.schedule == "step":
        factor = recipe.drop ** sum(done >= milestone for milestone in recipe.milestones)
    elif recipe.schedule == "cosine":
        factor = (1 + math.cos(math.pi * done)) / 2
    if epoch < recipe.warmup:
        factor *= max(epoch / recipe.warmup, 1e-3)  # a rate of exactly zero would waste the first step
    return factor
