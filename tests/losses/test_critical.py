from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from steelyard import InputError, catalog, losses
from steelyard.metrics import critical_score

COUNTS = [40, 10, 30, 20]
CRITICAL = [3, 1]
SIDES = np.array([70, 30])  # of the rest and of the critical classes


def batch(n: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, 4, dtype=torch.float64, generator=generator)
    return logits, torch.arange(n) % 4


def direct(word: str, f: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The textbook formula, with the margin 0.5, gamma 1.5, share 1/3 and beta 0.9."""
    p = 1 / (1 + np.exp(-f))
    right = np.where(y, p, 1 - p)

    def shifted(m: np.ndarray | float) -> np.ndarray:
        return np.where(y, np.log1p(np.exp(-(f - m))), np.log1p(np.exp(f + m)))

    effective = (1 - 0.9) / (1 - 0.9**SIDES)
    effective = effective * SIDES.sum() / (effective * SIDES).sum()
    formulas = {
        "bce": -np.log(right),
        "symmetric-margin": shifted(0.5),
        "asymmetric-margin": shifted(np.where(y, 0.5, 0.0)),
        "symmetric-focal": -((1 - right) ** 1.5) * np.log(right),
        "asymmetric-focal": -np.where(y, 1, p**1.5) * np.log(right),
        "weighted-bce": -np.where(y, 70 / 30 / 3, 1) * np.log(right),
        "balanced-bce": -effective[y.astype(int)] * np.log(right),
        "msfe": np.where(y, 100 / 30, 100 / 70) * (y - p) ** 2,
    }
    return np.asarray(formulas[word])


SETTINGS: dict[str, dict[str, Any]] = {
    "bce": {},
    "symmetric-margin": {"margin": 0.5},
    "asymmetric-margin": {"margin": 0.5},
    "symmetric-focal": {"gamma": 1.5},
    "asymmetric-focal": {"gamma": 1.5},
    "weighted-bce": {"share": 1 / 3},
    "balanced-bce": {"beta": 0.9},
    "msfe": {},
}


def build(word: str, **settings: Any) -> losses.Loss:
    facts = catalog.Facts(class_counts=COUNTS, num_samples=100, critical=CRITICAL)
    loss = catalog.build("loss", catalog.LOSSES, catalog.Word(word, settings), facts)
    assert isinstance(loss, losses.Loss)
    return loss


@pytest.mark.parametrize("word", SETTINGS)
def test_equals_the_textbook_formula(word: str) -> None:
    logits, target = batch()
    f, y = critical_score(logits.numpy(), CRITICAL), np.isin(target.numpy(), CRITICAL)
    ours = build(word, **SETTINGS[word])(logits, target)
    np.testing.assert_allclose(ours, direct(word, f, y), rtol=1e-12)


def test_two_classes_are_cross_entropy_whichever_is_critical() -> None:
    logits, target = batch()
    logits, target = logits[:, :2], target % 2
    wanted = nn.functional.cross_entropy(logits, target, reduction="none")
    for critical in ([0], [1]):
        torch.testing.assert_close(losses.CriticalCrossEntropy(critical)(logits, target), wanted)


def test_squared_false_error_is_the_sum_of_the_sides_means() -> None:
    logits, target = torch.randn(10, 2, dtype=torch.float64), torch.tensor([0] * 7 + [1] * 3)
    p = (logits[:, 1] - logits[:, 0]).sigmoid()
    wanted = p[:7].square().mean() + (1 - p[7:]).square().mean()
    torch.testing.assert_close(losses.SquaredFalseError([7, 3], reduction="mean")(logits, target), wanted)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(-30, 30), st.integers(0, 1)), min_size=1, max_size=15))
def test_minibatch_auc_is_the_mean_over_pairs(samples: list[tuple[float, int]]) -> None:
    score = torch.tensor([s for s, _ in samples], dtype=torch.float64)
    target = torch.tensor([y for _, y in samples])
    logits = torch.stack([torch.zeros_like(score), score], 1)
    s = score.sigmoid()
    pairs = (1 - (s[target == 1].unsqueeze(1) - s[target == 0])).square()
    wanted = pairs.mean() if pairs.numel() else torch.zeros((), dtype=torch.float64)
    torch.testing.assert_close(losses.MiniBatchAUC(reduction="mean")(logits, target), wanted)


@pytest.mark.parametrize("word", [*SETTINGS, "mbauc"])
def test_is_stable_where_the_published_form_is_not(word: str) -> None:
    score = torch.tensor([-1e4, -50.0, 50.0, 1e4]).repeat(2)
    logits = torch.stack([torch.zeros_like(score), score], 1).requires_grad_()
    facts = catalog.Facts(class_counts=[90, 10], num_samples=100)
    loss = catalog.build("loss", catalog.LOSSES, catalog.Word(word), facts)
    value = loss(logits, torch.tensor([0] * 4 + [1] * 4))
    assert value.isfinite().all()
    assert torch.autograd.grad(value.sum(), logits)[0].isfinite().all()
    if word == "bce":
        assert value.tolist() == [
            0.0,
            pytest.approx(np.exp(-50)),
            50.0,
            1e4,
            1e4,
            50.0,
            pytest.approx(np.exp(-50)),
            0.0,
        ]


@pytest.mark.parametrize(
    ("counts", "critical", "chosen"),
    [
        ([90, 10], [], [1]),
        ([10, 90], [], [0]),
        ([5, 5], [], [1]),
        ([90, 10], [0], [0]),
        ([1, 2, 3], [2], [2]),
    ],
)
def test_the_rarer_of_two_classes_is_critical_unless_one_is_named(
    counts: list[int], critical: list[int], chosen: list[int]
) -> None:
    facts = catalog.Facts(class_counts=counts, num_samples=100, critical=critical)
    loss = catalog.method("bce", facts).loss
    assert isinstance(loss, losses.CriticalCrossEntropy)
    assert loss.critical.tolist() == chosen


@pytest.mark.parametrize("word", ["bce", "alm", "low(loss=msfe)"])
def test_several_classes_need_a_critical_one(word: str) -> None:
    with pytest.raises(InputError, match="of 3 classes none is named; name one with --critical"):
        catalog.method(word, catalog.Facts(class_counts=[1, 2, 3], num_samples=6))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="critical must be different class numbers"):
        losses.CriticalCrossEntropy([1, 1])
    with pytest.raises(InputError, match=r"some but not all of 0..1, got \[2\]"):
        losses.WeightedBCE([90, 10], critical=[2])
    with pytest.raises(InputError, match="fewer critical classes than the 2 of the logits"):
        losses.CriticalCrossEntropy([0, 1])(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="margin must be a finite number of at least 0"):
        losses.SymmetricMargin(margin=-1)
    with pytest.raises(InputError, match=r"beta must lie in \[0, 1\)"):
        losses.BalancedBCE([90, 10], beta=1)
    with pytest.raises(InputError, match="needs each sample's own gradient"):
        catalog.method("low(loss=mbauc)", catalog.Facts(class_counts=[90, 10], num_samples=100))
