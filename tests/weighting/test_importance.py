from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from steelyard import InputError, Objective
from steelyard.functional import cross_entropy
from steelyard.losses import CrossEntropy
from steelyard.weighting import ImportanceSampling, Weighting
from steelyard.weighting.importance import _probability, _variance_ratio


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def begun(presample: int = 3) -> ImportanceSampling:
    """Sampling that has begun and never ends."""
    part = ImportanceSampling(presample, momentum=1.0)
    part.tau.fill_(1e6)
    return part


def test_the_weighted_mean_over_every_possible_draw_is_the_candidates_mean() -> None:
    """By enumeration of all 6^2 draws of two of six candidates, with their probabilities."""
    g = torch.tensor([0.1, 0.5, 2.0, 0.0001, 1.0, 1.0], dtype=torch.float64)
    value = torch.tensor([3.0, -1.0, 0.5, 7.0, 2.0, 0.1], dtype=torch.float64)
    p = (g.sqrt() / g.sqrt().sum()).tolist()
    expectation = sum(
        p[i] * p[j] * (value[i] / (6 * p[i]) + value[j] / (6 * p[j])) / 2
        for i, j in itertools.product(range(6), repeat=2)
    )
    torch.testing.assert_close(expectation, value.mean())
    part, source = begun(), generator()
    drawn: dict[int, float] = {}
    for _ in range(200):
        rows, importance = part.choose(g, source)
        drawn |= dict(zip(rows.tolist(), importance.tolist(), strict=True))
    for row, weight in drawn.items():
        assert weight == pytest.approx(1 / (6 * p[row]), rel=1e-12)
    assert len(drawn) >= 5  # the fourth is drawn once in about 300 times


def test_the_gradient_is_unbiased_and_varies_as_little_as_theory_says() -> None:
    """Monte Carlo over the whole objective: the gradient of a bias, whose norms are those of the scores."""
    source = generator(1)
    logits = 3 * torch.randn(300, 4, dtype=torch.float64, generator=source)
    target = logits.argmax(1)  # most gradients are small
    target[:20] = torch.randint(4, (20,), generator=source)
    objective = Objective(CrossEntropy(), begun())
    error = logits.softmax(1) - torch.nn.functional.one_hot(target, 4)

    found = []
    for _ in range(4000):
        rows, importance = objective.choose(logits, target, source)
        leaf = logits[rows].requires_grad_()
        (grad,) = torch.autograd.grad(objective.terms(leaf, target[rows], None, importance).total, leaf)
        found.append(grad.sum(0))
    ours = torch.stack(found)
    standard_error = ours.std(0) / 4000**0.5
    assert bool(((ours.mean(0) - error.mean(0)).abs() < 4.5 * standard_error).all())
    mean = error.mean(0).square().sum()
    least = error.norm(dim=1).mean().square() - mean  # of one draw; no other probabilities give less
    uniform = error.square().sum(1).mean() - mean
    assert 100 * ours.var(0).sum().item() == pytest.approx(least.item(), rel=0.05)
    assert least < uniform / 1.5


def test_samples_are_drawn_in_proportion_to_their_gradients() -> None:
    g = torch.tensor([1.0, 4.0, 9.0, 16.0, 0.0, 0.0])
    counts = torch.zeros(6)
    part, source = begun(), generator(2)
    for _ in range(5000):
        counts += torch.bincount(part.choose(g, source)[0], minlength=6)
    torch.testing.assert_close(
        counts / counts.sum(), torch.tensor([0.1, 0.2, 0.3, 0.4, 0, 0]), rtol=0, atol=0.02
    )


def test_tau_is_the_papers() -> None:
    p = torch.rand(30, dtype=torch.float64, generator=generator(3))
    p /= p.sum()
    u = torch.full_like(p, 1 / 30)
    expected = (1 - ((p - u) ** 2).sum() / (p**2).sum()) ** -0.5
    torch.testing.assert_close(_variance_ratio(p), expected)
    torch.testing.assert_close(_variance_ratio(u), torch.ones((), dtype=torch.float64))


def test_sampling_begins_when_tau_passes_the_threshold() -> None:
    part, source = ImportanceSampling(presample=3, momentum=0.5), generator()
    assert part.threshold == 2
    g = torch.zeros(30)
    g[29] = 1.0  # one sample has all the gradient: tau is the root of 30
    first = torch.arange(10)
    tau = 0.0
    for _ in range(5):
        rows, importance = part.choose(g, source)
        if tau > 2:
            assert rows.tolist() == [29] * 10
            torch.testing.assert_close(importance, torch.full((10,), 1 / 30))
        else:
            assert torch.equal(rows, first)
            assert torch.equal(importance, torch.ones(10))
        tau = (tau + 30**0.5) / 2
        assert part.tau.item() == pytest.approx(tau, rel=1e-6)
    for _ in range(10):
        rows, _ = part.choose(torch.ones(30), source)  # equal gradients: nothing to gain
    assert torch.equal(rows, first)


@pytest.mark.parametrize(
    "g", [torch.zeros(6), torch.tensor([1.0, torch.nan, 1, 1, 1, 1]), torch.full((6,), torch.inf)]
)
def test_scores_that_say_nothing_draw_uniformly(g: Tensor) -> None:
    torch.testing.assert_close(_probability(g), torch.full((6,), 1 / 6))


def test_the_same_generator_and_state_draw_the_same() -> None:
    part = begun(presample=2)
    g = torch.rand(40, generator=generator(4))
    twin, restored = copy.deepcopy(part), ImportanceSampling(presample=2, momentum=1.0)
    restored.load_state_dict(part.state_dict())
    rows, importance = part.choose(g, generator(5))
    for other in (twin, restored):
        again, weight = other.choose(g, generator(5))
        assert torch.equal(again, rows)
        assert torch.equal(weight, importance)
        assert torch.equal(other.tau, part.tau)
    assert len(rows) == 20


def test_terms_multiply_the_importance() -> None:
    logits, target = torch.randn(4, 3, generator=generator()), torch.tensor([0, 1, 2, 0])
    importance = torch.tensor([0.5, 1.0, 2.0, 0.0])
    terms = Objective(CrossEntropy(), ImportanceSampling()).terms(logits, target, None, importance)
    torch.testing.assert_close(terms.weight, importance)
    np.testing.assert_allclose(terms.total, (importance * cross_entropy(logits, target)).mean(), rtol=1e-6)


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="presample must be a whole number of at least 2, got 1"):
        ImportanceSampling(presample=1)
    with pytest.raises(InputError, match=r"threshold must be a finite number of at least 1, got 0\.5"):
        ImportanceSampling(threshold=0.5)
    with pytest.raises(InputError, match=r"chooses no samples \(presample is 1\); train on all of them"):
        Objective(CrossEntropy()).choose(torch.zeros(3, 2), torch.zeros(3).long(), generator())
    with pytest.raises(NotImplementedError, match=r"Weighting must define choose"):
        Weighting().choose(torch.zeros(3), generator())

    class Pairwise(CrossEntropy):
        separable = False

    with pytest.raises(InputError, match="ImportanceSampling needs each sample's own gradient"):
        Objective(Pairwise(), ImportanceSampling())
