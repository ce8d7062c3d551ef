import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from steelyard import InputError
from steelyard.constraints import AUCConstraint
from steelyard.data import Batches
from steelyard.losses import CriticalCrossEntropy
from steelyard.models import MODELS
from steelyard.objective import Objective
from steelyard.recipe import Recipe
from steelyard.training import NotFiniteError, fit, fit_phases
from steelyard.training.checkpoint import Row

MakeBatches = Callable[..., Batches]
RECIPE = Recipe(epochs=3, lr=0.01, keep="best", monitor="val_x")
VALUES = [0.1, 0.5, 0.4, 0.2, 0.6, 0.3]  # of six epochs; of each three the second is the best


def network() -> nn.Module:
    torch.manual_seed(5)
    return MODELS["lenet5"]((1, 8, 8), 3, dropout=0.3)


def two() -> tuple[Objective, Objective]:
    loss = CriticalCrossEntropy(critical=[2])
    return Objective(loss), Objective(loss, constraint=AUCConstraint(50, [2], rho=2.0))


def state(*parts: nn.Module) -> list[Tensor]:
    return [value.clone() for part in parts for value in part.state_dict().values()]


def by_number(done: list[int]) -> Callable[..., Row]:
    """A validation that knows how many epochs were trained in all."""

    def validate(_model: nn.Module, _objective: Objective | None = None) -> Row:
        done[0] += 1
        return {"val_x": VALUES[done[0] - 1]}

    return validate


def test_a_monitor_without_a_value_ends_every_phase(make_batches: MakeBatches) -> None:
    for number, value in enumerate(VALUES):
        values = iter([*VALUES[:number], math.nan, value])
        with pytest.raises(InputError, match="the monitor val_x is NaN"):
            fit_phases(
                network(), two(), make_batches(), RECIPE, validate=lambda *_, v=values: {"val_x": next(v)}
            )
        assert next(values) == value


def figures(history: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_phases_are_trainings_one_after_the_other(make_batches: MakeBatches) -> None:
    model, objectives = network(), two()
    torch.manual_seed(9)
    progress = fit_phases(model, objectives, make_batches(), RECIPE, validate=by_number([0]))

    hand, (first, second), batches, validate = network(), two(), make_batches(), by_number([0])
    torch.manual_seed(9)
    one = fit(hand, first, batches, RECIPE, validate=validate)
    after_first = state(hand)
    other = fit(hand, second, batches, RECIPE, validate=validate, before=3)
    for ours, theirs in zip(state(model, *objectives), state(hand, first, second), strict=True):
        assert torch.equal(ours, theirs)
    assert not all(torch.equal(a, b) for a, b in zip(after_first, state(hand), strict=True))
    marked = [row | {"phase": 1} for row in one.history] + [row | {"phase": 2} for row in other.history]
    assert figures(progress.history) == figures(marked)
    assert [row["epoch"] for row in progress.history] == [1, 2, 3, 4, 5, 6]
    assert progress.best_epoch == 5  # the best of the second phase, though counted from the first epoch


def test_one_objective_is_a_plain_training(make_batches: MakeBatches) -> None:
    model, plain = network(), network()
    torch.manual_seed(9)
    progress = fit_phases(model, two()[:1], make_batches(), RECIPE, validate=by_number([0]))
    torch.manual_seed(9)
    expected = fit(plain, two()[0], make_batches(), RECIPE, validate=by_number([0]))
    assert figures(progress.history) == figures(expected.history)
    assert progress.best_epoch == expected.best_epoch == 2
    for ours, theirs in zip(state(model), state(plain), strict=True):
        assert torch.equal(ours, theirs)


def test_the_second_phase_sees_the_samples_in_another_order(make_batches: MakeBatches) -> None:
    batches, seen = make_batches(), []
    set_epoch = batches.set_epoch
    batches.set_epoch = lambda epoch: (seen.append(epoch), set_epoch(epoch))[1]  # type: ignore[method-assign]
    fit_phases(network(), two(), batches, Recipe(epochs=2))
    assert seen == [0, 1, 2, 3]


def test_patience_ends_each_phase_by_itself(make_batches: MakeBatches) -> None:
    recipe = Recipe(epochs=3, patience=1, monitor="val_x")
    values = iter([0.5, 0.4, 0.1, 0.2, 0.1])
    progress = fit_phases(
        network(), two(), make_batches(), recipe, validate=lambda *_: {"val_x": next(values)}
    )
    assert [row["phase"] for row in progress.history] == [1, 1, 2, 2, 2]
    assert progress.best_epoch == 4


class Killed(Exception):  # noqa: N818 - stands for a kill signal
    pass


@pytest.mark.parametrize("kill_at", [1, 2, 3, 4, 5, 6])
def test_killed_in_any_phase_it_goes_on_to_the_same_numbers(
    make_batches: MakeBatches, tmp_path: Path, kill_at: int
) -> None:
    saved = tmp_path / "state.pt"

    def train(saved: Path | None, done: int = 0, kill: int | None = None) -> tuple[list[Tensor], list[Row]]:
        model, objectives = network(), two()

        def stop(row: Row) -> None:
            if row["epoch"] == kill:
                raise Killed

        torch.manual_seed(9 + done)  # another process starts with other random states
        progress = fit_phases(
            model, objectives, make_batches(), RECIPE, validate=by_number([done]), saved=saved, on_epoch=stop
        )
        return state(model, *objectives), figures(progress.history)

    undisturbed, history = train(None)
    with pytest.raises(Killed):
        train(saved, kill=kill_at)
    ours, ours_history = train(saved, done=kill_at)
    assert ours_history == history
    for a, b in zip(ours, undisturbed, strict=True):
        assert torch.equal(a, b)


def test_a_loss_that_is_not_finite_names_its_phase(make_batches: MakeBatches) -> None:
    class Broken(nn.Module):
        def forward(self, logits: Tensor, _target: Tensor, _index: Tensor) -> tuple[Tensor, Tensor]:
            return logits.sum() * math.inf, logits.sum()

    first, _ = two()
    with pytest.raises(NotFiniteError, match=r"in phase 2, the loss was not finite in epoch 1 .*clip"):
        fit_phases(network(), (first, Objective(first.loss, constraint=Broken())), make_batches(), RECIPE)
