from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from steelyard import LOW, InputError, Objective, losses, models
from steelyard.functional import large_margin_psi, logit_grad_sq_norm
from steelyard.losses.loss import Loss

FIXED: dict[str, Any] = {
    "linear": losses.LargeMargin, "sphere": losses.SphereFace,
    "cosine": losses.AdditiveMargin, "arc": losses.ArcFace,
}  # fmt: skip


def setting(kind: str = "linear") -> tuple[models.Classifier, Tensor, Tensor]:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(6, 5), nn.Tanh())
    model = models.Classifier(backbone, nn.Linear(5, 4)).double()
    return model, torch.randn(8, 6, dtype=torch.float64), torch.arange(8) % 4


def angles(model: models.Classifier, x: Tensor, target: Tensor) -> Tensor:
    f, w = model.features(x), model.head.weight
    return torch.acos((F.normalize(f) * F.normalize(w)[target]).sum(1))


def test_large_margin_is_the_formula_of_the_source() -> None:
    model, x, target = setting()
    loss = losses.LargeMargin(model, margin=2, strength=1)
    model.head.bias.data.zero_()
    logits, alpha = model(x), angles(model, x, target)
    f, w = model.features(x), model.head.weight
    r = (alpha > torch.pi / 2).double()
    psi = (1 - 2 * r) * (2 * alpha).cos() - 2 * r
    expected = logits.clone()
    expected[torch.arange(8), target] = w.norm(dim=1)[target] * f.norm(dim=1) * psi
    torch.testing.assert_close(loss(logits, target), F.cross_entropy(expected, target, reduction="none"))


def test_sphereface_drops_the_length_of_the_weights_and_the_bias() -> None:
    model, x, target = setting()
    loss = losses.SphereFace(model, margin=3, strength=1)
    logits, f = model(x), model.features(x)
    torch.testing.assert_close(logits, F.linear(f, F.normalize(model.head.weight)))
    changed = logits.clone()
    length = f.norm(dim=1)
    changed[torch.arange(8), target] = length * large_margin_psi(angles(model, x, target).cos(), 3)
    torch.testing.assert_close(loss(logits, target), F.cross_entropy(changed, target, reduction="none"))


@pytest.mark.parametrize("make", [losses.AdditiveMargin, losses.ArcFace])
def test_cosine_margins_are_those_of_their_sources(make: Any) -> None:
    model, x, target = setting()
    loss = make(model, margin=0.3, scale=10)
    cos = model(x)
    torch.testing.assert_close(cos[torch.arange(8), target], angles(model, x, target).cos())
    alpha = angles(model, x, target)
    changed = cos.clone()
    changed[torch.arange(8), target] = (
        alpha.cos() - 0.3 if make is losses.AdditiveMargin else (alpha + 0.3).cos()
    )
    torch.testing.assert_close(loss(cos, target), F.cross_entropy(10 * changed, target, reduction="none"))
    assert torch.equal(loss.outputs(cos), 10 * cos)


def test_a_margin_of_one_is_plain_softmax_exactly() -> None:
    model, x, target = setting()
    for margin in (1, [1, 1, 1, 1]):
        logits = model(x)
        loss = losses.LargeMargin(model, margin=margin)
        logits = model(x)
        assert torch.equal(loss(logits, target), F.cross_entropy(logits, target, reduction="none"))


@pytest.mark.parametrize("kind", FIXED)
def test_the_gradient_reaches_all_weights_and_is_that_of_finite_differences(kind: str) -> None:
    model, x, target = setting()
    loss = FIXED[kind](model, margin=[1, 1.5, 2, 3] if kind in ("linear", "sphere") else 0.3)

    def of(weight: Tensor, first: Tensor) -> Tensor:
        weights = {"head.weight": weight, "backbone.0.weight": first}
        return loss(torch.func.functional_call(model, weights, (x,)), target)

    weights = model.head.weight.detach().clone(), model.backbone[0].weight.detach().clone()
    assert torch.autograd.gradcheck(of, tuple(one.requires_grad_() for one in weights))


def test_margins_of_classes_and_of_samples() -> None:
    model, x, target = setting()
    loss = losses.LargeMargin(model, margin=[1, 2, 3, 1.5])
    logits = model(x)
    every = torch.tensor([1, 2, 3, 1.5], dtype=torch.float64)[target]
    by_sample = loss.with_margin(logits, target, every)
    torch.testing.assert_close(loss(logits, target), F.cross_entropy(by_sample, target, reduction="none"))
    for c, margin in enumerate([1, 2, 3, 1.5]):
        one = losses.LargeMargin(model, margin=margin)(logits, target)
        torch.testing.assert_close(loss(logits, target)[target == c], one[target == c])


def test_the_strength_grows_over_the_share_of_the_epochs() -> None:
    model, x, target = setting()
    loss = losses.LargeMargin(model, margin=2, strength=0.8, anneal=0.5)
    assert float(loss.strength) == pytest.approx(0.8)
    found = []
    for epoch in range(8):
        loss.start_epoch(epoch, 8)
        found.append(float(loss.strength))
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8])
    loss.strength.fill_(0)
    logits = model(x)
    assert torch.equal(loss(logits, target), F.cross_entropy(logits, target, reduction="none"))
    at_once = losses.LargeMargin(model, margin=2, strength=1, anneal=0)
    at_once.start_epoch(0, 8)
    assert float(at_once.strength) == 1


