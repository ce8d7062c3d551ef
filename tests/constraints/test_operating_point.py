from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from steelyard import FalseAlarmConstraint, InputError, Objective, metrics
from steelyard.catalog import Facts, method
from steelyard.data import Batches, TableEncoding
from steelyard.functional import hinge_fpr_at_tpr
from steelyard.losses import CriticalCrossEntropy
from steelyard.recipe import Recipe
from steelyard.testing import check_constraint
from steelyard.training import fit

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=25)


def by_hand(score: Tensor, positive: Tensor, tpr: float, margin: float) -> Tensor:
    """The definition: try every positive's score as threshold, take the largest that finds enough."""
    found, rest = score[positive], score[~positive]
    if not len(found) or not len(rest):
        return score.sum() * 0
    enough = [t for t in found if int((found >= t).sum()) / len(found) >= tpr]
    threshold = max(enough)
    return sum(torch.relu(1 + (f - threshold) / margin) for f in rest) / len(rest)


@settings(deadline=None, max_examples=150)
@given(SAMPLES, st.sampled_from([0.1, 0.5, 0.7, 0.95, 1.0]), st.sampled_from([0.5, 1.0, 2.0]))
def test_the_bound_and_its_gradient_are_those_of_the_definition(
    samples: list[tuple[int, bool]], tpr: float, margin: float
) -> None:
    """No score comes twice, so that the threshold is the score of one positive."""
    score = torch.tensor([s / 3 + 1e-3 * i for i, (s, _) in enumerate(samples)], dtype=torch.float64)
    score.requires_grad_()
    positive = torch.tensor([side for _, side in samples])
    ours, wanted = (
        hinge_fpr_at_tpr(score, positive, ~positive, tpr, margin),
        by_hand(score, positive, tpr, margin),
    )
    torch.testing.assert_close(ours, wanted)
    for mine, theirs in zip(
        torch.autograd.grad(ours, score), torch.autograd.grad(wanted, score), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@settings(deadline=None, max_examples=150)
@given(SAMPLES, st.sampled_from([0.1, 0.5, 0.7, 0.95, 1.0]))
def test_it_bounds_the_false_positive_rate_and_meets_it_for_small_margins(
    samples: list[tuple[int, bool]], tpr: float
) -> None:
    score = torch.tensor([float(s) for s, _ in samples], dtype=torch.float64)
    positive = torch.tensor([side for _, side in samples])
    if positive.all() or not positive.any():
        return
    rate = metrics.fpr_at_tpr(positive.long().numpy(), score.numpy(), tpr)
    for margin in (0.5, 1.0, 3.0):
        assert hinge_fpr_at_tpr(score, positive, ~positive, tpr, margin) >= rate - 1e-12
    spread = (score + 1e-4 * torch.arange(len(score))).numpy()  # without ties a margin below all distances
    rate = metrics.fpr_at_tpr(positive.long().numpy(), spread, tpr)
    above = hinge_fpr_at_tpr(torch.from_numpy(spread), positive, ~positive, tpr, margin=1e-9)
    assert (above > 0) == (rate > 0)


@pytest.mark.parametrize("positives", [10, 20, 30, 100, 1000, 100_000])
@pytest.mark.parametrize("tpr", [0.05, 0.1, 0.3, 0.7, 0.9, 0.95, 0.999])
def test_the_number_of_positives_to_find_is_that_of_the_measures(positives: int, tpr: float) -> None:
    score = torch.arange(positives + 1, dtype=torch.float64)
    positive = torch.ones(positives + 1, dtype=torch.bool)
    positive[0] = False
    threshold = metrics.threshold_at_tpr(positive.long().numpy(), score.numpy(), tpr)
    bound = hinge_fpr_at_tpr(score, positive, ~positive, tpr, margin=1e6)
    assert bound.item() == pytest.approx(1 - threshold / 1e6)


def penalty_by_hand(g: float, multiplier: float, mu: float) -> float:
    """The least of ``multiplier * (g + s) + mu / 2 * (g + s)^2`` over many slacks s >= 0."""
    excess = g + np.append(np.linspace(0, 20, 200_001), max(0.0, -g - multiplier / mu))
    return float((multiplier * excess + mu / 2 * excess**2).min())


@pytest.mark.parametrize("multiplier", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("negatives", [[0.5, -3.0], [-3.0, -4.0], [4.0, 4.0]])
def test_the_penalty_is_the_lagrangian_with_its_slack_minimised(
    multiplier: float, negatives: list[float]
) -> None:
    score = torch.tensor([1.0, *negatives], dtype=torch.float64)
    target = torch.tensor([1, 0, 0])
    constraint = FalseAlarmConstraint(fpr=0.2, tpr=1.0, mu=0.5, memory=0).double()
    constraint.multiplier.fill_(multiplier)
    g = sum(max(0, 1 + f - 1.0) for f in negatives) / 2 - 0.2
    penalty, violation = constraint(score, target)
    assert penalty.item() == pytest.approx(penalty_by_hand(g, multiplier, 0.5), abs=1e-6)
    assert violation.item() == pytest.approx(max(0, g))
    constraint.after_step(score, target)
    assert constraint.multiplier.item() == pytest.approx(max(0, multiplier + 0.5 * g))


@pytest.mark.parametrize("memory", [0, 4, 64])
def test_it_keeps_the_contract(memory: int) -> None:
    check_constraint(FalseAlarmConstraint([1, 2], memory=memory))


def test_the_pool_counts_and_moves_nothing() -> None:
    constraint = FalseAlarmConstraint(fpr=0.0, tpr=0.5, mu=1.0, memory=8)
    constraint.after_step(
        torch.tensor([0.0, 2.0, 9.0, 8.0]), torch.tensor([1, 1, 0, 1]), torch.tensor([0, 1, 2, 7])
    )
    constraint.multiplier.zero_()
    batch, index = torch.tensor([4.0, 1.5, -3.0], requires_grad=True), torch.tensor([7, 8, 9])
    penalty, violation = constraint(batch, torch.tensor([1, 0, 0]), index)
    # Positives 0, 2 and 4 (sample 7 was at 8 before), of which two are to be found: t = 2. Of the negatives
    # 1.5, -3 and 9 the first is half a margin too near and the last, which is of the pool, 8 margins.
    g = (0.5 + 8) / 3
    assert violation.item() == pytest.approx(g)
    (grad,) = torch.autograd.grad(penalty, batch)
    assert grad.tolist() == pytest.approx([0, g / 3, 0])
    alone, _ = constraint(torch.tensor([1.5]), torch.tensor([0]), torch.tensor([8]))
    assert alone > 0  # a batch without positives still has the pool's


def test_it_never_leaves_the_numbers() -> None:
    constraint = FalseAlarmConstraint(memory=4)
    for scores, target in (([], []), ([1.0], [1]), ([1.0, 2.0], [0, 0]), ([1e30, -1e30], [0, 1])):
        leaf = torch.tensor(scores, requires_grad=True)
        label, index = torch.tensor(target, dtype=torch.int64), torch.arange(len(target))
        penalty, violation = FalseAlarmConstraint(memory=4)(leaf, label, index)
        (grad,) = torch.autograd.grad(penalty, leaf)
        sides = set(target)
        assert not violation.isnan()
        assert not grad.isnan().any()
        assert (penalty == 0) == (len(sides) < 2)
        constraint.after_step(leaf.detach().clamp(-9, 9), label, index)
    assert constraint.multiplier.isfinite()


def test_multiplier_falls_where_the_demand_is_met_and_respects_its_limit() -> None:
    constraint = FalseAlarmConstraint(fpr=0.5, tpr=1.0, mu=1.0, lambda_max=0.6, memory=0)
    bad, good = torch.tensor([0.0, 5.0]), torch.tensor([5.0, 0.0])
    target = torch.tensor([1, 0])
    constraint.after_step(bad, target)
    assert constraint.multiplier.item() == pytest.approx(0.6)
    constraint.after_step(good, target)
    assert constraint.multiplier.item() == pytest.approx(0.1)
    constraint.after_step(good, target)
    assert constraint.multiplier.item() == 0
    logged = {name: one.value for name, one in constraint.values_to_log().items()}
    assert logged == pytest.approx({"mu": 1.0, "multiplier": 0.0, "violation": 5.5 / 3})


def test_pixels_are_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 3, 4, generator=generator)
    target = torch.randint(2, (2, 3, 4), generator=generator)
    dense = FalseAlarmConstraint()(logits, target, torch.arange(2))
    flat = FalseAlarmConstraint(memory=0)(logits.movedim(1, -1).reshape(-1, 2), target.flatten())
    torch.testing.assert_close(dense, flat)


def test_two_processes_are_one_batch(on_two_ranks: Callable[..., tuple[Any, list[Any]]]) -> None:
    joint, found = on_two_ranks("joint_batch.py", "fpr")
    alone = joint.steps(slice(0, 10), parallel=False, kind="fpr")
    for said in found:
        for name, values in said.items():
            assert values == pytest.approx(alone[name], rel=1e-9), name


def test_training_with_it_takes_most_false_alarms_away() -> None:
    """Two overlapping clouds, 1:9: the loss alone leaves more than a quarter of the rest at 95 %."""
    generator = torch.Generator().manual_seed(0)
    target = (torch.arange(600) % 10 == 0).long()
    x = torch.randn(600, 6, generator=generator)
    x[:, 0] += 1.2 * target
    x[:, 1] += 2.0 * target * (torch.rand(600, generator=generator) < 0.6)
    encoding = TableEncoding(classes=("rest", "rare"), numbers=(), texts=())
    rates = {}
    for word in ("bce", "alm-fpr(fpr=0.05, tpr=0.95)"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 2))
        train = Batches(x, target, np.arange(600), encoding, batch_size=100, shuffle=True)
        facts = Facts(class_counts=[540, 60], num_samples=600, critical=[1])
        fit(model, method(word, facts), train, Recipe(epochs=60, lr=0.01))
        with torch.no_grad():
            logits = model(x)
        rates[word] = metrics.fpr_at_tpr(target.numpy(), (logits[:, 1] - logits[:, 0]).numpy(), 0.95)
    assert rates["alm-fpr(fpr=0.05, tpr=0.95)"] <= 0.1
    assert rates["bce"] >= 0.25


def test_bad_settings_are_refused() -> None:
    for wrong, message in (
        ({"fpr": 1.5}, "fpr must lie between 0 and 1, got 1.5"),
        ({"tpr": 0.0}, "tpr must be a finite number above 0"),
        ({"tpr": 1.1}, "tpr must lie between 0 and 1"),
        ({"delta": 0.0}, "delta must be a finite number above 0"),
        ({"mu": -1.0}, "mu must be"),
        ({"rho": 0.5}, "rho must be"),
        ({"memory": -1}, "memory must be"),
    ):
        with pytest.raises(InputError, match=message):
            FalseAlarmConstraint(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="remembers training samples: expected index"):
        FalseAlarmConstraint(memory=4)(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="expected logits"):
        FalseAlarmConstraint()(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(TypeError, match="expected logits of a floating type"):
        FalseAlarmConstraint()(torch.zeros(3, 2), torch.zeros(3))
    assert isinstance(Objective(CriticalCrossEntropy(), constraint=FalseAlarmConstraint()), Objective)
