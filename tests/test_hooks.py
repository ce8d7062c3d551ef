"""The hooks of parts: what reaches a loss inside another, what is refused, what follows an exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from steelyard import LOW, InputError, Objective, losses, models, testing, weighting
from steelyard.hooks import HOOKS, ObjectivePart, check_part
from steelyard.records import LoggedValue

if TYPE_CHECKING:
    from collections.abc import Callable

N, C = 6, 3
Z = torch.randn(N, C, generator=torch.Generator().manual_seed(0))
Y, INDEX = torch.arange(N) % C, torch.arange(N).flip(0)


def ce(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, target, reduction="none")


class Everything(losses.Loss):
    """Cross-entropy that uses every hook."""

    lr_factor = 7.0

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.register_buffer("shift", 0.1 * torch.arange(10.0))  # what it knows of each sample
        self.temperature = nn.Parameter(torch.tensor(1.0))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        return ce(self.temperature * logits, target)

    def start_epoch(self, epoch: int, epochs: int) -> None:
        self.calls.append(f"epoch {epoch} of {epochs}")

    def observe(self, _: nn.Module, train: Any) -> None:
        self.calls.append(f"saw {len(train)}")

    def after_step(self, logits: Tensor, _: Tensor, index: Tensor | None = None) -> None:
        self.calls.append(f"step {len(logits)} {index is INDEX}")

    def after_validation(self, score: float) -> None:
        self.calls.append(f"score {score}")

    def values_to_log(self) -> dict[str, LoggedValue]:
        return {"calls": LoggedValue(len(self.calls), "Calls", "calls")}

    def sampling(self) -> Tensor:
        return self.shift

    def outputs(self, logits: Tensor) -> Tensor:
        return 10 * logits

    def of_samples(self, index: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        return self if index is None else lambda z, y: ce(z + self.shift[index, None] * torch.eye(C)[0], y)


class AnyBatch(models.MarginHead):
    """A head that takes any logits for its own."""

    def lengths(self, target: Tensor) -> Tensor:
        return 4 * torch.ones(target.shape)


WRAPPERS: dict[str, tuple[Callable[[losses.Loss], losses.LossWrapper], float]] = {
    "image": (losses.PerImage, 1),
    "images": (lambda loss: losses.PerImage(losses.PerImage(loss)), 1),
    "separation": (lambda loss: losses.TwoScaleSeparation(eta=99, loss=loss), 1),
    "two-scale": (lambda loss: losses.TwoScale(nn.Linear(2, 2), eta=99, loss=loss), 1),  # R1 = R
    "arcface": (lambda loss: losses.ArcFace(AnyBatch(4, C, "cosine"), margin=0, scale=30, loss=loss), 30),
    "margin-of-image": (
        lambda loss: losses.AdditiveMargin(
            AnyBatch(4, C, "cosine"), margin=0, scale=5, loss=losses.PerImage(loss)
        ),
        5,
    ),
}


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("low", [False, True])
def test_every_hook_of_a_loss_works_below_every_wrapper_as_it_does_alone(name: str, low: bool) -> None:
    wrap, scale = WRAPPERS[name]
    inner = Everything()
    objective = Objective(wrap(inner), weighting.LOWWeighting() if low else None)
    objective.start_epoch(1, 4)
    objective.observe(nn.Identity(), [1, 2])
    objective.after_step(Z, Y, INDEX)
    objective.after_validation(0.5)
    assert inner.calls == ["epoch 1 of 4", "saw 2", "step 6 True", "score 0.5"]
    assert objective.values_to_log()["calls"] == LoggedValue(4, "Calls", "calls")
    assert objective.sampling() is inner.shift
    assert objective.lr_factor == 7
    torch.testing.assert_close(objective.outputs(Z), 10 * scale * Z)
    torch.testing.assert_close(objective.outputs(Z.expand(4, N, C)), 10 * scale * Z.expand(4, N, C))
    shifted = scale * Z + 0.1 * INDEX[:, None] * torch.eye(C)[0]
    torch.testing.assert_close(objective.terms(Z, Y, INDEX).loss, ce(shifted, Y))
    torch.testing.assert_close(objective.terms(Z, Y).loss, ce(scale * Z, Y))


def test_a_pixel_has_the_index_of_its_image() -> None:
    z, y = torch.randn(2, C, 4, 5, generator=torch.Generator().manual_seed(0)), torch.arange(40) % C
    y, index = y.view(2, 4, 5), torch.tensor([9, 2])
    shifted = z + 0.1 * index[:, None, None, None] * torch.eye(C)[0][:, None, None]
    expected = nn.functional.cross_entropy(shifted, y, reduction="none")
    images = LOW(Everything(), samples="images").terms(z, y, index)
    torch.testing.assert_close(images.loss, expected.mean((1, 2)))
    torch.testing.assert_close(
        LOW(Everything(), samples="pixels").terms(z, y, index).loss, expected.flatten()
    )


def test_two_scale_below_images_keeps_its_rate_its_scales_and_its_outputs() -> None:
    model = nn.Linear(4, C)
    loss = losses.TwoScale(model, lr_factor=7.0)
    objective = LOW(loss, samples="images")
    assert objective.lr_factor == 7
    assert list(objective.values_to_log()) == ["well_classified", "scale_1", "scale_2", "weight_norm"]
    with torch.no_grad():
        loss.scale_1.mul_(3)
    torch.testing.assert_close(objective.outputs(Z), 3 * Z)


def test_a_wrapper_follows_a_loss_that_is_exchanged() -> None:
    class Pairwise(losses.CrossEntropy):
        separable = False

    objective = LOW(losses.PerImage(losses.CrossEntropy()))
    objective.loss.base = Pairwise()
    with pytest.raises(InputError, match=r"LOWWeighting needs each sample's own gradient, .* of PerImage"):
        objective(Z, Y)
    objective.loss = losses.Focal(gamma=0)
    torch.testing.assert_close(objective(Z, Y), LOW()(Z, Y))
    objective.loss = Pairwise()
    with pytest.raises(InputError, match=r"LOWWeighting needs .* of Pairwise"):
        objective(Z, Y)
    objective.weighting = weighting.ImportanceSampling(presample=2)
    assert (objective.presample, objective.needs_gradient) == (2, False)
    with pytest.raises(InputError, match=r"ImportanceSampling needs .* of Pairwise"):
        objective.choose(Z, Y, torch.Generator())
    objective.weighting = None
    assert objective.presample == 1
    torch.testing.assert_close(objective(Z, Y), ce(Z, Y).mean())


def test_what_says_the_same_twice_is_refused() -> None:
    class Other(weighting.SelfPacedWeighting):
        lr_factor = 3.0

        def sampling(self) -> Tensor:
            return torch.ones(N)

        def values_to_log(self) -> dict[str, LoggedValue]:
            return {"calls": LoggedValue(0.0, "Calls")}

    objective = Objective(losses.PerImage(Everything()), Other())
    with pytest.raises(
        InputError, match="one part that says how samples are drawn, got Everything and Other"
    ):
        objective.sampling()
    with pytest.raises(InputError, match="Other logs 'calls', as another part of the objective does"):
        objective.values_to_log()
    with pytest.raises(InputError, match=r"expected one lr_factor .* have \[3\.0, 7\.0\]"):
        _ = objective.lr_factor


class Foreign(nn.Module):
    """A user's loss, with names of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs = nn.Linear(2, 2)
        self.observe = torch.zeros(3)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return ce(logits, target)


