"""Margins where a sample may have several labels: against NumPy label by label, and against softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import entr, expit
from scipy.stats import norm
from torch import Tensor, nn

from steelyard import LOW, InputError, Objective, UncertaintyMargin, losses, models, testing
from steelyard.uncertainty import stochastic_logits

if TYPE_CHECKING:
    from collections.abc import Callable

N, L, EPOCHS = 24, 3, 20  # phases: 8 plain, 7 of sides, 5 of samples
FIRST, LAST = 8, 15
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(N, 6, dtype=torch.float64, generator=GENERATOR)
TARGET = (torch.rand(N, L, generator=GENERATOR) < torch.tensor([0.1, 0.5, 0.9])).long()
INDEX = torch.randperm(50, generator=GENERATOR)[:N]
EACH_SIDE = [1.0, 1.5, 2.5, 3.0, 1.0, 2.0]  # without each of the labels, then with
FIXED: dict[str, Any] = {
    "large-margin": losses.LargeMargin, "sphereface": losses.SphereFace,
    "additive": losses.AdditiveMargin, "arcface": losses.ArcFace,
}  # fmt: skip


def network(labels: int = L) -> models.Classifier:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.4))
    return models.Classifier(backbone, nn.Linear(16, labels)).double()


def batches(target: Tensor = TARGET) -> list[tuple[Tensor, Tensor, Tensor]]:
    return list(zip(X.split(10), target.split(10), INDEX.split(10), strict=True))


def passes_of(model: nn.Module, epoch: int) -> np.ndarray[Any, Any]:
    """The logits (passes, N, L) that the loss saw: the same dropout, from the epoch's own seed."""
    with torch.random.fork_rng():
        torch.manual_seed(epoch)
        return (
            torch.cat([stochastic_logits(model, x, 10) for x, _, _ in batches()], 1).float().double().numpy()
        )


def psi_of(form: str, cos: float, m: float) -> float:
    alpha = math.acos(max(-1.0, min(1.0, cos)))
    if form == "additive":
        return cos - m
    if form == "arcface":
        return math.cos(alpha + m) if alpha + m <= math.pi else cos + math.cos(m) - 1
    r = min(math.floor(m * alpha / math.pi), math.ceil(m) - 1)
    return (-1) ** r * math.cos(m * alpha) - 2 * r


def by_hand(
    model: models.Classifier, form: str, margin: list[float], strength: float, factor: Any = None
) -> list[float]:
    """The loss of every sample, label by label; ``factor(psi, i, l)`` is what psi is multiplied by."""
    with torch.no_grad():
        features = model.features(X).numpy()
    weight, bias = model.head.weight.detach().numpy(), getattr(model.head.bias, "data", torch.zeros(L))
    cosines, scale = form in ("additive", "arcface"), 30.0 if form in ("additive", "arcface") else 1.0
    total = []
    for i, f in enumerate(features):
        loss = 0.0
        for label in range(L):
            w, has = weight[label], int(TARGET[i, label])
            cos = float(f @ w / (np.linalg.norm(f) * np.linalg.norm(w)))
            length = 1.0 if cosines else float(np.linalg.norm(f))
            length *= float(np.linalg.norm(w)) if form == "large-margin" else 1.0
            z = length * cos + float(bias[label])
            sign = 2 * has - 1
            psi = psi_of(form, sign * cos, margin[label + L * has])
            psi *= 1.0 if factor is None else factor(psi, i, label)
            z = scale * (z + sign * strength * length * (psi - sign * cos))
            loss += math.log1p(math.exp(-sign * z))
        total.append(loss)
    return total


@pytest.mark.parametrize("form", FIXED)
@pytest.mark.parametrize("strength", [1, 0.3])
def test_every_side_of_every_label_has_its_own_margin(form: str, strength: float) -> None:
    model = network().eval()
    margin = EACH_SIDE if form in ("large-margin", "sphereface") else [m / 6 for m in EACH_SIDE]
    loss = FIXED[form](model, margin, loss=losses.BinaryCrossEntropy(), strength=strength)
    found = loss(model(X), TARGET)
    np.testing.assert_allclose(found.detach(), by_hand(model, form, margin, strength), rtol=1e-6)
    one = FIXED[form](model, margin[1], loss=losses.BinaryCrossEntropy(), strength=strength)
    np.testing.assert_allclose(
        one(model(X), TARGET).detach(), by_hand(model, form, 6 * [margin[1]], strength), rtol=1e-6
    )


