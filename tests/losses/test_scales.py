from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

import steelyard
from steelyard import LOW, InputError, Objective, catalog, losses, testing
from steelyard.functional import cross_entropy, logit_grad_sq_norm, margin, weight_norm_product
from steelyard.losses import SingleScale, TwoScale, TwoScaleFixed, TwoScaleSeparation
from steelyard.models import MODELS

if TYPE_CHECKING:
    from steelyard.losses.scales import Scaled

ETA = 0.05
MAKERS = {
    "two-scale": lambda model: TwoScale(model, ETA),
    "fixed": lambda model: TwoScaleFixed(model, ETA),
    "separation": lambda _: TwoScaleSeparation(ETA),
    "single": SingleScale,
}
BASES = [
    losses.CrossEntropy(),
    losses.Focal(2),
    losses.SquaredError(),
    losses.SquaredError("sparsemax"),
    losses.Sparsemax(),
    losses.GeneralisedCrossEntropy(0.7),
    losses.GeneralisedCrossEntropy(0, least=0.1),
]


def network(*, bias: bool = True) -> nn.Sequential:
    """A convolution, a hidden layer and an output, in float64."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=bias), nn.ReLU(), nn.Flatten(),
        nn.Linear(27, 8, bias=bias), nn.ReLU(), nn.Linear(8, 4, bias=bias),
    ).double()  # fmt: skip


def batch(n: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 1, 5, 5, dtype=torch.float64, generator=generator)
    return x, torch.randint(4, (n,), generator=generator)


def norm_by_hand(model: nn.Module) -> float:
    weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
    return math.prod(float(w.detach().square().sum().sqrt()) for w in weights)


def steps(model: nn.Module, loss: Scaled, count: int, lr: float = 0.1, *, scales: bool = True) -> list[float]:
    """Plain descent on one batch; the mean losses."""
    x, target = batch()
    parameters = [*model.parameters(), *(loss.parameters() if scales else ())]
    optimizer = torch.optim.SGD(parameters, lr=lr)
    found = []
    for _ in range(count):
        total = loss(model(x), target).mean()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        found.append(total.item())
    return found


def test_two_scale_is_the_papers_equation() -> None:
    model = network()
    loss = TwoScale(model, ETA)
    with torch.no_grad():
        loss.scale_1.fill_(3.0)
        loss.scale_2.fill_(40.0)
        model[3].weight.mul_(1.7)
    x, target = batch()
    z = model(x).detach()
    size = norm_by_hand(model)
    expected = []
    for row, y in zip(z.tolist(), target.tolist(), strict=True):
        others = [v for i, v in enumerate(row) if i != y]
        scale = (40.0 if row[y] - max(others) >= ETA else 3.0) / size
        expected.append(math.log1p(sum(math.exp(scale * (v - row[y])) for v in others)))
    assert {40.0, 3.0} == {40.0 if m >= ETA else 3.0 for m in margin(z, target).tolist()}
    torch.testing.assert_close(
        loss(z, target), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
    )


def test_separation_is_its_equation() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.04, 0.0]], dtype=torch.float64)
    target = torch.zeros(3, dtype=torch.int64)
    expected = [math.log1p(math.exp(-10)), math.log1p(math.e), math.log1p(math.exp(-0.04))]
    torch.testing.assert_close(TwoScaleSeparation(ETA)(logits, target).detach().tolist(), expected)


def test_scales_start_at_the_norm_of_the_model_and_ten_times_it() -> None:
    model = network()
    for loss in (TwoScale(model), TwoScaleFixed(model)):
        assert loss.scale_1.item() == pytest.approx(norm_by_hand(model), rel=1e-12)
        assert loss.scale_2.item() == pytest.approx(10 * norm_by_hand(model), rel=1e-12)
    assert SingleScale(model).scale_1.item() == pytest.approx(norm_by_hand(model), rel=1e-12)
    assert TwoScaleSeparation().separation.item() == 10


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("base", BASES, ids=repr)
def test_gradients_are_those_of_finite_differences(name: str, base: losses.Loss) -> None:
    """With respect to every weight and scale, R included; no margin lies at the threshold."""
    model = network()
    loss = MAKERS[name](model)
    loss.base = base
    x, target = batch()
    loss.double()
    gap = (margin(model(x), target) - ETA).abs().min()
    assert gap > 1e-4
    learned = [p for p in (*model.parameters(), *loss.parameters()) if p.requires_grad]
    grads = torch.autograd.grad(loss(model(x), target).mean(), learned)
    for parameter, grad in zip(learned, grads, strict=True):
        flat = parameter.data.view(-1)
        for place in (0, len(flat) // 2):
            values = []
            for change in (1e-6, -1e-6):
                kept = flat[place].item()
                flat[place] += change
                values.append(loss(model(x), target).mean().item())
                flat[place] = kept
            assert grad.view(-1)[place].item() == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-7)


def test_normalised_logits_of_a_network_without_biases_ignore_the_size_of_its_weights() -> None:
    model = network(bias=False)
    loss = SingleScale(model)
    x, _ = batch()
    before = loss.outputs(model(x))
    with torch.no_grad():
        for factor, layer in zip((0.2, 3.0, 50.0), (0, 3, 5), strict=True):
            model[layer].weight.mul_(factor)
    torch.testing.assert_close(loss.outputs(model(x)), before, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["two-scale", "fixed", "single"])
def test_the_gradient_is_orthogonal_to_every_layers_scale(name: str) -> None:
    model = network(bias=False)
    x, target = batch()
    MAKERS[name](model)(model(x), target).mean().backward()
    for layer in (0, 3, 5):
        weight, grad = model[layer].weight.detach(), model[layer].weight.grad
        assert abs(float((grad * weight).sum())) < 1e-12 * float(grad.norm() * weight.norm())
        assert grad.norm() > 1e-3


def test_plain_cross_entropys_gradient_is_not() -> None:
    model = network(bias=False)
    x, target = batch()
    cross_entropy(model(x), target).mean().backward()
    assert abs(float((model[5].weight.grad * model[5].weight.detach()).sum())) > 1e-3


def test_a_large_threshold_is_the_single_scale_exactly() -> None:
    one, other = network(), network()
    two, single = TwoScale(one, eta=1e9), SingleScale(other)
    assert steps(one, two, 30) == steps(other, single, 30)
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(two.scale_1, single.scale_1)
    assert two.scale_2.item() == pytest.approx(10 * norm_by_hand(network()), rel=1e-12)  # never used


def test_fixed_is_varying_with_frozen_scales() -> None:
    one, other = network(), network()
    varying = TwoScale(one, ETA)
    assert steps(one, varying, 30, scales=False) == steps(other, TwoScaleFixed(other, ETA), 30)
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_optimiser_that_decays_leaves_fixed_scales_alone() -> None:
    model = network()
    loss = TwoScaleFixed(model, ETA)
    before = loss.scale_1.item()
    optimizer = torch.optim.AdamW([*model.parameters(), *loss.parameters()], weight_decay=0.5)
    loss(model(batch()[0]), batch()[1]).mean().backward()
    optimizer.step()
    assert loss.scale_1.item() == before


@pytest.mark.parametrize(("name", "scale"), [("two-scale", "scale_2"), ("separation", "separation")])
def test_the_larger_scale_never_shrinks_under_plain_descent(name: str, scale: str) -> None:
    model = network()
    loss = MAKERS[name](model).double()
    values = []
    for _ in range(200):
        values.append(getattr(loss, scale).item())
        steps(model, loss, 1, lr=0.5)
    rises = [after - before for before, after in pairwise(values)]
    assert min(rises) >= -1e-14  # float64's rounding
    assert values[-1] > values[0] + 1e-3


def test_training_lowers_the_loss_and_moves_the_scales() -> None:
    for name, make in MAKERS.items():
        model = network()
        loss = make(model)
        before = {key: value.clone() for key, value in loss.state_dict().items()}
        found = steps(model, loss, 150, lr=0.3)
        assert found[-1] < 0.8 * found[0], name
        moved = [key for key, value in loss.state_dict().items() if not torch.equal(value, before[key])]
        assert moved == ([] if name == "fixed" else list(before)), name


@pytest.mark.parametrize("base", BASES, ids=repr)
def test_every_base_loss_keeps_the_contract(base: losses.Loss) -> None:
    testing.check_loss(TwoScale(nn.Linear(4, 3), loss=base))


def test_own_gradients_are_with_respect_to_the_raw_logits() -> None:
    model = network()
    x, target = batch()
    z = model(x).detach().requires_grad_()
    for make in MAKERS.values():
        loss = make(model)
        (grad,) = torch.autograd.grad(loss(z, target).sum(), z)
        found = logit_grad_sq_norm(loss, z, target)
        torch.testing.assert_close(found, grad.square().sum(1))


def test_low_works_over_it_and_trains_the_scales() -> None:
    model = network()
    objective = LOW(TwoScale(model, ETA), lam=0.1)
    x, target = batch()
    terms = objective.terms(model(x), target)
    terms.total.backward()
    assert terms.weight.max() > 1.01
    assert objective.loss.scale_1.grad is not None
    assert model[0].weight.grad is not None
    expected = (terms.weight * objective.loss(model(x), target)).mean()
    torch.testing.assert_close(terms.total, expected)


def test_the_layers_are_not_the_losss_own() -> None:
    model = network()
    loss = TwoScale(model)
    assert list(loss.state_dict()) == ["scale_1", "scale_2"]
    assert [name for name, _ in loss.named_parameters()] == ["scale_1", "scale_2"]
    assert not list(loss.children())[1:]  # the base loss alone
    loss.half()
    assert model[0].weight.dtype == torch.float64


def test_the_link_to_the_model_survives_what_happens_to_models() -> None:
    model = network()
    loss = TwoScale(model)
    twin, twin_loss = copy.deepcopy((model, loss))
    alone = copy.deepcopy(loss)
    for one in (model, twin):
        before = norm_by_hand(one)
        with torch.no_grad():
            one[3].weight.mul_(2.0)
        follower = loss if one is model else twin_loss
        assert follower.weight_norm().item() == pytest.approx(2 * before, rel=1e-12)
    assert alone.weight_norm().item() == pytest.approx(norm_by_hand(network()), rel=1e-12)  # as it was
    other = {key: 3 * value for key, value in network().state_dict().items()}
    model.load_state_dict(other, assign=True)
    assert loss.weight_norm().item() == pytest.approx(norm_by_hand(model), rel=1e-12)
    nn.utils.parametrizations.weight_norm(model[3])
    assert loss.weight_norm().item() == pytest.approx(27 * norm_by_hand(network()), rel=1e-12)
    model.float()
    assert loss.weight_norm().dtype == torch.float32


@pytest.mark.parametrize("word", ["lenet5", "resnet20", "wrn-28-2"])
def test_batch_normalisation_and_biases_are_not_part_of_the_norm(word: str) -> None:
    model = MODELS[word]((3, 32, 32), 10)
    weights = [p for p in model.parameters() if p.ndim > 1]
    expected = weight_norm_product(weights).item()
    assert TwoScale(model).scale_1.item() == pytest.approx(expected, rel=1e-6)


def test_predictions_use_the_scale_of_unsure_samples() -> None:
    model = network()
    x, _ = batch()
    z = model(x).detach()
    objective = steelyard.TwoScale(model, eta=0.01)
    with torch.no_grad():
        objective.loss.scale_1.fill_(5.0)
    torch.testing.assert_close(objective.outputs(z), 5.0 * z / norm_by_hand(model))
    assert torch.equal(objective.outputs(z).argmax(1), z.argmax(1))
    assert torch.equal(Objective(TwoScaleSeparation()).outputs(z), z)
    assert torch.equal(LOW().outputs(z), z)


def test_logged_are_the_scales_and_the_share_of_sure_samples() -> None:
    model = network()
    objective = Objective(TwoScale(model, ETA))
    x, target = batch()
    z = model(x).detach()
    for rows in (slice(10), slice(10, None)):
        objective(z[rows], target[rows])
        objective.after_step(z[rows], target[rows])
    logged = objective.values_to_log()
    found = {name: one.value for name, one in logged.items()}
    assert list(found) == ["well_classified", "scale_1", "scale_2", "weight_norm"]
    assert [one.unit for one in logged.values()] == ["share", "", "", ""]
    assert found["well_classified"] == pytest.approx(float((margin(z, target) >= ETA).double().mean()))
    assert 0 < found["well_classified"] < 1
    assert found["weight_norm"] == pytest.approx(norm_by_hand(model), rel=1e-6)
    assert math.isnan(objective.values_to_log()["well_classified"].value)  # none since
    assert list(Objective(SingleScale(model)).values_to_log()) == ["scale_1", "weight_norm"]
    assert Objective(losses.CrossEntropy()).values_to_log() == {}


FACTS = catalog.Facts(class_counts=[5, 5, 5, 5], num_samples=20, model=network())


def test_words_nest() -> None:
    objective = catalog.method("low(lam=0.1, loss=two-scale(eta=0.5, loss=focal(gamma=1)))", FACTS)
    assert isinstance(objective.loss, TwoScale)
    assert objective.loss.eta == 0.5
    assert isinstance(objective.loss.base, losses.Focal)
    assert objective.loss.base.gamma == 1
    assert isinstance(catalog.method("two-scale(loss=ldam)", FACTS).loss.base, losses.LDAM)  # type: ignore[union-attr]


class Pairwise(losses.Loss):
    separable = False


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoScale(network(), eta=0), "eta must be a finite number above 0, got 0"),
        (lambda: TwoScaleSeparation(eta=-1), "eta must be a finite number above 0, got -1"),
        (lambda: TwoScale(network(), eta=math.inf), "eta must be a finite number above 0"),
        (lambda: TwoScale(network(), lr_factor=0), "lr_factor must be a finite number above 0"),
        (lambda: TwoScale(nn.BatchNorm1d(3)), "BatchNorm1d has none; use TwoScaleSeparation"),
        (lambda: TwoScale(None), "normalises by the weights of the model; give it one"),
        (lambda: TwoScale(network(), loss=TwoScaleSeparation()), "has two sets of scales"),
        (lambda: TwoScale(network(), loss=Pairwise()), "reads sample i alone.* got Pairwise"),
        (
            lambda: TwoScale(network(), loss=nn.CrossEntropyLoss()),
            "one value per sample, got reduction='mean'",
        ),
        (lambda: catalog.method("two-scale(eta=0)", FACTS), "eta must be a finite number above 0"),
        (lambda: catalog.method("two-scale(model=x)", FACTS), "unknown parameter of method 'two-scale'"),
        (lambda: catalog.method("two-scale(loss=focall)", FACTS), "unknown loss 'focall'"),
        (lambda: catalog.method("two-scale", catalog.Facts([1, 1], 2)), "give it one"),
    ],
)
def test_bad_input_is_refused_in_one_line(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        make()  # type: ignore[operator]
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(("factor", "size"), [(0.0, "0.0"), (math.inf, "inf|nan"), (math.nan, "nan")])
def test_a_norm_of_zero_or_without_end_is_refused(factor: float, size: str) -> None:
    model = network()
    with torch.no_grad():
        model[3].weight.mul_(factor)
    for make in (TwoScale, TwoScaleFixed, SingleScale):
        with pytest.raises(InputError, match=f"layers is ({size}); expected a finite number above 0"):
            make(model)
