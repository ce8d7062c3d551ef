"""One batch over several processes; in a single process everything here is the plain thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch import distributed as dist

if TYPE_CHECKING:
    from collections.abc import Callable


def on_joint_rows(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """This rank's rows of ``function`` of all ranks' rows, (N, ...) to (N, ...), without gradient.

    Local batches may differ in size, which the host has to learn first: one wait for the device.

    >>> on_joint_rows(lambda x: x / x.sum(), torch.tensor([1.0, 3.0]))
    tensor([0.2500, 0.7500])
    """
    if not _in_use():
        return function(rows)
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
    return function(joint)[start : start + sizes[rank]]


def joint_mean(values: Tensor) -> Tensor:
    """This rank's part of the mean of ``values`` (N,) over all ranks.

    Averaged over the ranks, as ``DistributedDataParallel`` does with gradients, the parts give the mean over
    the joint batch, also where local batches differ in size.

    >>> joint_mean(torch.tensor([1.0, 2.0]))
    tensor(1.5000)
    """
    if not _in_use():
        return values.mean()
    count = torch.tensor(float(len(values)), device=values.device)
    dist.all_reduce(count)
    return values.sum() * dist.get_world_size() / count


def _in_use() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
