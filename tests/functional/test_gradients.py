from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from steelyard import InputError, functional, losses

COUNTS = [60, 0, 6, 30]
LOSSES = {
    "ce": losses.CrossEntropy(),
    "balanced-ce": losses.BalancedCrossEntropy(COUNTS),
    "effective-number": losses.EffectiveNumber(COUNTS),
    "focal": losses.Focal(0.5),
    "logit-adjusted": losses.LogitAdjusted(COUNTS, tau=0.5),
    "balanced-softmax": losses.BalancedSoftmax(COUNTS),
    "ldam": losses.LDAM(COUNTS, scale=3.0),
}


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 4, dtype=torch.float64, generator=generator)
    return logits, torch.randint(4, (9,), generator=generator)


def by_differences(loss: nn.Module, logits: Tensor, target: Tensor) -> np.ndarray:
    """Central differences of one sample's loss at a time: no gradient code, no other sample in the batch."""
    step, found = 1e-5, np.zeros(len(logits))
    for i in range(len(logits)):
        for c in range(logits.shape[1]):
            nudge = step * torch.eye(logits.shape[1], dtype=torch.float64)[c]
            up, down = (loss(logits[i : i + 1] + s * nudge, target[i : i + 1]).item() for s in (1, -1))
            found[i] += ((up - down) / (2 * step)) ** 2
    return found


@pytest.mark.parametrize("name", LOSSES)
def test_norms_agree_with_differences(name: str) -> None:
    logits, target = batch()
    ours = functional.logit_grad_sq_norm(LOSSES[name], logits, target)
    # atol: rounding of a difference over 2e-5, squared
    np.testing.assert_allclose(ours.numpy(), by_differences(LOSSES[name], logits, target), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_closed_form_is_that_of_autograd(name: str) -> None:
    logits, target = batch()
    closed = LOSSES[name]
    leaf, same = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value, grad = functional.loss_and_logit_grad(closed, leaf, target)
    by_autograd, wanted = functional.loss_and_logit_grad(closed.per_sample, same, target)
    torch.testing.assert_close(value, by_autograd, rtol=0, atol=1e-12)
    torch.testing.assert_close(grad, wanted, rtol=0, atol=1e-12)
    upstream = torch.linspace(-1, 2, 9, dtype=torch.float64)
    (ours,) = torch.autograd.grad(value, leaf, upstream)
    torch.testing.assert_close(ours, upstream.unsqueeze(1) * wanted, rtol=0, atol=1e-12)


def test_cross_entropy_closed_form_holds_for_saturated_logits() -> None:
    z = torch.tensor([[1e4, -1e4, 0.0]] * 2)
    loss, grad = functional.cross_entropy_and_grad(z, torch.tensor([0, 1]))
    torch.testing.assert_close(loss, torch.tensor([0.0, 2e4]), rtol=0, atol=0)
    torch.testing.assert_close(grad, torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 0.0]]), rtol=0, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_closed_form_has_second_derivatives_for_gradient_penalties(name: str) -> None:
    logits, target = batch()
    leaf = logits[:3].requires_grad_()
    assert torch.autograd.gradgradcheck(lambda z: LOSSES[name].loss_and_grad(z, target[:3])[0], (leaf,))


def test_norms_of_a_users_own_loss_without_autograd_around_them() -> None:
    logits, target = batch()
    with torch.no_grad():
        ours = functional.logit_grad_sq_norm(lambda z, _: z.square().sum(1), logits, target)
    assert not ours.requires_grad
    torch.testing.assert_close(ours, 4 * logits.square().sum(1))


def test_norms_of_binary_and_of_many_label_logits() -> None:
    z, y = torch.tensor([0.5, -2.0], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    error = (torch.sigmoid(z) - y).square()

    def binary(logits: Tensor, target: Tensor) -> Tensor:
        value = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return value.flatten(1).sum(1) if logits.ndim > 1 else value

    torch.testing.assert_close(functional.logit_grad_sq_norm(binary, z, y), error)
    both = functional.logit_grad_sq_norm(binary, z.reshape(1, 2), y.reshape(1, 2))
    torch.testing.assert_close(both, error.sum().reshape(1))


def test_loss_is_evaluated_once_and_its_parameters_keep_their_gradient() -> None:
    calls = []
    scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def loss(z: Tensor, y: Tensor) -> Tensor:
        calls.append(len(z))
        return functional.cross_entropy(scale * z, y)

    logits, target = batch()
    value, _ = functional.loss_and_logit_grad(loss, logits.requires_grad_(), target)
    value.sum().backward()
    assert calls == [9]
    assert scale.grad is not None
    assert scale.grad != 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_norms_of_half_precision_logits_are_float32(kind: torch.dtype) -> None:
    logits, target = batch()
    z = 1e-3 * logits.to(kind)
    for loss in (
        losses.CrossEntropy(),
        lambda z, y: 1e-4 * nn.functional.cross_entropy(z, y, reduction="none"),
    ):
        norm = functional.logit_grad_sq_norm(loss, z, target)
        assert norm.dtype == torch.float32
        assert (norm > 0).all(), "a small square must not vanish in half precision"


def test_a_reduced_loss_is_refused_with_the_mend() -> None:
    logits, target = batch()
    with pytest.raises(InputError, match=r'shape \(9,\), got \(\); build it with reduction="none"'):
        functional.logit_grad_sq_norm(nn.CrossEntropyLoss(), logits, target)
    with pytest.raises(InputError, match=r"shape \(9,\), got \(9, 4\); sum each sample's values"):
        functional.logit_grad_sq_norm(lambda z, _: z, logits, target)
