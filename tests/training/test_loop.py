import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from steelyard import InputError
from steelyard.data import Batches
from steelyard.losses import CrossEntropy, PerImage
from steelyard.models import MODELS
from steelyard.objective import LOW, Objective, TwoScale
from steelyard.recipe import Recipe
from steelyard.records import LoggedValue, Signal
from steelyard.training import NotFiniteError, SampleRecorder, fit, fit_phases, predict
from steelyard.training.checkpoint import Row
from steelyard.weighting import Weighting

MakeBatches = Callable[..., Batches]


def network() -> nn.Module:
    torch.manual_seed(5)
    return MODELS["lenet5"]((1, 8, 8), 3, dropout=0.3)


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_trains_like_the_loop_written_by_hand(make_batches: MakeBatches) -> None:
    recipe = Recipe(
        epochs=3, optimizer="sgd", lr=0.05, momentum=0.8, weight_decay=0.01, schedule="constant", clip=0.5
    )
    model = network()
    torch.manual_seed(9)
    fit(model, Objective(CrossEntropy()), make_batches(), recipe)

    hand = network().train()
    torch.manual_seed(9)
    optimizer = torch.optim.SGD(hand.parameters(), lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01)
    batches = make_batches()
    for epoch in range(3):
        batches.set_epoch(epoch)
        for batch in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(hand(batch.x), batch.target).backward()
            nn.utils.clip_grad_norm_(hand.parameters(), 0.5)
            optimizer.step()
    for ours, theirs in zip(weights(model), weights(hand), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


class Killed(Exception):  # noqa: N818 - stands for a kill signal
    pass


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_killed_training_goes_on_to_the_same_numbers(
    make_batches: MakeBatches, tmp_path: Path, optimizer: str
) -> None:
    recipe = Recipe.model_validate({"epochs": 5, "optimizer": optimizer, "keep": "best", "monitor": "val_x"})
    target = torch.arange(50) % 3

    def train(saved: Path, kill_at: int | None = None) -> tuple[nn.Module, SampleRecorder, list[Row]]:
        model, recorder = network(), SampleRecorder(target, 3, weighted=True)
        values = iter([0.1, 0.5, 0.4, 0.5, 0.2])

        def stop(row: Row) -> None:
            if row["epoch"] == kill_at:
                raise Killed

        done = 0 if not saved.exists() else 2
        for _ in range(done):
            next(values)
        torch.manual_seed(9)  # another process starts with other random states; the checkpoint restores them
        progress = fit(
            model,
            LOW(lam=0.1),
            make_batches(),
            recipe,
            validate=lambda _: {"val_x": next(values)},
            recorder=recorder,
            saved=saved,
            on_epoch=stop,
        )
        return model, recorder, progress.history

    whole, whole_recorder, whole_history = train(tmp_path / "whole.pt")
    with pytest.raises(Killed):
        train(tmp_path / "killed.pt", kill_at=2)
    torch.manual_seed(12345)
    resumed, recorder, history = train(tmp_path / "killed.pt")
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(one, other)
    for name, value in whole_recorder.state_dict().items():
        assert torch.equal(value, recorder.state_dict()[name]), name
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
        for rows in (whole_history, history)
    ]
    assert timeless[0] == timeless[1]


def test_the_best_epoch_is_kept_and_of_equals_the_later(make_batches: MakeBatches) -> None:
    seen: list[list[Tensor]] = []

    def validate(model: nn.Module) -> Row:
        seen.append(weights(model))
        return {"val_x": [0.1, 0.7, 0.7, 0.3][len(seen) - 1]}

    model = network()
    recipe = Recipe(epochs=4, monitor="val_x", keep="best")
    progress = fit(model, Objective(CrossEntropy()), make_batches(), recipe, validate=validate)
    assert progress.best_epoch == 3
    assert all(torch.equal(one, other) for one, other in zip(weights(model), seen[2], strict=True))
    assert not torch.equal(seen[2][0], seen[3][0])


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (None, 6)])
def test_training_stops_when_patience_ends(
    make_batches: MakeBatches, patience: int | None, epochs: int
) -> None:
    values = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    recipe = Recipe(epochs=6, patience=patience, monitor="val_x")
    progress = fit(
        network(),
        Objective(CrossEntropy()),
        make_batches(),
        recipe,
        validate=lambda _: {"val_x": next(values)},
    )
    assert len(progress.history) == epochs
    assert progress.best_epoch == 2


