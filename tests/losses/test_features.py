"""Losses that read the features of the model's last forward pass."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from steelyard import InputError, Objective, catalog
from steelyard.functional import cross_entropy, nearest_centers, widest_ranges
from steelyard.losses import CenterLoss, CostSensitive, FeatureLoss, RangeLoss, TwoScaleSeparation
from steelyard.models import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable

X = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 0, 2, 1, 0, 2])


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def features_of(model: nn.Sequential) -> Tensor:
    return model[1](model[0](X))


@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_center_loss_is_cross_entropy_plus_distances_with_the_gradient_of_both(strength: float) -> None:
    model = network()
    loss = CenterLoss(model, 3, strength=strength)
    loss.centers.copy_(torch.randn(3, 4, generator=torch.Generator().manual_seed(2)))
    expected = nn.functional.cross_entropy(model[2](features_of(model)), Y, reduction="none")
    expected = expected + strength / 2 * ((features_of(model) - loss.centers[Y]) ** 2).sum(1)
    logits = model(X)
    found = loss(logits, Y)
    torch.testing.assert_close(found, expected)
    parameters = list(model.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(found.mean(), parameters),
        torch.autograd.grad(expected.mean(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_centers_settle_on_the_means_of_their_classes() -> None:
    model = network()
    objective = Objective(CenterLoss(model, 3, rate=1.0))
    for _ in range(60):
        objective.after_step(model(X).detach(), Y)
    features = features_of(model).detach()
    means = torch.stack([features[c == Y].mean(0) for c in range(3)])
    torch.testing.assert_close(objective.loss.centers, means, atol=1e-5, rtol=0)
    assert set(objective.state_dict()) == {"loss.centers"}


def test_center_loss_pulls_the_features_of_a_class_together() -> None:
    def spread(strength: float) -> float:
        model = network()
        objective = Objective(CenterLoss(model, 3, strength=strength))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(80):
            optimizer.zero_grad()
            logits = model(X)
            objective(logits, Y).backward()
            optimizer.step()
            objective.after_step(logits, Y)
        features = features_of(model).detach()
        return sum(float(features[c == Y].var(0).sum()) for c in range(3))

    assert spread(1.0) < 0.5 * spread(0.0)


def test_range_loss_adds_the_same_to_every_sample() -> None:
    model = network()
    loss = RangeLoss(model, within=0.3, between=0.2, margin=5.0, k=2)
    found = loss(model(X), Y)
    features = features_of(model)
    added = 0.3 * widest_ranges(features, Y, 3, 2).sum() + 0.2 * (5 - nearest_centers(features, Y, 3))
    torch.testing.assert_close(found, cross_entropy(model(X), Y) + added)
    (grad,) = torch.autograd.grad(found.mean() - cross_entropy(model(X), Y).mean(), model[0].weight)
    (wanted,) = torch.autograd.grad(added, model[0].weight)
    torch.testing.assert_close(grad, wanted)


def test_far_classes_and_a_batch_of_one_class_pay_nothing_for_nearness() -> None:
    model = network()
    near = RangeLoss(model, within=0, between=1.0, margin=1e-9)
    torch.testing.assert_close(near(model(X), Y), cross_entropy(model(X), Y))
    only = torch.zeros_like(Y)
    torch.testing.assert_close(RangeLoss(model, within=0)(model(X), only), cross_entropy(model(X), only))


@pytest.mark.parametrize("make", [lambda m: CenterLoss(m, 3, strength=1.0), RangeLoss])
def test_model_and_loss_copied_together_belong_together(make) -> None:  # noqa: ANN001
    model = network()
    loss = make(model)
    expected = loss(model(X), Y)
    twin_model, twin = copy.deepcopy((model, loss))
    with torch.no_grad():
        model[0].weight.zero_()
    model(X)
    torch.testing.assert_close(twin(twin_model(X), Y), expected)
    again_model, again = pickle.loads(pickle.dumps((twin_model, twin)))
    torch.testing.assert_close(again(again_model(X), Y), expected)
    assert set(model.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_logits_that_the_model_did_not_just_make_are_refused() -> None:
    model = network()
    loss = CenterLoss(model, 3)
    with pytest.raises(InputError, match=r"run on these 7 samples just before, .* read nothing yet"):
        loss(torch.zeros(7, 3), Y)
    model(X)
    with pytest.raises(InputError, match=r"these 2 samples .* features of shape \(7, 4\)"):
        loss(torch.zeros(2, 3), Y[:2])


@pytest.mark.parametrize("loss", [FeatureLoss, RangeLoss])
def test_models_that_cannot_be_read_are_refused(loss: type[FeatureLoss]) -> None:
    with pytest.raises(InputError, match="reads the features of the model; give it"):
        loss(None)
    with pytest.raises(InputError, match="does not end in a linear layer"):
        loss(nn.Conv2d(1, 1, 1))


def costs(**how: float) -> tuple[nn.Sequential, CostSensitive]:
    model = network()
    return model, CostSensitive([100, 10, 0], model, **how)


def test_cost_sensitive_is_cross_entropy_at_first_and_weighs_the_softmax_by_costs() -> None:
    model, loss = costs()
    logits = model(X).detach()
    torch.testing.assert_close(loss(logits, Y), cross_entropy(logits, Y))
    loss.costs.copy_(torch.rand(3, 3, generator=torch.Generator().manual_seed(3)) + 0.1)
    for i, p in enumerate(Y.tolist()):
        weighed = loss.costs[p].numpy() * np.exp(logits[i].numpy())
        assert loss(logits, Y)[i].item() == pytest.approx(-np.log(weighed[p] / weighed.sum()), rel=1e-5)


def test_costs_move_to_their_target_by_the_gradient_of_the_squared_distance() -> None:
    model, loss = costs(rate=0.1)
    loss.start_epoch(0, 3)
    assert (loss.costs == 1).all()  # nothing seen yet
    loss.after_step(model(X).detach(), Y)
    aim = loss.aim()
    assert aim.diagonal().tolist() == pytest.approx([1, 0.1, 0.01])
    assert (aim <= 1).all()
    assert aim[1, 0] > aim[1, 1]  # the rare class has to beat the frequent one by more
    loss.start_epoch(1, 3)
    torch.testing.assert_close(loss.costs, 1 - 0.2 * (1 - aim))
    assert not loss.confused.any()


def test_costs_that_made_validation_worse_are_taken_back_and_slowed() -> None:
    model, loss = costs(rate=0.1)
    loss.after_validation(0.5)
    loss.after_step(model(X).detach(), Y)
    loss.start_epoch(1, 3)
    moved = loss.costs.clone()
    loss.after_validation(0.6)
    assert torch.equal(loss.costs, moved)
    loss.after_step(model(X).detach(), Y)
    loss.start_epoch(2, 3)
    loss.after_validation(0.55)
    assert torch.equal(loss.costs, moved)
    assert loss.rate.item() == pytest.approx(0.001)
    assert loss.score.item() == pytest.approx(0.6)
    with pytest.raises(InputError, match="the validation score is NaN"):
        loss.after_validation(float("nan"))
    assert loss.score.item() == pytest.approx(0.6)


def test_confusion_and_separability_shape_the_target() -> None:
    _, loss = costs()
    loss.class_counts.fill_(10)
    loss.confused.copy_(torch.tensor([[8.0, 2.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 10.0]]))
    bell = np.exp(-((1 - np.array([[1, 0.2, 0], [0.1, 1, 0], [0, 0, 1]]) / 0.2) ** 2) / 2)
    np.fill_diagonal(bell, 1)
    np.testing.assert_allclose(loss.aim(), bell, rtol=1e-6)


def test_two_ranks_learn_centers_and_costs_from_the_joint_batch(
    on_two_ranks: Callable[..., tuple[Any, list[Any]]],
) -> None:
    joint_batch, found = on_two_ranks("joint_batch.py")
    alone = joint_batch.state(slice(None))
    assert len(set(alone["costs"])) > 3
    for one in found:
        for name, values in alone.items():
            np.testing.assert_allclose(one[name], values, rtol=1e-5)


def test_costs_learn_inside_a_scaled_loss_too() -> None:
    """The same as alone: what is counted are decisions and features, which no scale changes."""
    learned = []
    for wrapped in (False, True):
        model, loss = costs()
        objective = Objective(TwoScaleSeparation(loss=loss) if wrapped else loss)
        for epoch in range(2):
            objective.start_epoch(epoch, 2)
            logits = model(X)
            objective(logits, Y).backward()
            objective.after_step(logits.detach(), Y)
            objective.after_validation(0.5)
        learned.append(loss.costs)
    assert torch.equal(*learned)
    assert learned[0].unique().numel() > 2


def test_a_margin_and_a_price_of_features_go_together() -> None:
    facts = catalog.Facts([4, 2], 6, Classifier(nn.Linear(5, 4), nn.Linear(4, 2)))
    objective, model = catalog.method("arcface(loss=center-loss(strength=0.1))", facts), facts.model
    assert model is not None
    x, target = X[:6], Y[:6].clamp(max=1)
    plain = catalog.method("arcface", facts)
    difference = (objective(model(x), target) - plain(model(x), target)).detach()
    torch.testing.assert_close(difference, 0.05 * model.features(x).detach().square().sum(1).mean())
    objective.after_step(model(x).detach(), target)
    assert objective.loss.base.centers.any()
