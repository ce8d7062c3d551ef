"""The sums over pairs against LibAUC's loss over pairs: the same value, the same gradient, time and memory.

Both compute the mean over all pairs of ``max(0, 1 - (f_j - f_k))^2`` and its gradient, from the same scores,
of 1,000, 5,000 and 10,000 positives and as many negatives. LibAUC's loss also looks, in Python, whether there
is a positive at all, one label after the other; so its squared hinge alone, on the pairs, is timed as well.

    pip install libauc==2.0.1 --no-deps
    python benchmarks/pairwise_libauc.py [--save]
"""

from __future__ import annotations

import resource
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from _bench import alternate, machine, save

from steelyard.functional import squared_hinge_rank_sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]

SIDES = (1_000, 5_000, 10_000)
REPEATS = 3


def main() -> None:
    torch.set_num_threads(1)
    # Before anything grows here: a process starts with the peak of the one that started it.
    peaks = {side: {what: peak_bytes(what, side) for what in ("nothing", "sums", "libauc")} for side in SIDES}
    found = {f"{side:,}": compared(side, peaks[side]) for side in SIDES}
    for side, one in found.items():
        print(
            f"{side} a side: {1e3 * one['seconds']:.2f} ms; LibAUC {one['libauc']:.0f} times as long, "
            f"its pairs alone {one['pairs_alone']:.0f} times; memory {one['bytes'] / 2**20:.0f} MB against "
            f"{one['bytes_of_libauc'] / 2**20:.0f} MB; gradients differ by {one['gradient_difference']:.0e}"
        )
    if "--save" in sys.argv:
        save("pairwise_libauc", {"machine": machine(), "libauc": version("libauc"), "threads": 1} | found)


def compared(side: int, peak: dict[str, int]) -> dict[str, Any]:
    score, target = scores(side)
    theirs, alone = libauc_loss(), pairs_alone()
    mine, other = gradient(sums, score, target), gradient(theirs, score, target)
    whole = alternate(
        lambda: gradient(theirs, score, target), lambda: gradient(sums, score, target), repeats=REPEATS
    )
    part = alternate(
        lambda: gradient(alone, score, target), lambda: gradient(sums, score, target), repeats=REPEATS
    )
    return {
        "seconds": whole["b_seconds"],
        "seconds_of_libauc": whole["a_seconds"],
        "libauc": whole["ratio"],
        "pairs_alone": part["ratio"],
        "bytes": peak["sums"] - peak["nothing"],
        "bytes_of_libauc": peak["libauc"] - peak["nothing"],
        "value_difference": abs((sums(score, target) - theirs(score, target)).item()),
        "gradient_difference": float((mine - other).abs().max() / other.abs().max()),
    }


def scores(side: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(2 * side) % 2
    return (torch.randn(2 * side, generator=generator) + target).requires_grad_(), target


def sums(score: Tensor, target: Tensor) -> Tensor:
    positive = target == 1
    pos, neg = score[positive], score[~positive]
    return squared_hinge_rank_sums(pos, neg, 1.0).sum() / (len(pos) * len(neg))


def libauc_loss() -> Loss:
    from libauc.losses import PairwiseAUCLoss  # noqa: PLC0415 - its import is no part of what is measured

    return PairwiseAUCLoss(surr_loss="squared_hinge", hparam=1.0)


def pairs_alone() -> Loss:
    from libauc.losses.surrogate import squared_hinge_loss  # noqa: PLC0415

    def loss(score: Tensor, target: Tensor) -> Tensor:
        pos, neg = score[target == 1], score[target == 0]
        return squared_hinge_loss(1.0, pos.unsqueeze(1) - neg.unsqueeze(0)).mean()

    return loss


def gradient(loss: Loss, score: Tensor, target: Tensor) -> Tensor:
    return torch.autograd.grad(loss(score, target), score)[0]


def peak_bytes(what: str, side: int) -> int:
    """Most memory of a process of its own that takes one gradient, or none."""
    program = [sys.executable, __file__, "--peak", what, str(side)]
    return int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def report_peak(what: str, side: int) -> None:
    torch.set_num_threads(1)
    score, target = scores(side)
    losses = {"sums": sums, "libauc": libauc_loss()}  # both imported in each, so that the rest is the same
    gradient(sums, *scores(10))
    if what in losses:
        gradient(losses[what], score, target)
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # Linux counts in kilobytes


if __name__ == "__main__":
    report_peak(sys.argv[2], int(sys.argv[3])) if "--peak" in sys.argv else main()