@pytest.mark.parametrize("kind", FIXED)
def test_features_that_are_all_zero_have_a_finite_loss_and_gradient(kind: str) -> None:
    model = models.Classifier(nn.Linear(3, 3), nn.Linear(3, 2))
    nn.init.zeros_(model.backbone.weight)
    nn.init.zeros_(model.backbone.bias)
    loss = FIXED[kind](model)
    value = loss(model(torch.randn(4, 3)), torch.tensor([0, 1, 0, 1]))
    value.sum().backward()
    assert bool(value.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_margin_logits_grow_with_the_weights_as_plain_ones() -> None:
    """What lets a two-scale loss read them: doubled weights of a head without bias double them."""
    model, x, target = setting()
    loss = losses.LargeMargin(model, margin=2.5)
    model.head.bias.data.zero_()
    before = loss.with_margin(model(x), target, 2.5)
    model.head.weight.data.mul_(2)
    torch.testing.assert_close(loss.with_margin(model(x), target, 2.5), 2 * before)


def test_a_two_scale_loss_reads_margin_logits() -> None:
    model, x, target = setting()
    scaled = losses.TwoScale(model, eta=0.1)
    loss = losses.LargeMargin(model, margin=2, loss=scaled)
    objective = Objective(loss)
    logits = model(x)
    torch.testing.assert_close(loss(logits, target), scaled(loss.with_margin(logits, target, 2), target))
    torch.testing.assert_close(objective.outputs(logits), scaled.outputs(logits))
    assert {"scale_1", "scale_2"} <= objective.values_to_log().keys()
    assert "loss.base.scale_1" in objective.state_dict()


@pytest.mark.parametrize("make", [losses.AdditiveMargin, losses.ArcFace, losses.SphereFace])
def test_a_two_scale_loss_of_logits_of_another_degree_is_refused(make: Any) -> None:
    model, _, _ = setting()
    with pytest.raises(InputError, match="TwoScale divides by the size of all weights"):
        make(model, loss=losses.TwoScale(model))


def test_scales_and_margins_over_a_margin_are_refused() -> None:
    model, _, _ = setting()
    with pytest.raises(InputError, match="give the margin the scales"):
        losses.TwoScale(model, loss=losses.LargeMargin(model))
    with pytest.raises(InputError, match="a margin over a margin"):
        losses.LargeMargin(model, loss=losses.LargeMargin(model))


@pytest.mark.parametrize("margin", ["x", [1, "x", 2, 3], [1, [2, 3], 4, 5], [1, 2], True, float("nan"), 0.5])
def test_margins_that_are_no_numbers_or_not_one_of_each_class_are_named(margin: Any) -> None:
    model, _, _ = setting()
    with pytest.raises(InputError, match=r"^margin must (lie between 1 and inf|be a number or one for each)"):
        losses.LargeMargin(model, margin=margin)


def test_low_weighs_by_the_gradient_of_the_models_own_logits() -> None:
    model, x, target = setting()
    loss = losses.LargeMargin(model, margin=2, loss=losses.Focal())
    logits = model(x)
    found = logit_grad_sq_norm(loss, logits, target)
    length, step = copy.copy(model.head.feature_length), 1e-6
    expected = torch.zeros(8, dtype=torch.float64)
    for j in range(4):
        shift = step * F.one_hot(torch.tensor(j), 4)
        model.head.feature_length = length
        slope = (loss(logits + shift, target) - loss(logits - shift, target)) / (2 * step)
        expected += slope.detach() ** 2
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
    LOW(loss, lam=0.1)(logits, target).backward()


def test_a_network_of_ones_own_takes_three_lines() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    net[2] = models.MarginHead.of(net[2])
    objective = Objective(losses.LargeMargin(net, margin=2))
    objective(net(torch.randn(8, 6)), torch.arange(8) % 4).backward()
    assert net[0].weight.grad is not None


def test_copies_of_model_and_loss_belong_together() -> None:
    model, x, target = setting()
    loss = losses.LargeMargin(model)
    before = loss(model(x), target)
    twin, its_loss = copy.deepcopy((model, loss))
    assert torch.equal(its_loss(twin(x), target), before)
    assert its_loss.heads[0] is twin.head


class Mean(Loss):
    def __init__(self) -> None:
        super().__init__("mean")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: losses.LargeMargin(m, margin=0.5), "margin must lie between 1 and inf, got 0.5"),
        (lambda m: losses.LargeMargin(m, margin=[1, 2]), "a number or one for each of 4 classes"),
        (lambda m: losses.ArcFace(m, margin=4), "margin must lie between 0 and 3.14"),
        (lambda m: losses.LargeMargin(m, loss=Mean()), 'build it with reduction="none"'),
        (lambda m: losses.LargeMargin(m, strength=2), "strength must lie between 0 and 1"),
        (lambda _: losses.LargeMargin(None), "give a model"),
        (lambda _: losses.LargeMargin(nn.Linear(2, 2)), 'MarginHead.of(net.fc, "linear")'),
        (
            lambda _: losses.AdditiveMargin(models.MarginHead(2, 2)),
            "one head of kind 'cosine', MarginHead has one of kind 'linear'",
        ),
    ],
)
def test_bad_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        make(setting()[0])
    assert message in str(error.value)
