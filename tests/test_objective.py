from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from steelyard import LOW, InputError, Objective, losses
from steelyard.functional import low_weights
from steelyard.hooks import ObjectivePart
from steelyard.weighting import LOWWeighting, Weighting

if TYPE_CHECKING:
    from steelyard.records import Signal


def batch(n: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, 4, dtype=torch.float64, generator=generator).requires_grad_()
    return logits, torch.randint(4, (n,), generator=generator)


def test_plain_objective_is_torchs_cross_entropy() -> None:
    logits, target = batch()
    terms = Objective(losses.CrossEntropy()).terms(logits, target)
    torch.testing.assert_close(terms.total, nn.functional.cross_entropy(logits, target))
    assert torch.equal(terms.weight, torch.ones(32, dtype=torch.float64))
    assert terms.violation is None


def test_low_is_the_definition_written_out() -> None:
    logits, target = batch()
    total = LOW(lam=0.1)(logits, target)
    (gradient,) = torch.autograd.grad(total, logits)
    error = logits.detach().softmax(1) - nn.functional.one_hot(target, 4)
    weight = low_weights(error.square().sum(1), 0.1)
    torch.testing.assert_close(
        total, (weight * nn.functional.cross_entropy(logits, target, reduction="none")).mean()
    )
    torch.testing.assert_close(gradient, weight.unsqueeze(1) * error / 32)
    assert weight.max() > 1.5, "a weighting that is nearly uniform would show nothing here"


@pytest.mark.parametrize(
    "own",
    [
        nn.CrossEntropyLoss(reduction="none"),
        lambda z, y: nn.functional.cross_entropy(z, y, reduction="none"),
    ],
)
def test_low_over_a_users_own_loss_is_low_over_ours(own: object) -> None:
    logits, target = batch()
    ours, theirs = LOW(lam=0.1)(logits, target), LOW(own, lam=0.1)(logits, target)  # type: ignore[arg-type]
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits), strict=True):
        torch.testing.assert_close(a, b)


def test_low_takes_binary_losses() -> None:
    z = torch.tensor([2.0, -1.0, 0.5], requires_grad=True)
    loss = nn.BCEWithLogitsLoss(reduction="none")
    terms = LOW(loss, lam=0.1).terms(z, torch.tensor([1.0, 1.0, 0.0]))
    error = z.detach().sigmoid() - torch.tensor([1.0, 1.0, 0.0])
    torch.testing.assert_close(terms.weight, low_weights(error.square(), 0.1))


class Scaled(losses.Loss):
    """Cross-entropy with a trained temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.scale * logits, target, reduction="none")


def test_a_losss_own_parameters_are_trained_under_fixed_weights() -> None:
    logits, target = batch()
    objective = LOW(Scaled(), lam=0.1)
    terms = objective.terms(logits, target)
    (gradient,) = torch.autograd.grad(terms.total, objective.loss.scale)
    twin = Scaled()
    (expected,) = torch.autograd.grad((terms.weight * twin(logits, target)).mean(), twin.scale)
    torch.testing.assert_close(gradient, expected)


def test_low_trains_a_network() -> None:
    generator = torch.Generator().manual_seed(0)
    x, target = torch.randn(64, 5, generator=generator), torch.arange(64) % 3
    x[:, :3] += 2 * nn.functional.one_hot(target, 3)
    model, objective = nn.Linear(5, 3), LOW(lam=0.1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    before = objective(model(x), target).item()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(30):
        optimiser.zero_grad()
        objective(model(x), target).backward()
        optimiser.step()
    assert objective(model(x), target).item() < 0.8 * before


class Shrinking(ObjectivePart):
    """A constraint and a weighting's hooks in one: remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("told", torch.zeros(2))

    def forward(self, logits: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor]:
        return 0.5 * logits.square().mean(), logits.abs().max()

    def after_step(self, logits: Tensor, *_: Tensor | None) -> None:
        self.told[0] += len(logits)

    def after_validation(self, score: float) -> None:
        self.told[1] = score


def test_a_constraint_is_added_told_and_saved() -> None:
    logits, target = batch()
    objective = Objective(losses.CrossEntropy(), constraint=Shrinking())
    terms = objective.terms(logits, target)
    expected = nn.functional.cross_entropy(logits, target) + 0.5 * logits.square().mean()
    torch.testing.assert_close(terms.total, expected)
    assert terms.violation is not None
    assert not terms.violation.requires_grad
    assert terms.violation == logits.abs().max()
    objective.after_step(logits, target)
    objective.after_validation(0.75)
    fresh = Objective(losses.CrossEntropy(), constraint=Shrinking())
    fresh.load_state_dict(objective.state_dict())
    assert fresh.constraint is not None
    assert fresh.constraint.told.tolist() == [32, 0.75]


