from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from steelyard import InputError
from steelyard.functional import cross_entropy
from steelyard.records import Signal
from steelyard.weighting import LOWWeighting, Weighting

if TYPE_CHECKING:
    from collections.abc import Callable


def signal(grad_sq_norm: Tensor | None) -> Signal:
    return Signal(torch.ones(4), grad_sq_norm, torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), None)


def test_weights_are_those_of_the_programme() -> None:
    g = torch.tensor([0.0, 0.5, 1.0, 2.0])
    expected = torch.tensor([0.5625, 0.8125, 1.0625, 1.5625])  # 1 + (g - mean g) / (2 lam): no bound binds
    torch.testing.assert_close(LOWWeighting(lam=1.0)(signal(g)), expected)


def test_batch_mean_scaling_is_the_gradient_of_the_mean_and_warns() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(256, 10, generator=generator, requires_grad=True)
    target = torch.randint(10, (256,), generator=generator)
    (own,) = torch.autograd.grad(cross_entropy(logits, target).sum(), logits)
    (of_mean,) = torch.autograd.grad(nn.functional.cross_entropy(logits, target), logits)
    with pytest.warns(UserWarning, match="in effect plain training"):
        published = LOWWeighting(0.1, scaling="batch-mean")
    weight = published(Signal(torch.ones(256), own.square().sum(1), logits, target, None))
    small = of_mean.square().sum(1)
    torch.testing.assert_close(weight, 1 + (small - small.mean()) / 0.2, rtol=0, atol=1e-6)
    assert (weight - 1).abs().max() < 2e-4


def test_settings_are_shown() -> None:
    assert repr(LOWWeighting(lam=0.3)) == "LOWWeighting(lam=0.3)"


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="lam must be a finite number above 0, got 0"):
        LOWWeighting(lam=0)
    with pytest.raises(InputError, match=r"unknown scaling 'mean'\. Did you mean 'batch-mean'"):
        LOWWeighting(scaling="mean")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"needs signal\.grad_sq_norm, got None"):
        LOWWeighting()(signal(None))
    with pytest.raises(NotImplementedError, match=r"Weighting must define forward\(signal\)"):
        Weighting()(signal(None))


def test_two_ranks_take_the_step_of_the_joint_batch(
    on_two_ranks: Callable[..., tuple[Any, list[Any]]],
) -> None:
    joint_batch, (first, second) = on_two_ranks("joint_batch.py")
    for kind in joint_batch.OBJECTIVES:
        gradient, weight = joint_batch.step(slice(None), kind, parallel=False)
        np.testing.assert_allclose(first[kind][0], gradient, rtol=0, atol=1e-12)
        np.testing.assert_allclose(second[kind][0], gradient, rtol=0, atol=1e-12)
        np.testing.assert_allclose(first[kind][1] + second[kind][1], weight, rtol=0, atol=1e-12)