@pytest.mark.parametrize("settings", [{"keep": "best"}, {"patience": 2}, {}])
def test_a_monitor_without_a_value_ends_the_training_with_its_reason(
    make_batches: MakeBatches, settings: dict[str, Any]
) -> None:
    values = iter([0.1, math.nan])
    recipe = Recipe(epochs=6, monitor="val_x", **settings)
    with pytest.raises(InputError, match="the monitor val_x is NaN: its samples lack a class"):
        fit(
            network(),
            Objective(CrossEntropy()),
            make_batches(),
            recipe,
            validate=lambda _: {"val_x": next(values)},
        )


def test_samples_are_drawn_by_the_probabilities_of_the_objective(make_batches: MakeBatches) -> None:
    class Drawn(Weighting):
        """Draws samples 20 and 21 alone, the second three times as often, and remembers what came."""

        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []

        def sampling(self) -> Tensor:
            return torch.zeros(50).index_fill(0, torch.tensor(20), 0.25).index_fill(0, torch.tensor(21), 0.75)

        def forward(self, signal: Signal) -> Tensor:
            assert signal.index is not None
            self.seen.append(signal.index)
            return torch.ones_like(signal.loss)

    drawn = Drawn()
    fit(network(), Objective(CrossEntropy(), drawn), make_batches(range(10, 40)), Recipe(epochs=20))
    seen = torch.cat(drawn.seen)
    assert len(seen) == 20 * 30
    assert set(seen.tolist()) == {20, 21}
    assert abs((seen == 21).float().mean() - 0.75) < 0.08  # standard deviation 0.018


def test_a_loss_that_is_not_finite_stops_the_training(make_batches: MakeBatches) -> None:
    recipe = Recipe(epochs=3, optimizer="sgd", lr=1e30, schedule="constant")
    with pytest.raises(NotFiniteError, match=r"not finite in epoch 1 .*a smaller learning rate \(lr\)"):
        fit(network(), Objective(CrossEntropy()), make_batches(), recipe)


def test_history_holds_the_mean_loss_of_the_epoch(make_batches: MakeBatches) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    expected = Objective(CrossEntropy())
    batches = make_batches(shuffle=False)
    with torch.no_grad():
        losses = [nn.functional.cross_entropy(model(b.x), b.target, reduction="none") for b in batches]
    recipe = Recipe(epochs=1, lr=1e-12)  # in effect the weights stay
    (row,) = fit(model, expected, batches, recipe).history
    assert row["train_loss"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)
    assert row["train_objective"] == pytest.approx(row["train_loss"], rel=1e-5)


