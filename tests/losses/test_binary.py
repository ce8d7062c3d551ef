from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import Tensor

from steelyard import LOW, InputError
from steelyard.functional import logit_grad_sq_norm, loss_and_logit_grad, low_weights
from steelyard.losses import (
    BalancedBinaryCrossEntropy,
    BinaryCrossEntropy,
    BinaryFocal,
    BinaryMargin,
    WeightedBinaryCrossEntropy,
)

PRESENT, ABSENT = [50, 5, 90, 0], [50, 95, 10, 100]


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


def test_weighted_is_torchs_positive_weight() -> None:
    logits, target = batch()
    weight = 0.5 * torch.tensor(
        [1, 19, 1 / 9, 100], dtype=torch.float64
    )  # none with the last: as if one had it
    torchs = torch.nn.BCEWithLogitsLoss(reduction="none", pos_weight=weight)(logits, target.double()).sum(1)
    torch.testing.assert_close(WeightedBinaryCrossEntropy(PRESENT, ABSENT, share=0.5)(logits, target), torchs)


def test_balanced_weighs_sides_by_their_effective_numbers() -> None:
    logits, target = batch()
    plain = np.logaddexp(0, np.where(target == 1, -logits, logits))
    expected = np.zeros(12)
    for label, (present, absent) in enumerate(zip(PRESENT, ABSENT, strict=True)):
        raw = [0.1 / (1 - 0.9**count) if count else 0.0 for count in (absent, present)]
        scale = (present + absent) / (absent * raw[0] + present * raw[1])
        expected += scale * np.array(raw)[target[:, label]] * plain[:, label]
    found = BalancedBinaryCrossEntropy(PRESENT, ABSENT, beta=0.9)(logits, target)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_focal_is_its_definition_label_by_label() -> None:
    logits, target = batch()
    p = expit(np.where(target == 1, logits, -logits))
    expected = (-((1 - p) ** 1.5) * np.log(p)).sum(1)
    np.testing.assert_allclose(BinaryFocal(gamma=1.5)(logits, target), expected, rtol=1e-12)
    torch.testing.assert_close(BinaryFocal(gamma=0)(logits, target), BinaryCrossEntropy()(logits, target))


def test_margins_are_asked_of_the_rarer_side_of_each_label() -> None:
    logits, target = batch()
    margin = [0.5, 1.0, 2.0, 0.0]
    expected = np.zeros(12)
    for label, rarer in enumerate([1, 1, 0, 1]):  # of equals those with the label
        moved = (
            logits[:, label].numpy()
            + margin[label] * (-1 if rarer else 1) * (target[:, label] == rarer).numpy()
        )
        p = expit(np.where(target[:, label] == 1, moved, -moved))
        expected -= np.log(p)
    loss = BinaryMargin(PRESENT, ABSENT, margin=margin)
    np.testing.assert_allclose(loss(logits, target), expected, rtol=1e-12)
    for zero in (BinaryMargin(PRESENT, ABSENT, margin=0), loss):
        zero.margin.zero_()  # as whoever learns margins sets them
        torch.testing.assert_close(zero(logits, target), BinaryCrossEntropy()(logits, target))


def test_a_margin_grows_the_region_of_the_rarer_side() -> None:
    """One label that 10 % have, one noisy feature: with the margin, more of its samples are found."""
    generator = torch.Generator().manual_seed(0)
    target = (torch.arange(1000) < 100).long().unsqueeze(1)
    x = torch.randn(1000, 1, generator=generator) + 1.5 * target
    found = []
    for margin in (0.0, 2.0):
        model = torch.nn.Linear(1, 1)
        loss = BinaryMargin([100], [900], margin=margin)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=50)

        def closure(model: torch.nn.Linear = model, loss: BinaryMargin = loss) -> Tensor:
            model.zero_grad()
            value = loss(model(x), target).mean()
            value.backward()
            return value

        optimizer.step(closure)
        found.append(float((model(x[:100]) > 0).float().mean()))
    assert found[1] > found[0] + 0.1


def test_losses_of_counted_labels_refuse_what_cannot_be_meant() -> None:
    with pytest.raises(InputError, match=r"how many training samples have, and have not, each of L labels"):
        WeightedBinaryCrossEntropy([5, 5], [5])
    with pytest.raises(InputError, match=r"each of L labels, got \[-1\] and \[5\]"):
        BalancedBinaryCrossEntropy([-1], [5])
    with pytest.raises(InputError, match=r"expected logits of shape \(N, 1\), a column for each label"):
        WeightedBinaryCrossEntropy([5], [5])(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(InputError, match=r"beta must lie in \[0, 1\), got 1"):
        BalancedBinaryCrossEntropy([5], [5], beta=1)
    for margin in (-1.0, [0.5], float("nan")):
        with pytest.raises(InputError, match="margin must be a finite number of at least 0, or 2 of them"):
            BinaryMargin([5, 5], [5, 5], margin=margin)
