from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from steelyard import functional

COUNTS = np.array([600, 60, 6])
RANDOM = np.random.default_rng(0)
Z = RANDOM.normal(scale=3, size=(50, 3))
Y = RANDOM.integers(0, 3, size=50)
LOGITS, TARGET = torch.from_numpy(Z), torch.from_numpy(Y)


def log_probability(z: np.ndarray) -> np.ndarray:
    return log_softmax(z, axis=1)[np.arange(len(z)), Y]


def assert_equal(ours: Tensor, definition: np.ndarray) -> None:
    np.testing.assert_allclose(ours.numpy(), definition, rtol=0, atol=1e-10)


def test_cross_entropy_is_the_log_loss() -> None:
    probability = np.exp(log_softmax(Z, axis=1))
    assert_equal(functional.cross_entropy(LOGITS, TARGET), -log_probability(Z))
    assert functional.cross_entropy(LOGITS, TARGET).mean().item() == pytest.approx(
        log_loss(Y, probability), abs=1e-10
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_is_its_definition(gamma: float) -> None:
    p = np.exp(log_probability(Z))
    assert_equal(functional.focal(LOGITS, TARGET, gamma), -((1 - p) ** gamma) * np.log(p))


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("gap", [0.0, 16.0, 20.0, 100.0, 1e4, -1e4])
def test_focal_stays_finite_where_the_probability_is_0_or_1(gamma: float, gap: float) -> None:
    z = torch.tensor([[gap, 0.0, 0.0]], requires_grad=True)
    loss = functional.focal(z, torch.tensor([0]), gamma)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_logit_adjustment_adds_the_log_prior() -> None:
    prior = COUNTS / COUNTS.sum()
    ours = functional.logit_adjusted(LOGITS, TARGET, torch.from_numpy(prior).log(), tau=0.7)
    assert_equal(ours, -log_probability(Z + 0.7 * np.log(prior)))


def test_balanced_softmax_weighs_the_terms_of_the_softmax_by_the_counts() -> None:
    terms = COUNTS * np.exp(Z)
    definition = -np.log(terms[np.arange(len(Z)), Y] / terms.sum(axis=1))
    assert_equal(functional.balanced_softmax(LOGITS, TARGET, torch.from_numpy(COUNTS).double()), definition)


def test_ldam_lowers_the_own_logit_by_its_margin() -> None:
    margins = 0.5 * (6 / COUNTS) ** 0.25
    assert_equal(functional.ldam_margins(torch.from_numpy(COUNTS).double()), margins)
    lowered = Z.copy()
    lowered[np.arange(len(Z)), Y] -= margins[Y]
    assert_equal(
        functional.ldam(LOGITS, TARGET, torch.from_numpy(margins), 30.0), -log_probability(30 * lowered)
    )


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.repeat(np.arange(3), COUNTS)
    definition = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert_equal(functional.balanced_weights(torch.from_numpy(COUNTS).double()), definition)


@pytest.mark.parametrize("beta", [0.9, 0.999, 0.9999])
def test_effective_number_weights_are_their_definition(beta: float) -> None:
    weight = (1 - beta) / (1 - beta**COUNTS)
    definition = weight * COUNTS.sum() / (weight * COUNTS).sum()
    assert_equal(functional.effective_number_weights(torch.from_numpy(COUNTS).double(), beta), definition)


def test_effective_number_weights_have_their_limits() -> None:
    counts = torch.from_numpy(COUNTS).double()
    assert_equal(functional.effective_number_weights(counts, 0.0), np.ones(3))
    near = functional.effective_number_weights(counts, 1 - 1e-12)
    torch.testing.assert_close(near, functional.balanced_weights(counts), rtol=1e-8, atol=0)


@pytest.mark.parametrize("weights", [functional.balanced_weights, functional.effective_number_weights])
def test_weights_have_mean_one_over_the_samples_and_absent_classes_none(weights: object) -> None:
    counts = torch.tensor([90, 0, 10])
    weight = weights(counts)  # type: ignore[operator]
    assert (weight * counts).sum().item() == pytest.approx(100, rel=1e-6)
    assert weight.isfinite().all()
    assert weight[1] == 0


def test_an_absent_class_spoils_no_other() -> None:
    counts = torch.tensor([90, 0, 10])
    prior = functional.log_prior(counts)
    torch.testing.assert_close(prior, torch.tensor([0.9, 0.01, 0.1]).log())
    assert functional.ldam_margins(counts).tolist() == pytest.approx([0.5 * (1 / 9) ** 0.25, 0.5, 0.5])
    assert functional.balanced_softmax(LOGITS, TARGET, counts).isfinite().all()


def test_weighted_cross_entropy_weighs_by_the_target() -> None:
    weight = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    ours = functional.weighted_cross_entropy(LOGITS, TARGET, weight)
    assert_equal(ours, -log_probability(Z) * np.array([1.0, 2.0, 4.0])[Y])


@pytest.mark.parametrize("bad", [-100, -1, 3])
def test_no_class_number_is_ignored_silently(bad: int) -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        functional.cross_entropy(LOGITS[:1], torch.tensor([bad]))
    with pytest.raises(IndexError, match="out of bounds"):
        functional.cross_entropy_and_grad(LOGITS[:1], torch.tensor([bad]))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_scored_in_float32(kind: torch.dtype) -> None:
    z = LOGITS.to(kind)
    torch.testing.assert_close(
        functional.cross_entropy(z, TARGET), functional.cross_entropy(z.float(), TARGET), rtol=0, atol=0
    )


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
def test_smaller_whole_numbers_are_targets_too(kind: torch.dtype) -> None:
    weight = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    ours = functional.weighted_cross_entropy(LOGITS, TARGET.to(kind), weight)
    torch.testing.assert_close(
        ours, functional.weighted_cross_entropy(LOGITS, TARGET, weight), rtol=0, atol=0
    )