def test_without_a_margin_it_is_the_loss_it_goes_over() -> None:
    model = network().eval()
    for base in (losses.BinaryCrossEntropy(), losses.BinaryFocal()):
        loss = losses.LargeMargin(model, margin=[1] * 2 * L, loss=base)
        logits = model(X)
        assert torch.equal(loss(logits, TARGET), base(logits, TARGET))


@pytest.mark.parametrize("kind", FIXED)
def test_the_gradient_reaches_all_weights_and_is_that_of_finite_differences(kind: str) -> None:
    model = network().eval()
    margin = EACH_SIDE if kind in ("large-margin", "sphereface") else 0.3
    loss = FIXED[kind](model, margin, loss=losses.BinaryCrossEntropy())

    def of(weight: Tensor, first: Tensor) -> Tensor:
        weights = {"head.weight": weight, "backbone.0.weight": first}
        return loss(torch.func.functional_call(model, weights, (X,)), TARGET)

    weights = model.head.weight.detach().clone(), model.backbone[0].weight.detach().clone()
    assert torch.autograd.gradcheck(of, tuple(one.requires_grad_() for one in weights))


class TwoClasses(models.Classifier):
    """One label as softmax over two classes with half of its weights each, of opposite signs."""

    def __init__(self, model: models.Classifier) -> None:
        head = nn.Linear(16, 2).double()
        w, b = model.head.weight.detach(), model.head.bias.detach()
        head.weight.data.copy_(torch.cat([-w, w]) / 2)
        head.bias.data.copy_(torch.cat([-b, b]) / 2)
        super().__init__(model.backbone, head)


@pytest.mark.parametrize("samples", [None, "scaled", "literal"])
@pytest.mark.parametrize("measure", ["variance", "entropy", "mutual-information"])
def test_one_label_is_softmax_of_two_classes(samples: Any, measure: str) -> None:
    """A class's logit is then half of the label's, so that its margin weighs half: twice the strength."""
    model, target = network(1), TARGET[:, 1]
    pair = TwoClasses(model)
    common = {"num_samples": 50, "samples": samples, "measure": measure}
    ours = UncertaintyMargin(model, loss=losses.BinaryCrossEntropy(), strength=0.3, **common)
    theirs = UncertaintyMargin(pair, strength=0.6, **common)
    for epoch in (0, FIRST + 2, LAST):
        for objective, net, y in ((ours, model, target.unsqueeze(1)), (theirs, pair, target)):
            objective.start_epoch(epoch, EPOCHS)
            objective.observe(net.train(), batches(y))
            net.eval()
        torch.testing.assert_close(ours.loss.class_margin, theirs.loss.class_margin, rtol=1e-4, atol=0)
        torch.testing.assert_close(
            ours.loss.class_uncertainty, theirs.loss.class_uncertainty, equal_nan=True, rtol=1e-4, atol=0
        )
        found = ours(model(X), target.unsqueeze(1), INDEX)
        torch.testing.assert_close(found, theirs(pair(X), target, INDEX), rtol=1e-5, atol=0)
    assert float(ours.loss.class_margin.amax()) == pytest.approx(3)


def bernoulli(logits: np.ndarray[Any, Any], measure: str) -> np.ndarray[Any, Any]:
    """(N, L) from (passes, N, L), by the definitions."""
    p = expit(logits)
    if measure == "variance":
        return p.var(0) + (1 - p).var(0)
    total = entr(p.mean(0)) + entr(1 - p.mean(0))
    return total if measure == "entropy" else total - (entr(p) + entr(1 - p)).mean(0)


@pytest.mark.parametrize("measure", ["variance", "entropy", "mutual-information"])
def test_the_margin_of_a_side_grows_with_the_mean_uncertainty_of_its_samples(measure: Any) -> None:
    model = network()
    loss = losses.UncertaintyMargin(model, measure=measure, max_margin=2.5, loss=losses.BinaryCrossEntropy())
    loss.start_epoch(FIRST, EPOCHS)
    loss.observe(model, batches())
    unsure, has = bernoulli(passes_of(model, FIRST), measure), TARGET.numpy() == 1
    expected = np.array(
        [unsure[has[:, label] == side, label].mean() for side in (0, 1) for label in range(L)]
    )
    np.testing.assert_allclose(loss.class_uncertainty, expected, rtol=1e-4)
    np.testing.assert_allclose(loss.class_margin, np.maximum(1, 2.5 * expected / expected.max()), rtol=1e-4)
    assert (loss.class_margin > 1).sum() > 1
    names = [f"uncertainty_{side}[{label}]" for side in ("without", "with") for label in range(L)]
    logged = {name: one.value for name, one in loss.values_to_log().items()}
    assert logged == pytest.approx(dict(zip(names, expected, strict=True)), rel=1e-4)


