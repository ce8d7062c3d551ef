"""What the constraint on the AUC costs: value and gradient of its sums against the matrix of all pairs.

1. ``hinge_rank_sums`` of 5,000 positives and 5,000 negatives, forward and backward, against the same sums
   over all pairs in PyTorch. Goal: at least 100 times as fast.
2. The same of 500,000 and 500,000 on one core. Goal: under a second.
3. Most memory of a process that does it, for each score more, from 2 to 4 and from 4 to 8 million scores.
   Goal: the same, so linear.
4. A whole constraint, forward and backward, on the pixels of 8 images of 512 x 512.

    python benchmarks/auc_constraint.py [--save]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import torch
from _bench import alternate, machine, save

from steelyard import AUCConstraint
from steelyard.functional import hinge_rank_sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SIDE = 5_000
MILLION = 1_000_000
GOALS = {"pairs / sums": 100, "seconds of a million scores": 1.0, "memory ratio": 1.1}


def main() -> None:
    torch.set_num_threads(1)
    pos, neg = scores(SIDE, 0), scores(SIDE, 1)
    found = alternate(lambda: step(over_pairs, pos, neg), lambda: step(hinge_rank_sums, pos, neg), repeats=7)
    print(f"5,000 x 5,000: {1e3 * found['b_seconds']:.2f} ms, pairs {found['ratio']:.0f} times as long")
    million = seconds_of_scores(MILLION, repeats=5)
    print(f"1,000,000 scores: {million:.3f} s")
    peak = {n: peak_bytes(n * MILLION) for n in (2, 4, 8)}
    bytes_each = [(peak[4] - peak[2]) / (2 * MILLION), (peak[8] - peak[4]) / (4 * MILLION)]
    print(f"bytes for each score more: {bytes_each[0]:.0f}, then {bytes_each[1]:.0f}")
    pixels = seconds_of_pixels()
    print(f"8 x 512 x 512 pixels: {pixels:.2f} s")
    met = {
        "pairs / sums": found["ratio"] >= GOALS["pairs / sums"],
        "seconds of a million scores": million < GOALS["seconds of a million scores"],
        "memory ratio": bytes_each[1] / bytes_each[0] <= GOALS["memory ratio"],
    }
    print("goals met:" if all(met.values()) else "GOALS MISSED:", met)
    if "--save" in sys.argv:
        figures = {
            "pairs_against_sums": found,
            "seconds_of_a_million_scores": million,
            "bytes_for_each_score_more": bytes_each,
            "seconds_of_8_x_512_x_512_pixels": pixels,
        }
        save("auc_constraint", {"machine": machine(), "threads": 1, "goals": GOALS, "met": met} | figures)


def scores(n: int, seed: int) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def over_pairs(pos: Tensor, neg: Tensor, margin: float) -> Tensor:
    return (neg - pos.unsqueeze(1) + margin).relu().sum(1)


def step(sums: Callable[[Tensor, Tensor, float], Tensor], pos: Tensor, neg: Tensor) -> None:
    """Value and gradient of the quadratic penalty."""
    pos.grad = neg.grad = None
    sums(pos, neg, 1.0).square().sum().backward()


def seconds_of_scores(n: int, repeats: int) -> float:
    """The median time of a step on ``n`` scores, half of them positive."""
    pos, neg = scores(n // 2, 0), scores(n // 2, 1)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step(hinge_rank_sums, pos, neg)
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[repeats // 2]


def seconds_of_pixels() -> float:
    """One step of the whole constraint, 1 pixel in 50 positive."""
    logits = torch.randn(8, 2, 512, 512, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = (torch.rand(8, 512, 512, generator=torch.Generator().manual_seed(1)) < 0.02).long()
    constraint, index = AUCConstraint(8, normalize="mean"), torch.arange(8)
    start = time.perf_counter()
    constraint(logits, target, index)[0].backward()
    return time.perf_counter() - start


def peak_bytes(n: int) -> int:
    """Most memory of a process of its own that takes a step on ``n`` scores."""
    program = [sys.executable, __file__, "--peak", str(n)]
    return int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def report_peak(n: int) -> None:
    torch.set_num_threads(1)
    step(hinge_rank_sums, scores(n // 2, 0), scores(n // 2, 1))
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # Linux counts in kilobytes


if __name__ == "__main__":
    report_peak(int(sys.argv[2])) if "--peak" in sys.argv else main()