class Halving(Weighting):
    """Half the weight for every other row; wants its rows drawn evenly."""

    def forward(self, signal: Signal) -> Tensor:
        assert signal.grad_sq_norm is None
        assert not signal.loss.requires_grad
        assert not signal.logits.requires_grad
        assert signal.index is not None
        return torch.where(signal.index % 2 == 0, 0.5, 1.5)

    def sampling(self) -> Tensor:
        return torch.full((4,), 0.25)


def test_a_weighting_without_gradients_sees_the_index_and_may_sample() -> None:
    logits, target = batch(4)
    objective = Objective(losses.CrossEntropy(), Halving())
    terms = objective.terms(logits, target, torch.arange(4))
    assert terms.weight.tolist() == [0.5, 1.5, 0.5, 1.5]
    torch.testing.assert_close(terms.total, (terms.weight * terms.loss).mean())
    assert objective.sampling() is not None
    assert LOW().sampling() is None


def test_evaluation_needs_no_autograd() -> None:
    logits, target = batch()
    for objective in (LOW(), LOW(nn.CrossEntropyLoss(reduction="none"))):
        for without in (torch.no_grad, torch.inference_mode):
            with without():
                total = objective(1 * logits, 1 * target)  # the products are made without autograd
            torch.testing.assert_close(total, objective(logits, target).detach())
            assert not total.requires_grad


def test_low_under_autocast_and_in_half_precision() -> None:
    z, target = batch()
    for kind in (torch.bfloat16, torch.float16):
        logits = z.detach().to(kind).requires_grad_()
        terms = LOW().terms(logits, target)
        terms.total.backward()
        assert terms.weight.dtype == torch.float32
        assert logits.grad is not None
        assert logits.grad.dtype == kind
        assert logits.grad.isfinite().all()
    model = nn.Linear(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        LOW()(model(z.detach().float()), target).backward()
    assert model.weight.grad is not None
    assert model.weight.grad.isfinite().all()


def test_published_scaling_is_a_named_option() -> None:
    with pytest.warns(UserWarning, match="in effect plain training"):
        objective = LOW(scaling="batch-mean")
    assert (objective.terms(*batch(256)).weight - 1).abs().max() < 2e-4


def test_objectives_are_copied_and_refuse_what_they_cannot_use() -> None:
    logits, target = batch()
    assert torch.equal(copy.deepcopy(LOW())(logits, target), LOW()(logits, target))
    for reduced in (nn.CrossEntropyLoss(), losses.CrossEntropy(reduction="mean")):
        with pytest.raises(InputError, match=r"got reduction='mean'; build it with reduction=\"none\""):
            Objective(reduced)
    for objective in (Objective(nn.functional.cross_entropy), LOW(nn.functional.cross_entropy)):
        with pytest.raises(InputError, match=r'one value per sample, .* build it with reduction="none"'):
            objective(logits, target)
    with pytest.raises(InputError, match=r"expected logits of shape \(N, C\) and target of shape \(N,\)"):
        LOW()(logits, target[:-1])


def test_a_pairwise_loss_has_no_gradient_weighting() -> None:
    class Pairwise(losses.Loss):
        separable = False

    with pytest.raises(
        InputError, match="LOWWeighting needs each sample's own gradient, but the values of Pairwise"
    ):
        LOW(Pairwise())
    assert Objective(Pairwise(), Halving()).weighting is not None
    assert LOWWeighting.needs_gradient


@pytest.mark.parametrize("weighting", [None, LOWWeighting(lam=1e6)])
def test_a_large_batch_of_half_precision_losses_has_a_finite_mean(weighting: Weighting | None) -> None:
    """Their sum, 120,000, lies beyond float16; their mean and weights near 1 do not."""
    objective = Objective(lambda z, _: 2 + 0 * z.sum(1), weighting)
    terms = objective.terms(
        torch.zeros(60_000, 2, dtype=torch.float16), torch.zeros(60_000, dtype=torch.int64)
    )
    assert terms.loss.dtype == torch.float16
    assert terms.total.item() == pytest.approx(2, rel=1e-5)


def test_the_total_is_the_mean_whatever_the_weights_type_and_stride() -> None:
    class Twice(Weighting):
        def forward(self, signal: Signal) -> Tensor:
            return torch.tensor([2.0]).expand(len(signal.loss))

    logits, target = batch()
    loss = losses.CrossEntropy()(logits.double(), target)
    total = Objective(losses.CrossEntropy(), Twice())(logits.double(), target)
    torch.testing.assert_close(total, 2 * loss.mean(), rtol=1e-14, atol=0)
