"""Whoever adds a row to the catalog is tested without writing a line."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import steelyard
from steelyard import LOW, Objective, catalog, losses, models, testing, weighting
from steelyard.hooks import HOOKS, ObjectivePart
from steelyard.studies.config import DEFAULT_METHODS


class AnyBatch(models.MarginHead):
    """A head that takes any logits for its own: the checks make theirs without a model."""

    def lengths(self, target: Tensor) -> Tensor:
        return 4 * torch.ones(target.shape)


class Model(models.Classifier):
    def margin_head(self, kind: str) -> AnyBatch:
        return AnyBatch.of(self.head, kind)


FACTS = catalog.Facts(
    class_counts=[60, 6, 0], num_samples=66, model=Model(nn.Dropout(0.5), nn.Linear(4, 3)), critical=[1]
)
OF_LABELS = catalog.Facts(
    class_counts=[60, 6, 0],
    num_samples=80,
    model=Model(nn.Dropout(0.5), nn.Linear(4, 3)),
    absent_counts=[6, 60, 66],
)


@pytest.mark.parametrize("word", catalog.LOSSES)
def test_every_loss(word: str) -> None:
    testing.check_loss(catalog.build("loss", catalog.LOSSES, catalog.Word(word), FACTS))


@pytest.mark.parametrize("word", catalog.LABEL_LOSSES)
def test_every_loss_of_labels(word: str) -> None:
    testing.check_label_loss(catalog.method(word, OF_LABELS).loss)


@pytest.mark.parametrize("word", [*catalog.LABEL_LOSSES, *catalog.LABELS.others, "low(loss=umm-sum)"])
def test_every_objective_of_labels(word: str) -> None:
    testing.check_objective(catalog.method(word, OF_LABELS))


@pytest.mark.parametrize("word", catalog.LABELS.others)
@pytest.mark.parametrize("loss", catalog.LABEL_LOSSES)
def test_every_method_of_labels(word: str, loss: str) -> None:
    logits, target = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.eye(4, 3).long()
    terms = catalog.method(f"{word}(loss={loss})", OF_LABELS).terms(logits.requires_grad_(), target)
    torch.testing.assert_close(terms.total, (terms.weight * terms.loss).mean())
    terms.total.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_what_fits_the_data_is_named() -> None:
    with pytest.raises(
        steelyard.InputError, match=r"^the method ldam does not fit data with several labels per"
    ):
        catalog.method("ldam", OF_LABELS)
    with pytest.raises(steelyard.InputError, match=r"these do: bce, weighted-bce, .*importance-sampling\.$"):
        catalog.method("alm", OF_LABELS)
    with pytest.raises(steelyard.InputError, match=r"^the method smote does not fit data with several"):
        catalog.method("smote", OF_LABELS)
    with pytest.raises(steelyard.InputError, match="unknown method 'ldan'"):
        catalog.method("ldan", OF_LABELS)
    with pytest.raises(steelyard.InputError, match="unknown loss 'ce'"):
        catalog.method("low(loss=ce)", OF_LABELS)
    assert isinstance(catalog.method("low", OF_LABELS).loss, losses.BinaryCrossEntropy)


def test_what_is_compared_by_default_fits() -> None:
    assert catalog.ONE_CLASS.methods == DEFAULT_METHODS
    for task in (catalog.ONE_CLASS, catalog.LABELS):
        assert task.methods[0] == task.baseline
        assert set(task.methods) <= {*task.losses, *task.others} <= set(catalog.METHODS)


@pytest.mark.parametrize("word", catalog.WEIGHTINGS)
def test_every_weighting(word: str) -> None:
    testing.check_weighting(catalog.build("weighting", catalog.WEIGHTINGS, catalog.Word(word), FACTS))


def test_a_weighting_that_learns_beforehand() -> None:
    testing.check_weighting(catalog.method("mentornet(clean=0.1)", FACTS).weighting)
    testing.check_objective(catalog.method("mentornet(clean=0.1, loss=focal)", FACTS))


@pytest.mark.parametrize("word", catalog.CONSTRAINTS)
def test_every_constraint(word: str) -> None:
    testing.check_constraint(catalog.build("constraint", catalog.CONSTRAINTS, catalog.Word(word), FACTS))


@pytest.mark.parametrize("word", catalog.METHODS)
def test_every_method(word: str) -> None:
    testing.check_objective(catalog.method(word, FACTS))


@pytest.mark.parametrize("word", [word for word, loss in catalog.LOSSES.items() if loss.separable])
def test_low_over_every_loss(word: str) -> None:
    testing.check_objective(catalog.method(f"low(loss={word})", FACTS))


SCALED = ("two-scale", "two-scale-fixed", "two-scale-separation", "single-scale")
MARGINS = ("large-margin", "umm", "umm-sum", "sum-literal", "additive", "arcface", "sphereface")
OF_COSINES = MARGINS[4:]
WITH_HOOKS = [
    *(f"{word}(lr_factor=7)" for word in SCALED if word != "two-scale-fixed"), "two-scale-fixed",
    *MARGINS, "mbauc", "cost-sensitive", "center-loss", "range-loss",
]  # fmt: skip


def refused(wrapper: str, loss: str) -> bool:
    """Whether the two cannot be meant together, as their own tests say why."""
    if wrapper in SCALED:
        return loss != "cost-sensitive"  # has scales, a margin, or reads several samples
    if wrapper in OF_COSINES and loss in SCALED and loss != "two-scale-separation":
        return True
    return wrapper in MARGINS and loss in MARGINS


@pytest.mark.parametrize("wrapper", ["per-image", *SCALED, *MARGINS])
@pytest.mark.parametrize("loss", WITH_HOOKS)
def test_no_wrapper_loses_a_hook(wrapper: str, loss: str) -> None:
    if wrapper == "per-image":
        testing.check_hooks(Objective(losses.PerImage(catalog.method(loss, FACTS).loss)))
    elif refused(wrapper, loss.partition("(")[0]):
        with pytest.raises(steelyard.InputError):
            catalog.method(f"{wrapper}(loss={loss})", FACTS)
    else:
        testing.check_hooks(catalog.method(f"{wrapper}(loss={loss})", FACTS))


def test_every_loss_with_a_hook_and_every_wrapper_is_among_them() -> None:
    built = {word: catalog.method(word, FACTS).loss for word in catalog.LOSSES}
    neutral = {name: getattr(ObjectivePart, name) for name in HOOKS}
    own = {w for w, loss in built.items() if any(getattr(type(loss), h) is not neutral[h] for h in HOOKS)}
    assert own == {word.partition("(")[0] for word in WITH_HOOKS}
    assert {w for w, loss in built.items() if isinstance(loss, losses.LossWrapper)} == {*SCALED, *MARGINS}


@pytest.mark.parametrize("word", catalog.LOSSES)
def test_every_loss_reduces(word: str) -> None:
    assert "reduction" in inspect.signature(catalog.LOSSES[word]).parameters


def test_a_users_own_callable_is_checked_too() -> None:
    testing.check_objective(LOW(nn.CrossEntropyLoss(reduction="none")))


class Broken(losses.Loss):
    """Cross-entropy with one fault, to see that the checks find it."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits.float(), target.long(), reduction="none", ignore_index=-7)
        if self.fault == "mean":
            return loss.mean()
        if self.fault == "leak":
            return loss.double() + logits.mean()
        if self.fault == "gradient":
            return loss.double().detach() + logits[:, 0] - logits[:, 0].detach()
        return loss.double()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("mean", "expected 6 losses of 6 samples"),
        ("gradient", "the gradient is not that of the values"),
        ("precision", "the gradient is not that of the values, or not in float64"),
    ],
)
def test_a_broken_loss_is_found(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_loss(Broken(fault))


def ce(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, target, reduction="none")


FAULTS: dict[str, tuple[Any, str]] = {
    "leak": (lambda z, y: ce(z, y) + z.mean(), "depends on another sample's logits"),
    "overflow": (lambda z, y: -z.softmax(1).gather(1, y.unsqueeze(1)).squeeze(1).log(), "is not finite"),
    "hidden NaN": (lambda z, y: ce(z.nan_to_num(), y), "a logit of nan gives the finite loss"),
    "no checks": (ce, "target of shape"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_callable_is_found(fault: str) -> None:
    loss, message = FAULTS[fault]
    with pytest.raises(AssertionError, match=message):
        testing.check_loss(loss)


class Wrong(weighting.Weighting):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, signal: Any) -> Tensor:
        n = len(signal.loss)
        return {
            "shape": torch.ones(n, 1),
            "sign": torch.full((n,), -1.0),
            "order": torch.arange(n).float(),
            "gradient": torch.ones(n, requires_grad=True),
        }[self.fault]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("shape", "expected 6 weights"),
        ("sign", "finite and >= 0"),
        ("order", "place"),
        ("gradient", "no gradient"),
    ],
)
def test_a_broken_weighting_is_found(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_weighting(Wrong(fault))


def test_a_weighting_that_learns_by_chance_is_found() -> None:
    class Moody(weighting.MentorNetWeighting):
        def learn(self, _: Any) -> None:
            self.mentor.out.bias.data.add_(torch.rand(1))

    with pytest.raises(AssertionError, match="it learns otherwise from the same rehearsal"):
        testing.check_weighting(Moody(3, clean=0.1, burn_in=0))


@pytest.mark.parametrize(("fault", "message"), [("size", "expected 3 rows"), ("chance", "choose otherwise")])
def test_a_broken_choice_is_found(fault: str, message: str) -> None:
    class Careless(weighting.ImportanceSampling):
        def choose(self, grad_sq_norm: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            rows, importance = super().choose(grad_sq_norm, generator)
            return (rows[:1], importance) if fault == "size" else (rows, torch.rand(len(rows)))

    with pytest.raises(AssertionError, match=message):
        testing.check_objective(Objective(losses.CrossEntropy(), Careless(presample=2)))


class Slack(nn.Module):
    """The largest score of the rest above the smallest critical one, with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, logits: Tensor, target: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        score, positive = logits[:, 1] - logits[:, 0], target == 1
        gap = (score.where(~positive, -1e9).max() - score.where(positive, 1e9).min()).relu()
        if self.fault == "order":
            gap = gap * (1 + score[0] ** 2)
        if self.fault == "gradient":
            gap = gap + score.sum() - score.sum().detach()
        if self.fault == "one side":
            gap = gap + score.square().sum()
        return gap, gap if self.fault == "violation" else gap.detach()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("order", "the order of the samples"),
        ("gradient", "of class 0 alone gives"),
        ("one side", "of class 0 alone gives"),
        ("violation", "without gradient"),
    ],
)
def test_a_broken_constraint_is_found(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_constraint(Slack(fault))


def test_a_broken_objective_is_found() -> None:
    class Doubled(Objective):
        def terms(self, *args: Any) -> Any:
            terms = super().terms(*args)
            return type(terms)(2 * terms.total, terms.loss, terms.weight)

    with pytest.raises(AssertionError, match=r"total is not mean\(weight \* loss\)"):
        testing.check_objective(Doubled(losses.CrossEntropy()))


def test_a_loss_that_forgets_its_state_is_found() -> None:
    class Forgetful(losses.CrossEntropy):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("factor", torch.tensor(2.0))

        def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
            return self.factor * super().per_sample(logits, target)

        def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            loss, grad = super().per_sample_and_grad(logits, target)
            return self.factor * loss, self.factor * grad

        def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
            """Loads nothing."""

    with pytest.raises(AssertionError, match="saved state does not restore"):
        testing.check_loss(Forgetful())


@pytest.mark.parametrize("facts", [FACTS, OF_LABELS], ids=["classes", "labels"])
@pytest.mark.parametrize("value", ["abc", [1, "a"], [[1]], -1])
def test_a_value_that_cannot_be_used_is_refused(facts: catalog.Facts, value: Any) -> None:
    """By every parameter of every method: no other error than InputError."""
    refused = 0
    for word, make in {**facts.task.losses, **facts.task.others}.items():
        listed = catalog.parameters(make)
        for name in [one.partition("=")[0] for one in listed.split(", ") if one and "loss=" not in one]:
            try:
                catalog.method(catalog.Word(word, {name: value}), facts)
            except steelyard.InputError:
                refused += 1
    assert refused > 30


def test_a_fault_inside_a_constructor_is_not_called_a_mistake_of_the_user() -> None:
    def faulty(margin: float = 1.0) -> losses.Loss:
        raise TypeError(f"unsupported operand: {margin}")

    with pytest.raises(TypeError, match=r"^unsupported operand: 2$"):
        catalog.build("loss", {"faulty": faulty}, catalog.Word("faulty", {"margin": 2}), FACTS)

    def needs_two(first: float, second: float = 1.0) -> float:
        return first + second

    with pytest.raises(steelyard.InputError, match="loss needs-two: missing a required argument: 'first'"):
        catalog.build("loss", {"needs-two": needs_two}, catalog.Word("needs-two"), FACTS)
