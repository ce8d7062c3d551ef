from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from steelyard import InputError
from steelyard.functional import (
    misclassification_probability,
    mutual_information,
    predictive_entropy,
    predictive_variance,
    two_class_logits,
)


def passes(number: int = 7, n: int = 5, classes: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(number, n, classes, dtype=torch.float64, generator=generator)


def test_measures_are_numpys_and_scipys() -> None:
    logits = passes()
    p = logits.softmax(-1).numpy()
    np.testing.assert_allclose(predictive_variance(logits), p.var(axis=0).sum(axis=1))
    entropy = stats.entropy(p.mean(axis=0), axis=1)
    np.testing.assert_allclose(predictive_entropy(logits), entropy)
    each = stats.entropy(p, axis=2).mean(axis=0)
    np.testing.assert_allclose(mutual_information(logits), entropy - each)


def test_a_label_is_a_yes_or_no_of_its_own() -> None:
    logits = passes()
    p, pair = logits.sigmoid().numpy(), two_class_logits(logits)
    bernoulli = stats.bernoulli(p.mean(axis=0))
    np.testing.assert_allclose(predictive_entropy(pair), bernoulli.entropy())
    np.testing.assert_allclose(predictive_variance(pair), 2 * p.var(axis=0))
    each = stats.bernoulli(p).entropy().mean(axis=0)
    np.testing.assert_allclose(mutual_information(pair), bernoulli.entropy() - each)
    has = torch.arange(20).reshape(5, 4) % 3 % 2
    against = (1 - 2 * has) * logits
    expected = stats.norm.cdf(against.mean(0) / against.std(0, correction=0))
    np.testing.assert_allclose(misclassification_probability(pair, has), expected)


def test_mutual_information_is_the_mean_divergence_from_the_mean() -> None:
    logits = passes()
    p = logits.softmax(-1).numpy()
    divergence = [stats.entropy(one, p.mean(axis=0), axis=1) for one in p]
    np.testing.assert_allclose(mutual_information(logits), np.mean(divergence, axis=0))


def test_passes_that_agree_are_sure_of_what_they_say() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0]]).expand(5, 1, 3)
    assert predictive_variance(logits).item() == pytest.approx(0, abs=1e-12)
    assert mutual_information(logits).item() == pytest.approx(0, abs=1e-6)
    wrong = [misclassification_probability(logits, torch.tensor([y])).item() for y in range(3)]
    assert wrong == [0, 1, 1]
    assert misclassification_probability(torch.zeros(4, 1, 2), torch.tensor([0])).item() == 0.5


def test_misclassification_is_what_sampling_gaussians_gives() -> None:
    """Brute force: features of a Gaussian, a linear layer, and counting which class beats the target."""
    rng = np.random.default_rng(0)
    features, classes, number = 6, 4, 400_000
    weight = rng.normal(size=(classes, features))
    root = rng.normal(size=(features, features)) / 2
    f = rng.normal(size=features) + rng.normal(size=(number, features)) @ root.T
    z = f @ weight.T
    for target in range(classes):
        counted = max((z[:, j] > z[:, target]).mean() for j in range(classes) if j != target)
        found = misclassification_probability(torch.from_numpy(z[:, None]), torch.tensor([target])).item()
        assert found == pytest.approx(counted, abs=0.004)


def test_misclassification_is_the_formula_with_the_covariance_of_the_features() -> None:
    rng = np.random.default_rng(1)
    weight, f = rng.normal(size=(3, 5)), rng.normal(size=(10, 5))
    covariance = np.cov(f.T, bias=True)
    logits = torch.from_numpy((f @ weight.T)[:, None])
    for y in range(3):
        others = [weight[j] - weight[y] for j in range(3) if j != y]
        expected = max(stats.norm.cdf(d @ f.mean(axis=0) / np.sqrt(d @ covariance @ d)) for d in others)
        found = misclassification_probability(logits, torch.tensor([y])).item()
        assert found == pytest.approx(expected, rel=1e-9)


def test_leading_axes_are_free_and_half_precision_works() -> None:
    logits, target = passes(), torch.tensor([0, 1, 2, 3, 0])
    plain = misclassification_probability(logits, target)
    doubled = misclassification_probability(logits[:, None].expand(-1, 2, -1, -1), target.expand(2, 5))
    assert torch.equal(doubled, plain.expand(2, 5))
    assert misclassification_probability(logits.bfloat16(), target).dtype == torch.float32
    compiled = torch.compile(misclassification_probability, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, target), plain)


def test_logits_of_one_pass_without_its_axis_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected logits of shape \(passes, N, C\), got \(5, 4\)"):
        predictive_entropy(passes()[0])