def test_attributes_of_other_losses_that_are_named_as_hooks_are_none() -> None:
    objective = LOW(losses.PerImage(Foreign()))
    objective.start_epoch(0, 1)
    objective.observe(nn.Identity(), [])
    assert objective.outputs(Z) is Z
    torch.testing.assert_close(objective(Z, Y), LOW()(Z, Y))


def test_hooks_that_would_never_be_called_are_refused() -> None:
    class Almost(Foreign):
        def after_step(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> None: ...

    class Hiding(losses.CrossEntropy):
        outputs: Any = None

    for make in (Objective, losses.PerImage):
        with pytest.raises(
            InputError, match="Almost defines after_step, but hooks are called on a steelyard"
        ):
            make(Almost())
        with pytest.raises(InputError, match=r"Hiding\.outputs hides the hook of this name; rename"):
            make(Hiding())
    check_part(ce)
    check_part(nn.CrossEntropyLoss(reduction="none"))


def test_a_compiled_loss_keeps_its_hooks() -> None:
    loss = losses.TwoScaleSeparation(lr_factor=7)
    inner = Everything()
    objective = Objective(torch.compile(losses.PerImage(inner), backend="eager"))
    objective.after_validation(1.0)
    assert inner.calls == ["score 1.0"]
    torch.testing.assert_close(objective.outputs(Z), 10 * Z)
    compiled = Objective(torch.compile(loss, backend="eager"))
    torch.testing.assert_close(compiled(Z, Y), Objective(loss)(Z, Y))
    assert compiled.lr_factor == 7


class Careless(losses.LossWrapper):
    """Hands the logits on, and loses one hook."""

    def __init__(self, loss: losses.Loss, lost: str) -> None:
        super().__init__(loss)
        self.lost = lost

    def losses_of(self, logits: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
        return (self.base if self.lost == "of_samples" else self.base_of(index))(logits, target)

    def outputs(self, logits: Tensor) -> Tensor:
        return logits if self.lost == "outputs" else super().outputs(logits)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("outputs", r"the outputs of loss\.base are lost"),
        ("of_samples", r"of_samples of loss\.base is lost"),
    ],
)
def test_a_wrapper_that_loses_a_hook_is_found(lost: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_hooks(Objective(Careless(Everything(), lost)))
    testing.check_hooks(Objective(Careless(Everything(), "nothing")))


class Deaf(Objective):
    """An objective that loses one hook."""

    lost = ""

    def after_step(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> None:
        if self.lost != "after_step":
            super().after_step(logits, target, index)

    def sampling(self) -> Tensor | None:
        return None if self.lost == "sampling" else super().sampling()

    def values_to_log(self) -> dict[str, LoggedValue]:
        return {} if self.lost == "values" else super().values_to_log()

    @property
    def lr_factor(self) -> float:
        return 1.0 if self.lost == "lr_factor" else super().lr_factor


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("after_step", "after_step reaches loss 0 times, expected once"),
        ("sampling", "the chances of drawing of loss are lost"),
        ("values", r"the parts log \['calls'\], the objective \[\]"),
        ("lr_factor", r"the lr_factor of a part is lost: \{7\.0\}"),
    ],
)
def test_an_objective_that_loses_a_hook_is_found(lost: str, message: str) -> None:
    objective = Deaf(losses.PerImage(Everything()))
    testing.check_hooks(objective)
    objective.lost = lost
    with pytest.raises(AssertionError, match=message):
        testing.check_hooks(objective)


def test_separability_that_is_hidden_is_found() -> None:
    class Claims(losses.PerImage):
        separable = True

    with pytest.raises(AssertionError, match=r"\['loss\.base'\] say separable = False"):
        testing.check_hooks(Objective(Claims(losses.MiniBatchAUC())))


def test_every_hook_of_the_class_is_one_of_the_test() -> None:
    """So that a new hook is tested below every wrapper too."""
    used = {name for name in HOOKS if vars(Everything).get(name) is not None}
    assert used == set(HOOKS) - {"separable"}
    assert issubclass(losses.Loss, ObjectivePart)
    assert issubclass(weighting.Weighting, ObjectivePart)
