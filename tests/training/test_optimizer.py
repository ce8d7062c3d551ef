import pytest
import torch
from torch import nn

from steelyard.losses import CrossEntropy, TwoScaleSeparation
from steelyard.objective import Objective
from steelyard.recipe import Recipe
from steelyard.training.optimizer import make_optimizer, rate_factor, set_learning_rate

EPOCHS = 20


def reference(kind: str) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule: torch.optim.lr_scheduler.LRScheduler
    if kind == "cosine":
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    elif kind == "step":
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10, 15], 0.2)
    else:
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    rates = []
    for _ in range(EPOCHS):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("kind", ["constant", "step", "cosine"])
def test_schedules_are_those_of_torch(kind: str) -> None:
    recipe = Recipe.model_validate({"epochs": EPOCHS, "schedule": kind, "drop": 0.2})
    assert [rate_factor(recipe, e) for e in range(EPOCHS)] == pytest.approx(reference(kind), abs=1e-12)


def test_warmup_rises_linearly_to_the_full_rate() -> None:
    recipe = Recipe(schedule="constant", warmup=2, lr=0.5)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    rates = [set_learning_rate(optimizer, recipe, epoch) for epoch in (0.5, 1.0, 2.0, 5.0)]
    assert rates == pytest.approx([0.125, 0.25, 0.5, 0.5])
    assert 0 < set_learning_rate(optimizer, recipe, 0.0) < 0.125
    assert optimizer.param_groups[0]["lr"] < 0.125


def test_what_the_objective_learns_is_trained_without_decay() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return nn.functional.cross_entropy(self.scale * logits, target, reduction="none")

    model = nn.Linear(3, 2)
    plain = make_optimizer(Recipe(), model, Objective(CrossEntropy()))
    assert len(plain.param_groups) == 1
    scaled = Scaled()
    model_group, objective_group = make_optimizer(
        Recipe(weight_decay=0.3), model, Objective(scaled)
    ).param_groups
    assert model_group["weight_decay"] == 0.3
    assert objective_group["weight_decay"] == 0
    assert objective_group["params"][0] is scaled.scale


def test_the_objectives_learning_rate_is_a_multiple_of_the_models() -> None:
    model, recipe = nn.Linear(3, 2), Recipe(schedule="cosine", epochs=4, lr=0.1)
    optimizer = make_optimizer(recipe, model, Objective(TwoScaleSeparation(lr_factor=20)))
    rate = set_learning_rate(optimizer, recipe, 2.0)
    assert rate == pytest.approx(0.05)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 1.0])


def test_a_training_cut_short_ends_its_schedule_with_it() -> None:
    assert rate_factor(Recipe(schedule="cosine", epochs=10), 1.0, end=2.0) == pytest.approx(0.5)
