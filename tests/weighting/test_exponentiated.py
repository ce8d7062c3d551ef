from __future__ import annotations

import numpy as np
import pytest
import torch

from steelyard import InputError, Objective
from steelyard.losses import CrossEntropy
from steelyard.records import Signal
from steelyard.weighting import ExponentiatedWeighting


def test_weights_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    logits, target = generator.normal(size=(20, 4)), generator.integers(4, size=20)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    power = np.exp(np.linalg.norm(p - np.eye(4)[target], axis=1))
    terms = Objective(CrossEntropy(), ExponentiatedWeighting()).terms(
        torch.from_numpy(logits), torch.from_numpy(target)
    )
    np.testing.assert_allclose(terms.weight, power / power.mean(), rtol=0, atol=1e-12)


def test_large_gradients_do_not_overflow() -> None:
    g = torch.tensor([0.0, 1e8, 1e8])
    weight = ExponentiatedWeighting()(Signal(g, g, torch.zeros(3, 2), torch.zeros(3).long(), None))
    torch.testing.assert_close(weight, torch.tensor([0.0, 1.5, 1.5]))


def test_it_needs_the_gradient() -> None:
    with pytest.raises(InputError, match=r"needs signal\.grad_sq_norm, got None"):
        ExponentiatedWeighting()(Signal(torch.ones(1), None, torch.zeros(1, 2), torch.zeros(1).long(), None))
