"""One rank of a data-parallel step; prints the gradient and the weights of rank 0. Run by test_low.py."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import torch
from torch import nn

from steelyard import LOW, Objective
from steelyard.losses import CrossEntropy, LargeMargin
from steelyard.models import MarginHead
from steelyard.weighting import ExponentiatedWeighting, SelfPacedWeighting

if TYPE_CHECKING:
    from collections.abc import Callable

OBJECTIVES: dict[str, Callable[[nn.Module], Objective]] = {
    "ce": lambda _: Objective(CrossEntropy()),
    "low": lambda _: LOW(lam=0.1),
    "exponentiated": lambda _: Objective(CrossEntropy(), ExponentiatedWeighting()),
    "self-paced": lambda _: Objective(CrossEntropy(), SelfPacedWeighting("linear", quantile=0.7)),
    "large-margin": lambda model: Objective(LargeMargin(model, margin=2)),
    "low over large-margin": lambda model: LOW(LargeMargin(model, margin=2), lam=0.1),
}
SHARES = {0: slice(0, 7), 1: slice(7, 10)}  # of the joint batch: unequal on purpose


def step(rows: slice, kind: str, *, parallel: bool) -> tuple[list[float], list[float]]:
    """Gradient and weights of one step on ``rows`` of a batch that is always the same."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(10, 4, dtype=torch.float64, generator=generator)
    target = torch.randint(3, (10,), generator=generator)
    model = MarginHead(4, 3).double()
    with torch.no_grad():
        model.weight.copy_(torch.randn(3, 4, dtype=torch.float64, generator=generator))
        model.bias.zero_()
    network = nn.parallel.DistributedDataParallel(model) if parallel else model
    terms = OBJECTIVES[kind](model).terms(network(x[rows]), target[rows])
    terms.total.backward()
    assert model.weight.grad is not None
    return model.weight.grad.flatten().tolist(), terms.weight.tolist()


def main(rank: int, store: str) -> None:
    """Join the two ranks over the file ``store`` and take every kind of step."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    found = {kind: step(SHARES[rank], kind, parallel=True) for kind in OBJECTIVES}
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    torch.distributed.barrier()
    os._exit(0)  # the group's threads can abort a process whose interpreter takes itself apart around them


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
