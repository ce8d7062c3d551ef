"""What the checks give to a part, and how they say that a promise was broken."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from steelyard._features import LastInput

if TYPE_CHECKING:
    from steelyard.objective import Objective

N = 6


def require(promise: bool, broken: str) -> None:
    """Say which promise was ``broken``, unless it was kept."""
    if not promise:
        raise AssertionError(f"{broken}.")


def batch(num_classes: int) -> tuple[Tensor, Tensor]:
    """Logits (N, C) in float64 and targets (N,), in which every class is there."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(N, num_classes, dtype=torch.float64, generator=generator)
    return logits, torch.arange(N) % num_classes


def batch_for(objective: Objective, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets and index; the targets are labels (N, C) where the loss says ``multilabel``."""
    logits, target = batch(num_classes)
    if getattr(objective.loss, "multilabel", False):
        target = nn.functional.one_hot(target, num_classes)
    return logits, target, torch.arange(N)


def show(part: Any, n: int = N) -> None:
    """Give losses of features the features of ``n`` samples, as the model's forward pass would have."""
    for module in part.modules() if isinstance(part, nn.Module) else ():
        reader = getattr(module, "features", None)
        if isinstance(reader, LastInput):
            reader.keep(torch.randn(n, reader.size, generator=torch.Generator().manual_seed(1)))


def copied(part: Any, n: int = N) -> Any:
    """A deep copy that has seen the features of ``n`` samples."""
    twin = copy.deepcopy(part)
    show(twin, n)
    return twin
