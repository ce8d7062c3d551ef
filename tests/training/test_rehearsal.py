"""What a rehearsal trains on, and that it leaves everything else alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.catalog import Facts, method
from steelyard.models import MODELS
from steelyard.objective import Objective
from steelyard.recipe import Recipe
from steelyard.training import rehearse
from steelyard.weighting import Weighting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from steelyard.data import Batches
    from steelyard.records import Seen

FACTS = Facts(class_counts=[17, 17, 16], num_samples=50)


def network() -> nn.Module:
    torch.manual_seed(5)
    return MODELS["small-cnn"]((1, 8, 8), 3, width=4)


class Listening(Weighting):
    """Keeps what the rehearsal shows it."""

    rehearsal = 0.5

    def learn(self, seen: Sequence[Seen]) -> None:
        self.seen = seen


def watched(make_batches: Callable[..., Batches], recipe: Recipe) -> Sequence[Seen]:
    listening = Listening()
    objective = method("focal", FACTS)
    objective.weighting = listening
    rehearse(network(), objective, make_batches(), recipe)
    return listening.seen


def test_it_trains_on_a_share_of_every_class_of_which_some_labels_are_shuffled(
    make_batches: Callable[..., Batches],
) -> None:
    seen = watched(make_batches, Recipe(epochs=4, lr=0.01))
    epochs: dict[float, list[Seen]] = {}
    for one in seen:
        epochs.setdefault(one.progress, []).append(one)
    assert list(epochs) == [0, 0.25, 0.5, 0.75]
    for batches in epochs.values():
        sizes = [len(one.loss) for one in batches]
        assert sizes == [8, 8, 8, 2], "half of 16 samples"
        target = torch.cat([one.target for one in batches])
        assert target.bincount().tolist() == [9, 9, 8], "half of 17, 17 and 16, rounded up, as before"
        wrong = sum(int((~one.trusted).sum()) for one in batches)
        assert 0 < wrong <= round(0.2 * 26)


def test_it_costs_as_many_steps_as_the_training(make_batches: Callable[..., Batches]) -> None:
    assert len(watched(make_batches, Recipe(epochs=4, steps=7, lr=0.01))) == 7


def test_the_model_the_loss_and_the_batches_stay_as_they_are(make_batches: Callable[..., Batches]) -> None:
    model, batches = network(), make_batches()
    objective = method("mentornet(clean=0.5, loss=two-scale)", Facts([17, 17, 16], 50, model))
    mentor = objective.weighting
    assert isinstance(mentor, nn.Module)

    def state(part: nn.Module) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in part.state_dict().items() if "mentor" not in name}

    before, loss, learned = state(model), state(objective), mentor.mentor.out.weight.clone()
    target, rows, first = batches.target.clone(), batches.rows.copy(), next(iter(batches)).index
    rehearse(model, objective, batches, Recipe(epochs=2, lr=0.05))
    assert not torch.equal(learned, mentor.mentor.out.weight)
    for part, was in ((model, before), (objective, loss)):
        for name, value in state(part).items():
            assert torch.equal(value, was[name]) or bool(value.isnan().all()), name
    assert torch.equal(batches.target, target)
    np.testing.assert_array_equal(batches.rows, rows)
    assert torch.equal(next(iter(batches)).index, first)


def test_it_is_the_same_every_time(make_batches: Callable[..., Batches]) -> None:
    recipe = Recipe(epochs=2, lr=0.01)
    one, other = watched(make_batches, recipe), watched(make_batches, recipe)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.loss, b.loss)
        assert torch.equal(a.trusted, b.trusted)


def test_what_it_learned_tells_wrong_labels_from_right_ones(make_batches: Callable[..., Batches]) -> None:
    """Brightness tells the classes apart, so that a wrong label keeps a large loss."""
    objective = method("mentornet(clean=0.5, burn_in=0)", FACTS)
    model, batches = network(), make_batches()
    recipe = Recipe(epochs=20, lr=0.01)
    rehearse(model, objective, batches, recipe)
    plain = Listening()
    rehearse(model, Objective(objective.loss, plain), batches, recipe)
    late = [one for one in plain.seen if one.progress >= 0.5]
    mentor = objective.weighting
    assert isinstance(mentor, nn.Module)
    loss, target, trusted = (
        torch.cat([getattr(one, name) for one in late]) for name in ("loss", "target", "trusted")
    )
    trust = mentor.mentor(loss, loss - loss.quantile(0.75), target, torch.full_like(loss, 0.75)).sigmoid()
    assert trust[trusted].mean() > trust[~trusted].mean() + 0.3
