from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from steelyard import AUCConstraint, InputError, Objective
from steelyard.catalog import Facts, method
from steelyard.constraints import FalseAlarmConstraint
from steelyard.data import Batches, ImageEncoding
from steelyard.losses import CriticalCrossEntropy
from steelyard.recipe import Recipe
from steelyard.testing import check_constraint
from steelyard.training import NotFiniteError, fit

if TYPE_CHECKING:
    from collections.abc import Callable

FORMS = [
    ("positive", "sum"),
    ("positive", "mean"),
    ("negative", "sum"),
    ("negative", "mean"),
    ("pair", "sum"),
    ("pair", "mean"),
]
MU, DELTA = 0.5, 1.0  # 0.5 is exact in float32


def by_pairs(
    score: Tensor, target: Tensor, multiplier: Tensor, per: str, normalize: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Penalty, growth of the multipliers (N,) and violation, from the matrix of all pairs."""
    pos, neg = target == 1, target == 0
    hinge = (score[neg] - score[pos].unsqueeze(1) + DELTA).relu()  # (P, N)
    growth = torch.zeros_like(multiplier)
    if not hinge.numel():
        return score.sum() * 0, growth, score.sum() * 0
    if per == "pair":
        q = hinge.mean(1)
        growth[pos] = MU * q.detach()
        return MU / 2 * hinge.square().mean() + (multiplier[pos] * q).mean(), growth, hinge.mean()
    side, axis = (pos, 1) if per == "positive" else (neg, 0)
    q = hinge.sum(axis) if normalize == "sum" else hinge.mean(axis)
    growth[side] = MU * q.detach()
    divisor = hinge.numel() if normalize == "sum" else len(q)
    return (MU / 2 * q.square() + multiplier[side] * q).sum() / divisor, growth, hinge.mean()


@pytest.mark.parametrize(("per", "normalize"), FORMS)
@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=14))
def test_penalty_gradient_and_growth_are_those_of_all_pairs(
    per: Any, normalize: Any, samples: list[tuple[int, bool]]
) -> None:
    """Scores are halves, so that ties at the margin and empty sides come often."""
    score = torch.tensor([s / 2 for s, _ in samples], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([int(side) for _, side in samples])
    index = torch.arange(len(samples)).flip(0)
    constraint = AUCConstraint(len(samples), delta=DELTA, mu=MU, per=per, normalize=normalize).double()
    before = torch.arange(len(samples), dtype=torch.float64)
    constraint.multiplier.copy_(before)
    penalty, violation = constraint(score, target, index)
    wanted, growth, mean = by_pairs(score, target, before[index], per, normalize)
    torch.testing.assert_close(penalty, wanted)
    torch.testing.assert_close(violation, mean.detach())
    ours, theirs = (torch.autograd.grad(value, score)[0] for value in (penalty, wanted))
    torch.testing.assert_close(ours, theirs)
    constraint.after_step(score.detach(), target, index)
    torch.testing.assert_close(constraint.multiplier[index], before[index] + growth)


@pytest.mark.parametrize(("per", "normalize"), FORMS)
@pytest.mark.parametrize("memory", [0, 4])
def test_every_form_keeps_the_contract(per: Any, normalize: Any, memory: int) -> None:
    check_constraint(AUCConstraint(6, [1, 2], per=per, normalize=normalize, memory=memory))


def cost(row: str, per: Any) -> float:
    """The sum of squares for markers at distance 1, positives being +, from left to right as in the paper."""
    target = torch.tensor([int(c == "+") for c in row])
    score = torch.arange(len(row), dtype=torch.float64)
    constraint = AUCConstraint(len(row), delta=0, mu=MU, per=per).double()
    penalty, _ = constraint(score, target, torch.arange(len(row)))
    return float(penalty) * int(target.sum()) * int((1 - target).sum()) * 2 / MU


def test_the_papers_toy_example_prefers_its_lowest_positive() -> None:
    """Section 4: both swaps add as much AUC, and take 39 and 19 off the sum of squares."""
    now, lowest, highest = "---+--++-+", "----+-++-+", "---+--+-++"
    assert cost(now, "positive") - cost(lowest, "positive") == pytest.approx(39)
    assert cost(now, "positive") - cost(highest, "positive") == pytest.approx(19)
    assert cost(now, "negative") - cost(lowest, "negative") == pytest.approx(19)
    assert cost(now, "negative") - cost(highest, "negative") == pytest.approx(39)
    assert cost(now, "pair") - cost(lowest, "pair") == pytest.approx(
        cost(now, "pair") - cost(highest, "pair")
    )


def test_several_steps_by_hand() -> None:
    """Two positives at 0 and 1, one negative at 0.5, margin 1: q = 1.5 and 0.5 in each step."""
    score, target, index = torch.tensor([0.0, 1.0, 0.5]), torch.tensor([1, 1, 0]), torch.tensor([4, 2, 0])
    constraint = AUCConstraint(5, mu=0.5, rho=2.0, mu_max=0.75, lambda_max=2.0)
    penalties = []
    for auc in (0.9, 0.9, 0.8, 0.8):
        penalties.append(constraint(score, target, index)[0].item())
        constraint.after_step(score, target, index)
        constraint.after_validation(auc)
    # mu: 0.5, 0.5 (nothing to compare with), 0.5 (equal), 0.75 (fell; 1.0 is above the limit)
    # lambda of 4: 0, 0.75, 1.5, min(2.25, 2); of 2: 0, 0.25, 0.5, 0.75
    mu, low, high = [0.5, 0.5, 0.5, 0.75], [0, 0.75, 1.5, 2], [0, 0.25, 0.5, 0.75]
    quadratic = [m / 2 * (1.5**2 + 0.5**2) for m in mu]
    linear = [1.5 * one + 0.5 * other for one, other in zip(low, high, strict=True)]
    assert penalties == pytest.approx([(a + b) / 2 for a, b in zip(quadratic, linear, strict=True)])
    assert constraint.multiplier.tolist() == pytest.approx([0, 0, 1.125, 0, 2.0])
    assert constraint.mu.item() == 0.75
    logged = {name: one.value for name, one in constraint.values_to_log().items()}
    assert logged == pytest.approx({"mu": 0.75, "multiplier": 1.5625, "violation": 1.0})
    assert constraint.values_to_log()["violation"].value == 0


def test_training_goes_on_from_the_saved_state() -> None:
    generator = torch.Generator().manual_seed(0)

    def told(constraint: AUCConstraint, steps: int) -> AUCConstraint:
        for _ in range(steps):
            scores, index = torch.randn(6, generator=generator), torch.randperm(9, generator=generator)[:6]
            constraint.after_step(scores, index % 3 // 2, index)
            constraint.after_validation(float(torch.rand((), generator=generator)))
        return constraint

    first = told(AUCConstraint(9, memory=8), 3)
    second = AUCConstraint(9, memory=8)
    second.load_state_dict(first.state_dict())
    third, state = copy.deepcopy(first), generator.get_state()
    for twin in (first, second, third):
        generator.set_state(state)
        told(twin, 3)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
        assert torch.equal(value, third.state_dict()[name])


def test_memory_compares_with_the_latest_scores() -> None:
    constraint = AUCConstraint(20, mu=MU, memory=4).double()
    old = torch.tensor([9.0, 1.0, 0.0, 2.0, -1.0], dtype=torch.float64)
    constraint.after_step(old, torch.tensor([0, 0, 1, 0, 1]), torch.arange(5))
    constraint.multiplier.zero_()
    score = torch.tensor([0.5, 0.0], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([1, 0])
    joint, labels = torch.cat([score, old[1:]]), torch.tensor([1, 0, 0, 1, 0, 1])  # the 9 has dropped out
    wanted, growth, _ = by_pairs(joint, labels, torch.zeros(6, dtype=torch.float64), "positive", "sum")
    penalty, _ = constraint(score, target, torch.tensor([7, 8]))
    torch.testing.assert_close(penalty, wanted)
    ours, theirs = (torch.autograd.grad(value, score)[0] for value in (penalty, wanted))
    torch.testing.assert_close(ours, theirs)
    constraint.after_step(score.detach(), target, torch.tensor([7, 8]))
    assert constraint.multiplier[7] == growth[0]
    assert constraint.multiplier.count_nonzero() == 1  # those of remembered scores wait for their own step


def test_pixels_are_samples_and_share_the_multiplier_of_their_image() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=generator)
    target = torch.randint(3, (2, 4, 5), generator=generator)
    constraint = AUCConstraint(2, critical=[1, 2], mu=MU).double()
    rows = logits.movedim(1, -1).reshape(-1, 3)
    score = rows[:, 1:].logsumexp(1) - rows[:, 0]
    positive = (target.flatten() > 0).long()
    wanted, growth, _ = by_pairs(score, positive, torch.zeros(40, dtype=torch.float64), "positive", "sum")
    torch.testing.assert_close(constraint(logits, target, torch.arange(2))[0], wanted)
    constraint.after_step(logits, target, torch.arange(2))
    means = [growth[:20][positive[:20] == 1].mean(), growth[20:][positive[20:] == 1].mean()]
    torch.testing.assert_close(constraint.multiplier, torch.stack(means))


def images(target: Tensor) -> Batches:
    """Images of noise, brighter where the class is 1."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 200, (len(target), 1, 4, 4), dtype=torch.uint8, generator=generator)
    x += (target * 50)[:, None, None, None].to(torch.uint8)
    encoding = ImageEncoding(classes=("rest", "rare"), size=(4, 4), mean=(0.5,), std=(0.3,))
    return Batches(x, target, np.arange(len(target)), encoding, batch_size=16, shuffle=True)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))


