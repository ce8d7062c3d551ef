"""One rank of data-parallel steps under the constraint; prints what rank 0 or 1 ends with."""

from __future__ import annotations

import json
import os
import sys

import torch
from torch import nn

from steelyard import AUCConstraint, FalseAlarmConstraint, Objective
from steelyard.losses import CriticalCrossEntropy

SHARES = {0: slice(0, 7), 1: slice(7, 10)}  # of the joint batch: unequal on purpose


def steps(rows: slice, *, parallel: bool, kind: str = "auc") -> dict[str, list[float]]:
    """Weights, multipliers and the last penalty after three steps on ``rows`` of each batch."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(4, 2, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.randn(2, 4, dtype=torch.float64, generator=generator))
        model.bias.zero_()
    network = nn.parallel.DistributedDataParallel(model) if parallel else model
    constraint = AUCConstraint(20, mu=0.5, memory=6) if kind == "auc" else FalseAlarmConstraint(memory=6)
    constraint.double()
    objective = Objective(CriticalCrossEntropy(), constraint=constraint)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    violation = 0.0
    for _ in range(3):
        x = torch.randn(10, 4, dtype=torch.float64, generator=generator)
        target, index = torch.randint(2, (10,), generator=generator), torch.randperm(20, generator=generator)
        logits, rest = network(x[rows]), (target[rows], index[:10][rows])
        optimizer.zero_grad()
        terms = objective.terms(logits, *rest)
        terms.total.backward()
        optimizer.step()
        objective.after_step(logits.detach(), *rest)
        assert terms.violation is not None
        violation = terms.violation.item()
    return {
        "weight": model.weight.flatten().tolist(),
        "multiplier": constraint.multiplier.flatten().tolist(),
        "violation": [violation],
    }


def main(rank: int, store: str, kind: str = "auc") -> None:
    """Join the two ranks over the file ``store`` and take the steps."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    found = steps(SHARES[rank], parallel=True, kind=kind)
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    torch.distributed.barrier()
    os._exit(0)  # the group's threads can abort a process whose interpreter takes itself apart around them


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
