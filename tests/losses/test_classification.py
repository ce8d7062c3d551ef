from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from steelyard import InputError, losses

COUNTS = [60, 6, 0]
LOGITS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 1, 0, 1, 2])


@pytest.mark.parametrize("loss", [losses.CrossEntropy, losses.Focal])
def test_reductions(loss: type[losses.Loss]) -> None:
    value = loss()(LOGITS, TARGET)
    assert value.shape == (5,)
    torch.testing.assert_close(loss(reduction="mean")(LOGITS, TARGET), value.mean())
    torch.testing.assert_close(loss(reduction="sum")(LOGITS, TARGET), value.sum())


def test_mean_of_weighted_losses_is_the_plain_mean() -> None:
    counts, target = [3, 1], torch.tensor([0, 0, 0, 1])
    mean = losses.BalancedCrossEntropy(counts, reduction="mean")(torch.zeros(4, 2), target)
    torch.testing.assert_close(mean, torch.tensor(2.0).log())  # weights of mean 1 over this very batch
    mean = losses.BalancedCrossEntropy(counts, reduction="mean")(torch.zeros(1, 2), target[3:])
    torch.testing.assert_close(mean, 2 * torch.tensor(2.0).log())


def test_loss_and_grad_is_never_reduced() -> None:
    value, grad = losses.CrossEntropy(reduction="mean").loss_and_grad(LOGITS, TARGET)
    assert (value.shape, grad.shape) == ((5,), (5, 3))


def test_relations_between_losses() -> None:
    ce = losses.CrossEntropy()(LOGITS, TARGET)
    torch.testing.assert_close(losses.Focal(gamma=0)(LOGITS, TARGET), ce)
    torch.testing.assert_close(losses.LogitAdjusted(COUNTS, tau=0)(LOGITS, TARGET), ce)
    torch.testing.assert_close(losses.LDAM(COUNTS, max_margin=0)(LOGITS, TARGET), ce)
    torch.testing.assert_close(losses.EffectiveNumber([5, 50, 500], beta=0)(LOGITS, TARGET), ce)
    adjusted = losses.LogitAdjusted(COUNTS)(LOGITS, TARGET)
    torch.testing.assert_close(losses.BalancedSoftmax(COUNTS)(LOGITS, TARGET), adjusted)


@pytest.mark.parametrize(
    "counts", [COUNTS, tuple(COUNTS), torch.tensor(COUNTS), torch.tensor([60.0, 6.0, 0.0])]
)
def test_class_counts_are_an_exact_buffer(counts: list[int] | Tensor) -> None:
    loss = losses.BalancedCrossEntropy(counts)
    assert loss.state_dict()["class_counts"].tolist() == COUNTS
    halved = copy.deepcopy(loss).half()
    assert torch.equal(halved(LOGITS, TARGET), loss(LOGITS, TARGET))
    assert loss.to("meta").class_counts.is_meta


def test_class_counts_are_the_losses_own() -> None:
    counts = torch.tensor(COUNTS)
    loss = losses.BalancedCrossEntropy(counts)
    counts.zero_()
    assert loss.class_counts.tolist() == COUNTS


def test_a_saved_state_brings_its_counts() -> None:
    trained, fresh = losses.LDAM([60, 6, 2]), losses.LDAM([1, 1, 1])
    assert not torch.equal(fresh(LOGITS, TARGET), trained(LOGITS, TARGET))
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh(LOGITS, TARGET), trained(LOGITS, TARGET))


def test_float64_logits_are_weighed_in_float64() -> None:
    value = losses.BalancedCrossEntropy([3, 4, 6])(torch.zeros(1, 3, dtype=torch.float64), torch.tensor([0]))
    torch.testing.assert_close(
        value, 13 / 9 * torch.tensor([3.0], dtype=torch.float64).log(), rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("counts", [[5], [], [0, 0], [3, -1], [1.5, 2.0], [[1, 2]], [float("nan"), 2.0]])
def test_counts_that_are_none_are_refused(counts: list[float]) -> None:
    with pytest.raises(
        InputError, match="class_counts must be the numbers of training samples of at least two"
    ):
        losses.BalancedCrossEntropy(counts)  # type: ignore[arg-type]


def test_logits_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(InputError, match="expected logits of 3 classes, as class_counts has, got 4"):
        losses.LDAM(COUNTS)(torch.zeros(2, 4), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="expected logits of 3 classes"):
        losses.LDAM(COUNTS).loss_and_grad(torch.zeros(2, 4), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.Focal(gamma=-1), "gamma must be a finite number of at least 0, got -1"),
        (lambda: losses.EffectiveNumber(COUNTS, beta=1.0), r"beta must lie in \[0, 1\), got 1.0"),
        (lambda: losses.EffectiveNumber(COUNTS, beta=float("nan")), r"beta must lie in \[0, 1\), got nan"),
        (lambda: losses.LogitAdjusted(COUNTS, tau=-1), "tau must be a finite number of at least 0"),
        (lambda: losses.LDAM(COUNTS, max_margin=-1), "max_margin must be a finite number of at least 0"),
        (lambda: losses.LDAM(COUNTS, scale=0), "scale must be a finite number above 0, got 0"),
        (lambda: losses.CrossEntropy(reduction="men"), "unknown reduction 'men'. Did you mean 'mean'?"),  # type: ignore[arg-type]
    ],
)
def test_hyperparameters_are_checked(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]


def test_a_loss_without_per_sample_says_what_it_lacks() -> None:
    with pytest.raises(NotImplementedError, match=r"Loss must define per_sample\(logits, target\)"):
        losses.Loss()(LOGITS, TARGET)