@pytest.mark.parametrize("normalize", ["sum", "mean"])
def test_trains_where_most_batches_hold_no_positive(normalize: str) -> None:
    target = torch.zeros(402, dtype=torch.int64)
    target[:2] = 1
    batches = images(target)
    assert sum(bool(batch.target.any()) for batch in batches) <= 2 < len(batches)
    objective = method(f"alm(normalize={normalize})", Facts([400, 2], 402))
    progress = fit(linear(), objective, batches, Recipe(epochs=3, optimizer="sgd", lr=0.01))
    assert all(np.isfinite(row["train_objective"]) for row in progress.history)
    assert isinstance(objective.constraint, AUCConstraint)
    assert objective.constraint.multiplier[:2].all()
    assert not objective.constraint.multiplier[2:].any()


def test_a_setting_that_diverges_ends_with_a_clear_error() -> None:
    objective = method("alm(mu=5)", Facts([150, 10], 160))
    target = (torch.arange(160) < 10).long()
    with pytest.raises(NotFiniteError, match="the loss was not finite in epoch"):
        fit(linear(), objective, images(target), Recipe(epochs=40, optimizer="sgd", lr=1.0))


def test_raises_the_lowest_positive_above_the_rest() -> None:
    """On free scores the penalty alone leads to scores that fulfil the constraint."""
    score = torch.tensor([0.0, 2.0, 1.0, 3.0, -1.0], requires_grad=True)
    target, index = torch.tensor([1, 1, 0, 0, 0]), torch.arange(5)
    objective = Objective(
        CriticalCrossEntropy(), constraint=AUCConstraint(5, delta=1.0, mu=0.3, normalize="mean")
    )
    optimizer = torch.optim.SGD([score], lr=0.2)
    for _ in range(100):
        logits = torch.stack([torch.zeros_like(score), score], 1)
        optimizer.zero_grad()
        objective(logits, target, index).backward()
        optimizer.step()
        objective.after_step(logits.detach(), target, index)
    assert score[:2].min() > score[2:].max() + 0.99


