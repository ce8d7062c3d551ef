"""Methods that follow the epochs or choose their samples, in the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from steelyard.catalog import Facts, method
from steelyard.data import Batches, fit_encoding, read
from steelyard.losses import CrossEntropy
from steelyard.models import MODELS
from steelyard.objective import Objective
from steelyard.recipe import Recipe
from steelyard.training import SampleRecorder, fit, predict
from steelyard.weighting import ImportanceSampling, Weighting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from steelyard.records import Signal

FACTS = Facts(class_counts=[17, 17, 16], num_samples=50)
WORDS = [
    "self-paced",
    "self-paced(kind=linear, threshold=0.9)",
    "exponentiated",
    "importance-sampling(threshold=1)",
    "mentornet(burn_in=0.3)",
]


def network() -> nn.Module:
    torch.manual_seed(5)
    return MODELS["lenet5"]((1, 8, 8), 3)


def parameters(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))


class Killed(Exception):  # noqa: N818 - stands for a kill signal
    pass


@pytest.mark.parametrize("word", WORDS)
def test_a_killed_training_goes_on_to_the_same_numbers(
    make_batches: Callable[..., Batches], tmp_path: Path, word: str
) -> None:
    recipe = Recipe(epochs=5, lr=0.01)

    def train(saved: Path, kill_at: int | None = None) -> tuple[nn.Module, SampleRecorder, Objective]:
        def stop(row: dict[str, float]) -> None:
            if row["epoch"] == kill_at:
                raise Killed

        model, objective = network(), method(word, FACTS)
        recorder = SampleRecorder(torch.arange(50) % 3, 3, weighted=True)
        fit(model, objective, make_batches(), recipe, recorder=recorder, saved=saved, on_epoch=stop)
        return model, recorder, objective

    model, recorder, objective = train(tmp_path / "whole.pt")
    with pytest.raises(Killed):
        train(tmp_path / "killed.pt", kill_at=2)
    resumed, weights, again = train(tmp_path / "killed.pt")
    assert same(model, resumed)
    for one, other in ((recorder, weights), (objective, again)):
        state = other.state_dict()
        for name, value in one.state_dict().items():
            assert torch.equal(value, state[name]), name
    plain = network()
    fit(plain, Objective(CrossEntropy()), make_batches(), recipe)
    assert not same(model, plain), "a method that does nothing would show nothing here"


def test_importance_sampling_that_never_begins_is_plain_training(
    make_batches: Callable[..., Batches],
) -> None:
    plain, never = network(), network()
    recipe = Recipe(epochs=3, lr=0.01)
    fit(plain, Objective(CrossEntropy()), make_batches(), recipe)
    fit(never, Objective(CrossEntropy(), ImportanceSampling(threshold=1e9)), make_batches(), recipe)
    assert same(plain, never)


def test_an_epoch_has_the_steps_of_plain_training_on_batches_of_the_same_size(
    make_batches: Callable[..., Batches],
) -> None:
    sizes: list[int] = []

    class Counting(ImportanceSampling):
        def choose(self, *given: Any) -> tuple[Tensor, Tensor]:
            rows, importance = super().choose(*given)
            sizes.append(len(rows))
            return rows, importance

    fit(network(), Objective(CrossEntropy(), Counting(threshold=1)), make_batches(), Recipe(epochs=2))
    assert sizes == [16, 16, 16, 2] * 2


def test_scoring_leaves_running_statistics_and_the_mode_alone(make_batches: Callable[..., Batches]) -> None:
    seen: list[tuple[bool, int]] = []

    class Watching(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((self.training, len(x)))
            logits: Tensor = super().forward(x)
            return logits

    norm = nn.BatchNorm2d(1)
    model = Watching(norm, nn.Flatten(), nn.Linear(64, 3))
    fit(model, Objective(CrossEntropy(), ImportanceSampling()), make_batches(), Recipe(epochs=1))
    assert seen == [(False, 48), (True, 16)] * 3 + [(False, 6), (True, 2)]
    assert norm.num_batches_tracked == 4


def test_parts_are_told_the_epoch(make_batches: Callable[..., Batches]) -> None:
    told: list[tuple[int, int]] = []

    class Listening(Weighting):
        def start_epoch(self, epoch: int, epochs: int) -> None:
            told.append((epoch, epochs))

        def forward(self, signal: Signal) -> Tensor:
            return torch.ones_like(signal.loss)

    fit(network(), Objective(CrossEntropy(), Listening()), make_batches(), Recipe(epochs=3))
    assert told == [(0, 3), (1, 3), (2, 3)]


def test_the_mentor_does_not_learn_with_the_classifier(make_batches: Callable[..., Batches]) -> None:
    objective = method("mentornet(burn_in=0)", FACTS)
    assert isinstance(objective.weighting, Weighting)
    before = [p.clone() for p in objective.weighting.parameters()]
    fit(network(), objective, make_batches(), Recipe(epochs=2, weight_decay=0.1))
    after = objective.weighting.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_wrong_labels_harm_less_with_the_mentor() -> None:
    digits, rng = read("digits"), np.random.default_rng(0)
    order = rng.permutation(len(digits.target))
    train, test = order[:1000], order[1000:]
    wrong = train[:400]
    noisy = digits.target.clone()
    noisy[wrong] = (noisy[wrong] + torch.from_numpy(rng.integers(1, 10, 400))) % 10
    encoding = fit_encoding(digits, train)
    x, recipe = encoding.inputs(digits), Recipe(epochs=30)
    accuracy = {}
    for word in ("ce", "mentornet(quantile=0.6)"):
        torch.manual_seed(0)
        model = MODELS["mlp"](encoding.shape, 10)
        batches = Batches(x, noisy, train, encoding, batch_size=64, shuffle=True)
        fit(model, method(word, Facts([100] * 10, len(noisy))), batches, recipe)
        found = predict(model, Batches(x, digits.target, test, encoding, batch_size=800), recipe)
        accuracy[word] = (found.decision == found.target).mean()
    assert accuracy["mentornet(quantile=0.6)"] > accuracy["ce"] + 0.08