@pytest.mark.parametrize("literal", [False, True])
def test_samples_are_margined_label_by_label_by_their_probability_of_a_mistake(literal: bool) -> None:
    model = network()
    kind = "literal" if literal else "scaled"
    objective = UncertaintyMargin(model, 50, kind, loss=losses.BinaryCrossEntropy(), strength=1)
    objective.start_epoch(LAST, EPOCHS)
    objective.observe(model, batches())
    ahead = -(2 * TARGET.numpy() - 1) * passes_of(model, LAST)  # how far the wrong answer is above the right
    chance = norm.cdf(ahead.mean(0) / ahead.std(0))
    model.eval()

    def factor(psi: float, i: int, label: int) -> float:
        wrong = float(chance[i, label])
        return wrong if literal else 1 - wrong if psi > 0 else 1.0

    margin = objective.loss.class_margin.tolist()
    expected = np.mean(by_hand(model, "large-margin", margin, 1, factor))
    assert objective(model(X), TARGET, INDEX).item() == pytest.approx(expected, rel=1e-4)
    kept = objective.loss.factor
    assert kept.shape == (50, L)
    others = torch.ones(50, dtype=torch.bool).index_fill(0, INDEX, value=False)
    assert bool((kept[others] == 1).all())


def test_a_side_without_samples_needs_no_margin() -> None:
    model = network()
    loss = losses.UncertaintyMargin(model, loss=losses.BinaryCrossEntropy())
    loss.start_epoch(LAST, EPOCHS)
    nobody, everybody = TARGET.clone(), TARGET.clone()
    nobody[:, 0], everybody[:, 2] = 0, 1
    for target, side in ((nobody, L + 0), (everybody, 2)):
        loss.observe(model, batches(target))
        assert loss.class_margin[side] == 1
        assert loss.class_uncertainty[side].isnan()
        assert bool(loss.class_margin.isfinite().all())
        assert float(loss.class_margin.max()) == pytest.approx(3)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(1, 4), min_size=2 * L, max_size=2 * L),
    st.permutations(range(L)),
    st.integers(0, 2**16),
)
def test_what_a_label_is_called_changes_nothing(margin: list[float], order: list[int], seed: int) -> None:
    """Whether a column says "young" or "not young", and which column it is."""
    torch.manual_seed(seed)
    model, twin = network().eval(), network().eval()
    labels = torch.tensor(order)
    model.head.weight.data.normal_()
    twin.head.weight.data.copy_(-model.head.weight[labels])
    twin.head.bias.data.copy_(-model.head.bias[labels])
    absent, present = torch.tensor(margin).unflatten(0, (2, L))[:, labels].tolist()
    loss = losses.LargeMargin(model, margin, losses.BinaryCrossEntropy(), strength=1)
    renamed = losses.LargeMargin(twin, [*present, *absent], losses.BinaryCrossEntropy(), strength=1)
    value = loss(model(X), TARGET)
    torch.testing.assert_close(renamed(twin(X), 1 - TARGET[:, labels]), value, rtol=1e-5, atol=1e-6)
    assert bool((value >= losses.BinaryCrossEntropy()(model(X), TARGET) - 1e-6).all()), (
        "a margin asks for more"
    )


def test_it_goes_over_other_losses_of_labels_and_under_weightings() -> None:
    model = network()
    present, absent = TARGET.sum(0), (1 - TARGET).sum(0)
    for base in (losses.BinaryFocal(), losses.WeightedBinaryCrossEntropy(present, absent)):
        objective = UncertaintyMargin(model, 50, loss=base)
        objective.start_epoch(LAST, EPOCHS)
        objective.observe(model, batches())
        logits = model.eval()(X)
        loss = objective.loss
        changed = loss.with_margin(
            logits,
            TARGET,
            loss.margins(TARGET),
            lambda psi: torch.where(psi > 0, loss.factor[INDEX], 1.0),  # noqa: B023 - called at once
        )
        torch.testing.assert_close(objective(logits, TARGET, INDEX), base(changed, TARGET).mean())
    weighted = LOW(losses.LargeMargin(model, loss=losses.BinaryCrossEntropy()), lam=0.1)
    terms = weighted.terms(model(X), TARGET)
    assert terms.weight.sum() == pytest.approx(N, rel=1e-5)
    assert terms.weight.std() > 0


