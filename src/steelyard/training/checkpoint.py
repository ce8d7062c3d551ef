"""The state of a training on disk: tensors and plain values alone, so that loading runs no code."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from steelyard._files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

Row = dict[str, float]


@dataclass
class Progress:
    """How far a training is; with the states of model, objective and optimiser it is all of a checkpoint."""

    epoch: int = 0  # epochs done
    history: list[Row] = field(default_factory=list)
    logged: dict[str, dict[str, str]] = field(default_factory=dict)  # title and unit, by column
    best_epoch: int = 0
    best_value: float = -math.inf
    best_state: dict[str, dict[str, Tensor]] | None = None  # of the model and of the objective


def save_checkpoint(path: Path, parts: Mapping[str, Any], progress: Progress) -> None:
    """Write the states of ``parts`` (things with a ``state_dict``), the progress and the random states."""
    state = {name: part.state_dict() for name, part in parts.items()}
    state["progress"] = dict(vars(progress))
    state["random"] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["random"]["cuda"] = torch.cuda.get_rng_state()
    with written_whole(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, parts: Mapping[str, Any]) -> Progress:
    """Restore ``parts`` and the random states from a :func:`save_checkpoint`; return the progress."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    torch.set_rng_state(state["random"]["cpu"])
    if "cuda" in state["random"]:
        torch.cuda.set_rng_state(state["random"]["cuda"])
    return Progress(**state["progress"])