def test_bfloat16_trains_near_float32(make_batches: MakeBatches) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        recipe = Recipe.model_validate({"epochs": 5, "precision": precision})
        losses.append(fit(network(), LOW(), make_batches(), recipe).history[-1]["train_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1] != losses[0]


def test_predictions_are_those_of_the_model_in_order_and_leave_its_mode(make_batches: MakeBatches) -> None:
    model = network().train()
    batches = make_batches(range(10, 40), shuffle=False)
    predictions = predict(model, batches, Recipe())
    assert model.training
    model.eval()
    with torch.no_grad():
        expected = torch.cat([model(batch.x) for batch in batches])
    np.testing.assert_allclose(predictions.logits, expected.numpy(), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(predictions.index, np.arange(10, 40))
    np.testing.assert_array_equal(predictions.target, np.arange(10, 40) % 3)


@pytest.mark.parametrize(
    ("steps", "epochs", "taken"), [(6, 2, 6), (8, 2, 8), (9, 3, 9), (100, 3, 12), (1, 1, 1)]
)
def test_training_stops_after_so_many_steps(
    make_batches: MakeBatches, steps: int, epochs: int, taken: int
) -> None:
    """50 samples in batches of 16 make 4 steps an epoch; three epochs are the most."""

    class Counting(Objective):
        steps = 0

        def after_step(self, *_: object) -> None:
            self.steps += 1

    objective = Counting(CrossEntropy())
    recipe = Recipe(epochs=3, steps=steps, optimizer="sgd", schedule="cosine", lr=0.1)
    progress = fit(network(), objective, make_batches(), recipe)
    assert objective.steps == taken
    assert len(progress.history) == epochs
    last = (1 + math.cos(math.pi * (taken - 1) / taken)) / 2  # the schedule ends with the training
    assert progress.history[-1]["lr"] == pytest.approx(0.1 * last)


def test_a_training_cut_by_steps_goes_on_to_the_same_numbers(
    make_batches: MakeBatches, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=3, steps=6, optimizer="sgd", lr=0.05)

    def stop(row: Row) -> None:
        if row["epoch"] == 1 and not tried:
            tried.append(1)
            raise Killed

    tried = [1]
    whole, cut = network(), network()
    torch.manual_seed(9)
    fit(whole, Objective(CrossEntropy()), make_batches(), recipe)
    tried.clear()
    torch.manual_seed(9)
    with pytest.raises(Killed):
        fit(cut, Objective(CrossEntropy()), make_batches(), recipe, saved=tmp_path / "s.pt", on_epoch=stop)
    resumed = network()
    fit(resumed, Objective(CrossEntropy()), make_batches(), recipe, saved=tmp_path / "s.pt", on_epoch=stop)
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(one, other)


def test_history_holds_the_share_of_right_decisions(make_batches: MakeBatches) -> None:
    model = network()
    frozen = Recipe(epochs=1, optimizer="sgd", lr=1e-30)
    torch.manual_seed(9)
    progress = fit(model, Objective(CrossEntropy()), make_batches(), frozen)
    torch.manual_seed(9)
    right = sum(int((model(batch.x).argmax(1) == batch.target).sum()) for batch in make_batches())
    assert progress.history[0]["train_accuracy"] == pytest.approx(right / 50)


def test_the_objective_is_kept_with_the_best_epoch_and_scales_its_predictions(
    make_batches: MakeBatches,
) -> None:
    model = network()
    objective = TwoScale(model)
    seen: list[float] = []

    def validate(_: nn.Module) -> Row:
        seen.append(objective.loss.scale_1.item())
        return {"val_x": [0.1, 0.7, 0.3][len(seen) - 1]}

    recipe = Recipe(epochs=3, optimizer="sgd", lr=0.1, monitor="val_x", keep="best")
    progress = fit(model, objective, make_batches(), recipe, validate=validate)
    assert objective.loss.scale_1.item() == seen[1] != seen[2]
    assert [row["scale_1"] for row in progress.history] == seen
    assert all(0 <= row["well_classified"] <= 1 for row in progress.history)
    raw = predict(model, make_batches(shuffle=False), recipe)
    scaled = predict(model, make_batches(shuffle=False), recipe, objective.outputs)
    factor = seen[1] / objective.loss.weight_norm().item()
    np.testing.assert_allclose(scaled.logits, factor * raw.logits, rtol=1e-5)
    assert abs(factor - 1) > 1e-3


def test_what_parts_log_is_in_the_history_and_keeps_its_title(
    make_batches: MakeBatches, tmp_path: Path
) -> None:
    class Counting(CrossEntropy):
        name = "epochs_seen"

        def values_to_log(self) -> dict[str, LoggedValue]:
            return {self.name: LoggedValue(3.0, "Epochs that were seen", "epochs")}

    saved = tmp_path / "saved.pt"
    recipe = Recipe(epochs=2)
    progress = fit(network(), Objective(PerImage(Counting())), make_batches(), recipe, saved=saved)
    assert [row["epochs_seen"] for row in progress.history] == [3.0, 3.0]
    expected = {"epochs_seen": {"title": "Epochs that were seen", "unit": "epochs"}}
    again = fit(network(), Objective(PerImage(Counting())), make_batches(), recipe, saved=saved)
    assert progress.logged == again.logged == expected, "of a training that was over too"
    phases = fit_phases(network(), [Objective(Counting()), Objective(CrossEntropy())], make_batches(), recipe)
    assert phases.logged == expected
    for name in ("train_loss", "val_auc", "epoch"):
        Counting.name = name
        with pytest.raises(InputError, match=f"a part logs '{name}', a column of the training's own"):
            fit(network(), Objective(Counting()), make_batches(), recipe)