def test_features_that_are_all_zero_have_a_finite_loss_and_gradient() -> None:
    model = models.Classifier(nn.Linear(3, 4), nn.Linear(4, L))
    nn.init.zeros_(model.backbone.weight)
    nn.init.zeros_(model.backbone.bias)
    loss = losses.LargeMargin(model, loss=losses.BinaryCrossEntropy())
    value = loss(model(torch.randn(4, 3)), TARGET[:4])
    value.sum().backward()
    assert bool(value.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


class AnyBatch(models.MarginHead):
    """A head that takes any logits for its own: the checks make theirs without a model."""

    def lengths(self, target: Tensor) -> Tensor:
        return 4 * torch.ones(target.shape)


@pytest.mark.parametrize(("form", "kind"), [("large-margin", "linear"), ("arcface", "cosine")])
def test_the_contract_holds_while_there_are_margins_of_sides_and_of_samples(form: Any, kind: str) -> None:
    model = nn.Sequential(nn.Dropout(0.5), AnyBatch(4, L, kind))
    loss = losses.SampleUncertaintyMargin(model, 6, form=form, loss=losses.BinaryCrossEntropy())
    loss.start_epoch(LAST - 1, EPOCHS)
    loss.class_margin.copy_(torch.tensor([1.0, 1.5, 2.5, 3.0, 1.0, 2.0]))
    testing.check_label_loss(loss)
    loss.start_epoch(LAST, EPOCHS)
    loss.factor.copy_(torch.rand(6, L, generator=torch.Generator().manual_seed(0)))
    logits = torch.randn(6, L, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    of_samples = loss.of_samples(torch.arange(6))
    compiled = torch.compile(of_samples, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(logits, TARGET[:6]), of_samples(logits, TARGET[:6]))
    assert torch.autograd.gradcheck(lambda z: of_samples(z, TARGET[:6]), (logits.requires_grad_(),))


def test_a_users_own_loss_of_labels_says_so() -> None:
    class Hinge(nn.Module):
        multilabel = True

        def forward(self, logits: Tensor, target: Tensor) -> Tensor:
            return (1 - (2 * target - 1) * logits).relu().sum(1)

    model = network().eval()
    Objective(losses.LargeMargin(model, margin=2, loss=Hinge()))(model(X), TARGET).backward()
    assert model.head.weight.grad is not None


def test_two_ranks_measure_the_joint_training_set(on_two_ranks: Callable[..., tuple[Any, list[Any]]]) -> None:
    joint, found = on_two_ranks("joint_margins.py")
    for kind in ("classes", "labels"):
        alone = joint.state(slice(None), kind)
        assert max(alone["margin"]) == pytest.approx(3)
        assert len(set(alone["margin"])) > 2
        for name in ("uncertainty", "margin"):
            for one in found:
                np.testing.assert_allclose(one[kind][name], alone[name], rtol=1e-5)
        gradient = np.mean([one[kind]["gradient"] for one in found], axis=0)  # as DDP averages
        np.testing.assert_allclose(gradient, alone["gradient"], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda m: losses.LargeMargin(m)(m(X), TARGET), "loss=steelyard.losses.BinaryCrossEntropy()"),
        (
            lambda m: losses.LargeMargin(m, loss=losses.BinaryCrossEntropy())(m(X), TARGET[:, 0]),
            "expected logits and target of shape (N, 3), a column for each label, got (24, 3) and (24,)",
        ),
        (
            lambda m: losses.LargeMargin(m, loss=losses.BinaryCrossEntropy())(m(X)[:, :2], TARGET[:, :2]),
            "expected logits and target of shape (N, 3), a column for each label, got (24, 2)",
        ),
        (
            lambda m: losses.LargeMargin(m, margin=[1, 2, 3], loss=losses.BinaryCrossEntropy()),
            "margin must be a number or one for each of 6 sides, without each label and then with each",
        ),
        (
            lambda m: losses.LargeMargin(m, loss=losses.BinaryCrossEntropy())(m(X), TARGET[:-1]),
            "got (24, 3) and (23, 3)",
        ),
        (
            lambda m: losses.LargeMargin(m, loss=losses.BinaryCrossEntropy())(m(X)[:-1], TARGET[:-1]),
            "give the loss the logits of the model's last batch",
        ),
    ],
)
def test_bad_input_is_refused(run: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        run(network())
    assert message in str(error.value)
