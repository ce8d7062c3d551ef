"""One rank of data-parallel steps with losses of features; prints their state. Run by test_features.py."""

from __future__ import annotations

import json
import os
import sys

import torch
from torch import nn

from steelyard.losses import CenterLoss, CostSensitive

SHARES = {0: slice(0, 7), 1: slice(7, 10)}  # of the joint batch: unequal on purpose


def state(rows: slice) -> dict[str, list[float]]:
    """What the losses have learned after two steps on ``rows`` of a batch that is always the same."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(10, 4, generator=generator)
    target = torch.randint(3, (10,), generator=generator)
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight.copy_(torch.randn(3, 4, generator=generator))
        model.bias.zero_()
    center, costs = CenterLoss(model, 3), CostSensitive([5, 3, 2], model)
    for _ in range(2):
        logits = model(x[rows]).detach()
        center.after_step(logits, target[rows])
        costs.after_step(logits, target[rows])
    costs.start_epoch(1, 2)
    return {"centers": center.centers.flatten().tolist(), "costs": costs.costs.flatten().tolist()}


def main(rank: int, store: str) -> None:
    """Join the two ranks over the file ``store``."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    found = state(SHARES[rank])
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    torch.distributed.barrier()
    os._exit(0)  # the group's threads can abort a process whose interpreter takes itself apart around them


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
