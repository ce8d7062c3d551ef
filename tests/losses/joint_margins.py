"""One rank of a step with margins by uncertainty; prints what it learned. Run by test_label_margins.py."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import torch
from torch import Tensor, nn

from steelyard import UncertaintyMargin, losses, models

SHARES = {0: slice(0, 7), 1: slice(7, 10)}  # of the joint batch: unequal on purpose


class Alternating(nn.Dropout):
    """Drops by turns of the passes, so that ranks drop what a single process does."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.arange(len(x) // self.size + 1).repeat_interleave(self.size)[: len(x), None]
        return x * ((kept + torch.arange(x.shape[1])) % 3 > 0)


def state(rows: slice, kind: str) -> dict[str, Any]:
    """Uncertainty, margins and the gradient of a step on ``rows`` of a batch that is always the same."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(10, 4, generator=generator)[rows]
    labels = (torch.rand(10, 3, generator=generator) < 0.4).long()[rows]
    classes = torch.randint(3, (10,), generator=generator)[rows]
    drop = Alternating(0.5)
    drop.size = len(x)
    model = models.Classifier(nn.Sequential(nn.Linear(4, 6), drop), nn.Linear(6, 3))
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    target, base = (labels, losses.BinaryCrossEntropy()) if kind == "labels" else (classes, None)
    objective = UncertaintyMargin(model, 10, loss=base)
    index = torch.arange(10)[rows]
    objective.start_epoch(19, 20)
    objective.observe(model, [(x, target, index)])
    model.eval()
    objective(model(x), target, index).backward()
    return {
        "uncertainty": objective.loss.class_uncertainty.tolist(),
        "margin": objective.loss.class_margin.tolist(),
        "gradient": model.head.weight.grad.flatten().tolist(),
    }


def main(rank: int, store: str) -> None:
    """Join the two ranks over the file ``store``."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    found = {kind: state(SHARES[rank], kind) for kind in ("classes", "labels")}
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    torch.distributed.barrier()
    os._exit(0)  # the group's threads can abort a process whose interpreter takes itself apart around them


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