def test_two_ranks_take_the_steps_of_the_joint_batch(
    on_two_ranks: Callable[..., tuple[Any, list[Any]]],
) -> None:
    joint_batch, found = on_two_ranks("joint_batch.py")
    wanted = joint_batch.steps(slice(None), parallel=False)
    assert any(wanted["multiplier"])
    for rank in found:
        for name, values in wanted.items():
            np.testing.assert_allclose(rank[name], values, rtol=0, atol=1e-12)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"num_samples": 0}, "num_samples must be a whole number of at least 1, got 0"),
    ({"critical": []}, "critical must be different class numbers"),
    ({"delta": -1.0}, "delta must be a finite number of at least 0"),
    ({"mu": 0.0}, "mu must be a finite number above 0"),
    ({"rho": 0.5}, "rho must be a finite number of at least 1"),
    ({"mu": 2.0, "mu_max": 1.0}, "mu_max must be a finite number of at least 2.0"),
    ({"lambda_max": float("nan")}, "lambda_max must be a finite number above 0"),
    ({"normalize": "mena"}, "unknown normalize 'mena'. Did you mean 'mean'"),
    ({"per": "sample"}, "unknown per 'sample'"),
    ({"memory": -1}, "memory must be a whole number of at least 0"),
]


@pytest.mark.parametrize(("given_settings", "message"), BAD)
def test_bad_settings_are_refused(given_settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AUCConstraint(**{"num_samples": 5} | given_settings)


@pytest.mark.parametrize("constraint", [AUCConstraint(3), FalseAlarmConstraint()])
def test_a_validation_without_a_score_moves_nothing(constraint: nn.Module) -> None:
    objective = Objective(CriticalCrossEntropy(), constraint=constraint)
    objective.after_validation(0.9)
    before = copy.deepcopy(constraint.state_dict())
    with pytest.raises(InputError, match="the validation score is NaN"):
        objective.after_validation(math.nan)
    assert all(torch.equal(before[name], value) for name, value in constraint.state_dict().items())
    objective.after_validation(0.8)
    assert constraint.mu > before["mu"]


def test_bad_batches_are_refused() -> None:
    constraint = AUCConstraint(5)
    logits, target, index = torch.zeros(3, 2), torch.tensor([0, 1, 0]), torch.arange(3)
    with pytest.raises(InputError, match=r"expected index, .* of shape \(3,\), got none"):
        constraint(logits, target, None)
    with pytest.raises(InputError, match=r"got \(2,\)"):
        constraint(logits, target, index[:2])
    with pytest.raises(InputError, match=r"got \(3, 2\) and \(2,\)"):
        constraint(logits, target[:2], index)
    with pytest.raises(TypeError, match="class numbers"):
        constraint(logits, target.double(), index)
    with pytest.raises(TypeError, match="floating type"):
        constraint(logits.long(), target, index)
    with pytest.raises(RuntimeError, match="out of bounds"):
        constraint(logits, target, index + 3)
