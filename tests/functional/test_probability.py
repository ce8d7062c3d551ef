from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from steelyard import InputError
from steelyard.functional import generalised_cross_entropy, sparsemax, sparsemax_loss, squared_error


def batch(n: int = 20, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(n, classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, (n,), generator=generator)


def test_sparsemax_is_the_nearest_distribution() -> None:
    logits, _ = batch(5)
    for z, p in zip(logits.numpy(), sparsemax(logits).numpy(), strict=True):
        found = minimize(
            lambda q, z=z: ((q - z) ** 2).sum(),
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(p, found.x, atol=1e-6)


def test_sparsemax_loss_is_the_papers_formula() -> None:
    """Equation 16 with the threshold of algorithm 1, by sorting in plain NumPy."""
    logits, target = batch()
    for z, y, loss in zip(logits.numpy(), target, sparsemax_loss(logits, target), strict=True):
        ordered = np.sort(z)[::-1]
        k = max(k for k in range(1, 5) if 1 + k * ordered[k - 1] > ordered[:k].sum())
        tau = (ordered[:k].sum() - 1) / k
        support = z[z > tau]
        expected = -z[y] + 0.5 * (support**2 - tau**2).sum() + 0.5
        assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_sparsemax_losss_gradient_is_probability_minus_truth() -> None:
    logits, target = batch()
    logits.requires_grad_()
    (grad,) = torch.autograd.grad(sparsemax_loss(logits, target).sum(), logits)
    expected = sparsemax(logits.detach()) - nn.functional.one_hot(target, 4)
    torch.testing.assert_close(grad, expected, rtol=0, atol=1e-12)


def test_sparsemax_loss_keeps_its_digits_at_large_logits() -> None:
    logits, target = batch()
    large = (logits + 1e4).float()
    torch.testing.assert_close(
        sparsemax_loss(large, target).double(), sparsemax_loss(large.double(), target), rtol=0, atol=1e-5
    )


def test_squared_error_is_the_multiclass_brier_score() -> None:
    logits, target = batch()
    truth = nn.functional.one_hot(target, 4)
    for name, p in (("softmax", logits.softmax(1)), ("sparsemax", sparsemax(logits))):
        torch.testing.assert_close(squared_error(logits, target, name), ((p - truth) ** 2).sum(1))


def test_generalised_cross_entropy_is_its_definition_and_its_limits() -> None:
    logits, target = batch()
    p = logits.softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(generalised_cross_entropy(logits, target, q=0.7), (1 - p**0.7) / 0.7)
    torch.testing.assert_close(generalised_cross_entropy(logits, target, q=1), 1 - p)
    torch.testing.assert_close(generalised_cross_entropy(logits, target, q=0), -p.log())
    near = generalised_cross_entropy(logits, target, q=1e-9)
    torch.testing.assert_close(near, -p.log(), rtol=1e-6, atol=1e-6)
    cut = generalised_cross_entropy(logits, target, q=0.5, least=0.3)
    torch.testing.assert_close(cut, (1 - p.clamp_min(0.3) ** 0.5) / 0.5)
    assert (p < 0.3).any()
    assert (p > 0.3).any()


def test_truncated_samples_have_no_gradient() -> None:
    logits, target = batch()
    logits.requires_grad_()
    (grad,) = torch.autograd.grad(generalised_cross_entropy(logits, target, q=0, least=0.3).sum(), logits)
    p = logits.softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
    assert torch.equal(grad.abs().sum(1) > 0, p > 0.3)


def test_bad_input_is_refused() -> None:
    logits, target = batch()
    with pytest.raises(InputError, match=r"unknown normaliser 'softmix'\. Did you mean 'softmax'"):
        squared_error(logits, target, "softmix")
