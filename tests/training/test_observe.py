from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from steelyard import Objective, UncertaintyMargin
from steelyard.data import augmentation
from steelyard.losses import CrossEntropy
from steelyard.models import lenet5
from steelyard.recipe import Recipe
from steelyard.training import fit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.training.conftest import MakeBatches

EPOCHS = 6  # 2 plain, 3 with margins of classes, 1 with margins of samples


class Killed(Exception):  # noqa: N818 - it stands for a signal
    pass


def train(make_batches: MakeBatches, saved: Path, kill_at: int | None = None) -> tuple[Any, Any, Any]:
    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == kill_at:
            raise Killed

    torch.manual_seed(0)
    model = lenet5((1, 8, 8), 3, dropout=0.3)
    objective = UncertaintyMargin(model, num_samples=50)
    progress = fit(model, objective, make_batches(), Recipe(epochs=EPOCHS), saved=saved, on_epoch=stop)
    return model, objective, progress


@pytest.mark.parametrize("kill_at", [1, 3, 5])
def test_a_killed_training_goes_on_to_the_same_numbers(
    make_batches: MakeBatches, tmp_path: Path, kill_at: int
) -> None:
    whole = train(make_batches, tmp_path / "whole.pt")
    with pytest.raises(Killed):
        train(make_batches, tmp_path / "killed.pt", kill_at)
    resumed = train(make_batches, tmp_path / "killed.pt")
    for one, other in zip(whole[:2], resumed[:2], strict=True):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    told = [[row.get("class_uncertainty[0]") for row in found[2].history] for found in (whole, resumed)]
    assert [value != value for value in told[0]] == [True] * 2 + [False] * 4  # noqa: PLR0124 - NaN while plain
    assert told[0][2:] == told[1][2:]


def test_the_model_is_observed_on_every_training_sample_once_and_unchanged(make_batches: MakeBatches) -> None:
    seen: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    class Curious(CrossEntropy):
        def observe(self, model: nn.Module, train: Any) -> None:
            batches = list(train)
            seen.append((
                model,
                torch.cat([batch.index for batch in batches]),
                torch.cat([batch.x for batch in batches]),
            ))  # fmt: skip

    model, batches = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), make_batches(range(10, 45))
    plain = torch.cat([batch.x for batch in make_batches(range(10, 45), shuffle=False)])
    batches.augment = augmentation("flip")
    fit(model, Objective(Curious()), batches, Recipe(epochs=2))
    assert len(seen) == 2
    for observed, index, x in seen:
        assert observed is model
        assert index.tolist() == list(range(10, 45))
        assert torch.equal(x, plain)


def test_the_look_at_the_training_samples_counts_in_the_seconds_of_the_epoch(
    make_batches: MakeBatches,
) -> None:
    class Slow(CrossEntropy):
        def observe(self, *_: Any) -> None:
            time.sleep(0.2)

    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    progress = fit(model, Objective(Slow()), make_batches(), Recipe(epochs=2))
    assert min(row["seconds"] for row in progress.history) >= 0.2


def test_plain_methods_train_as_without_the_hook(make_batches: MakeBatches) -> None:
    """And until the first margins come, those of uncertainty train as they do."""
    found = []
    for make in (lambda _: Objective(CrossEntropy()), lambda model: UncertaintyMargin(model, num_samples=50)):
        torch.manual_seed(0)
        model = lenet5((1, 8, 8), 3, dropout=0.3)
        progress = fit(model, make(model), make_batches(), Recipe(epochs=EPOCHS))
        found.append([row["train_loss"] for row in progress.history])
    assert found[0][:2] == found[1][:2]
    assert found[0][2] != found[1][2]
