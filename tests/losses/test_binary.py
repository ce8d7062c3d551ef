from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import Tensor

from steelyard import LOW, InputError
from steelyard.functional import logit_grad_sq_norm, loss_and_logit_grad, low_weights
from steelyard.losses import BinaryCrossEntropy


def batch(labels: int | None = 4, n: int = 12) -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(0)
    shape = (n,) if labels is None else (n, labels)
    return torch.from_numpy(generator.normal(scale=2, size=shape)), torch.from_numpy(
        generator.integers(2, size=shape)
    )


@pytest.mark.parametrize("labels", [None, 1, 4])
def test_the_loss_is_the_definition_summed_over_labels(labels: int | None) -> None:
    logits, target = batch(labels)
    p, y = expit(logits.numpy()).reshape(12, -1), target.numpy().reshape(12, -1)
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(1)
    np.testing.assert_allclose(BinaryCrossEntropy()(logits, target), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("labels", [None, 1, 4])
def test_the_closed_form_is_autograds_gradient(labels: int | None) -> None:
    logits, target = batch(labels)
    loss = BinaryCrossEntropy()
    value, grad = loss.loss_and_grad(logits, target)
    same, by_autograd = loss_and_logit_grad(loss.per_sample, logits, target)
    torch.testing.assert_close(value, same)
    torch.testing.assert_close(grad, by_autograd)
    by_loop = [
        torch.autograd.functional.jacobian(lambda z, i=i: loss(z, target)[i], logits)[i].square().sum()
        for i in range(12)
    ]
    torch.testing.assert_close(logit_grad_sq_norm(loss, logits, target), torch.stack(by_loop))


def test_low_weights_samples_of_several_labels() -> None:
    logits, target = batch()
    terms = LOW(BinaryCrossEntropy(), lam=0.3).terms(logits.requires_grad_(), target)
    g = (logits.detach().sigmoid() - target).square().sum(1)
    torch.testing.assert_close(terms.weight, low_weights(g, 0.3))
    (grad,) = torch.autograd.grad(terms.total, logits)
    expected = terms.weight[:, None] * (logits.detach().sigmoid() - target) / 12
    torch.testing.assert_close(grad, expected)


def test_extreme_logits_stay_finite_and_half_precision_works() -> None:
    z = torch.tensor([1e4, -1e4])
    torch.testing.assert_close(BinaryCrossEntropy()(z, torch.tensor([0, 0])), torch.tensor([1e4, 0.0]))
    for kind in (torch.float16, torch.bfloat16):
        assert BinaryCrossEntropy()(z.to(kind) / 100, torch.tensor([1, 0])).dtype == torch.float32
    assert BinaryCrossEntropy()(torch.tensor([torch.nan]), torch.tensor([0])).isnan()


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match=r"same shape, \(N,\) or \(N, L\), got \(3, 2\) and \(3,\)"):
        BinaryCrossEntropy()(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(TypeError, match=r"logits of a floating type, got torch\.int64"):
        BinaryCrossEntropy()(torch.zeros(3).long(), torch.zeros(3))
