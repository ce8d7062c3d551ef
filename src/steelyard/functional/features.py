"""Penalties of features (N, D) whose classes are ``target`` (N,): how far they lie from their own kind.

Distances are squared and Euclidean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.functional.per_sample import at_least_float32


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) squared distances of rows (N, D) and (M, D).

    >>> squared_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[25.]])
    """
    size = a.square().sum(1, keepdim=True) + b.square().sum(1)
    return (size - 2 * a @ b.T).clamp_min(0)  # by the product: all differences would take N M D numbers


def center_distance(features: Tensor, target: Tensor, centers: Tensor) -> Tensor:
    """(N,) half the squared distance of each sample's features to the center (C, D) of its class.

    References:
        Wen, Zhang, Li, Qiao, "A discriminative feature learning approach for deep face recognition", ECCV
        2016, eq. 2.

    >>> center_distance(torch.tensor([[3.0, 4.0]]), torch.tensor([1]), torch.zeros(2, 2))
    tensor([12.5000])
    """
    x = at_least_float32(features)
    return (x - centers.to(x).index_select(0, target.long())).square().sum(1) / 2


def moved_centers(features: Tensor, target: Tensor, centers: Tensor, rate: float) -> Tensor:
    """(C, D) centers after a step towards the batch's samples of their class; others stay.

    ``c + rate * sum(x - c) / (1 + n)`` over the n samples of the class.

    References:
        Wen et al., 2016, eq. 4.

    >>> moved_centers(torch.tensor([[1.0], [3.0]]), torch.tensor([1, 1]), torch.zeros(2, 1), rate=0.5)
    tensor([[0.0000],
            [0.6667]])
    """
    x, label = features.to(centers), target.long()
    count = centers.new_zeros(len(centers)).index_add_(0, label, torch.ones_like(x[:, 0]))
    towards = torch.zeros_like(centers).index_add_(0, label, x - centers[label])
    return centers + rate * towards / (1 + count).unsqueeze(1)


def widest_ranges(features: Tensor, target: Tensor, num_classes: int, k: int = 2) -> Tensor:
    """(C,) harmonic mean of the ``k`` largest squared distances within each class of the batch.

    Of a class with fewer pairs those that there are; 0 of a class with fewer than two samples, or whose
    widest pairs coincide.

    References:
        Zhang, Fang, Wen, Li, Qiao, "Range loss for deep face recognition with long-tailed training data",
        ICCV 2017: the loss within the classes.

    >>> widest_ranges(torch.tensor([[0.0], [1.0], [3.0], [5.0]]), torch.tensor([0, 0, 0, 1]), 2)
    tensor([5.5385, 0.0000])
    """
    x, label = at_least_float32(features), target.long()
    first, second = torch.triu_indices(len(x), len(x), offset=1, device=x.device)
    distance = squared_distances(x, x)[first, second]
    kind = label[first].where(
        label[first] == label[second], num_classes
    )  # pairs of two classes: a kind apart
    by_distance = distance.detach().argsort(descending=True)
    order = by_distance[kind[by_distance].argsort(stable=True)]  # kind by kind, the widest first
    distance, kind = distance[order], kind[order]
    pairs = x.new_zeros(num_classes + 1).index_add_(0, kind, torch.ones_like(distance))
    rank = torch.arange(len(kind), device=x.device) - (pairs.cumsum(0) - pairs)[kind]
    counted = rank < k
    apart = distance > 0
    inverse = distance.where(apart, 1.0).reciprocal().where(apart, torch.inf).where(counted, 0.0)
    total = torch.zeros_like(pairs).index_add_(0, kind, inverse)[:num_classes]
    some = (total > 0) & total.isfinite()
    return (pairs[:num_classes].clamp_max(k) / total.where(some, 1.0)).where(some, 0.0)


def nearest_centers(features: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Scalar: the smallest squared distance of two classes' mean features in the batch; inf if it has one.

    References:
        Zhang et al., 2017: the loss between the classes.

    >>> nearest_centers(torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([0, 0, 1]), 2)
    tensor(16.)
    """
    x, label = at_least_float32(features), target.long()
    count = x.new_zeros(num_classes).index_add_(0, label, torch.ones_like(x[:, 0]))
    mean = x.new_zeros(num_classes, x.shape[1]).index_add_(0, label, x) / count.clamp_min(1).unsqueeze(1)
    there = count > 0
    other = torch.ones(num_classes, num_classes, dtype=torch.bool, device=x.device).triu(1)
    both = there.unsqueeze(1) & there.unsqueeze(0) & other
    return squared_distances(mean, mean).where(both, torch.inf).min()


def separability(features: Tensor, target: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """(C, C) sums of how near class p's samples are to their own kind compared with class q, and counts.

    A sample's term is its distance to the nearest other one of p over that to the nearest of q, not squared.
    It counts for (p, q) if the batch has another sample of p and one of q.

    References:
        Khan, Hayat, Bennamoun, Sohel, Togneri, "Cost-sensitive learning of deep feature representations from
        imbalanced data", IEEE TNNLS 2018: class-to-class separability.

    >>> sums, counts = separability(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]), 2)
    >>> sums, counts
    (tensor([[2.0000, 0.8333],
            [0.0000, 0.0000]]), tensor([[2., 2.],
            [0., 0.]]))
    """
    x, label = at_least_float32(features), target.long()
    distance = squared_distances(x, x).sqrt().fill_diagonal_(torch.inf)
    kind = label.expand(len(x), len(x))
    nearest = x.new_full((len(x), num_classes), torch.inf).scatter_reduce(1, kind, distance, "amin")
    own = nearest.gather(1, label.unsqueeze(1))
    counted = own.isfinite() & nearest.isfinite()
    same = own == nearest
    ratio = (own / nearest.clamp_min(torch.finfo(x.dtype).tiny)).where(~same, 1.0).where(counted, 0.0)
    sums = x.new_zeros(num_classes, num_classes).index_add_(0, label, ratio)
    return sums, torch.zeros_like(sums).index_add_(0, label, counted.to(x))
