"""One batch over several processes; in a single process everything here is the plain thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch import distributed as dist

if TYPE_CHECKING:
    from collections.abc import Callable


def joint_rows(rows: Tensor) -> tuple[Tensor, slice]:
    """The rows (N, ...) of all ranks in rank order, without gradient, and where this rank's own lie.

    Local batches may differ in size, which the host has to learn first: one wait for the device.

    >>> joint_rows(torch.tensor([1.0, 2.0]))
    (tensor([1., 2.]), slice(0, 2, None))
    """
    if not _in_use():
        return rows.detach(), slice(0, len(rows))
    world, rank = dist.get_world_size(), dist.get_rank()
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world)]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    sizes: list[int] = torch.cat(counts).tolist()
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    start = sum(sizes[:rank])
    joint = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
    return joint, slice(start, start + sizes[rank])


def on_joint_rows(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """This rank's rows of ``function`` of all ranks' rows, (N, ...) to (N, ...), without gradient.

    >>> on_joint_rows(lambda x: x / x.sum(), torch.tensor([1.0, 3.0]))
    tensor([0.2500, 0.7500])
    """
    if not _in_use():
        return function(rows.detach())
    joint, own = joint_rows(rows)
    return function(joint)[own]


def with_joint_gradient(value: Tensor) -> Tensor:
    """``value``, the same on all ranks, with the gradient that makes their average that of the whole.

    Each rank's gradient of it is its own samples' part alone, and ``DistributedDataParallel`` averages.
    """
    return value if not _in_use() else value.detach() + dist.get_world_size() * (value - value.detach())


def divisor(rows: Tensor) -> int | Tensor:
    """What this rank divides the sum of its ``rows`` (N, ...) by on the way to the mean over all ranks.

    Averaged over the ranks, as ``DistributedDataParallel`` does with gradients, the quotients give the mean
    over the joint batch, also where local batches differ in size.

    >>> divisor(torch.tensor([1.0, 2.0]))
    2
    """
    if not _in_use():
        return len(rows)
    count = torch.tensor(float(len(rows)), device=rows.device)
    dist.all_reduce(count)
    return count / dist.get_world_size()


def _in_use() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
