from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import Tensor

from steelyard import InputError, Objective
from steelyard.losses import CrossEntropy
from steelyard.records import Seen, Signal
from steelyard.weighting import MentorNetWeighting


@pytest.fixture(scope="module")
def mentor() -> MentorNetWeighting:
    return MentorNetWeighting(num_classes=3)


def signal(loss: Tensor) -> Signal:
    return Signal(loss, None, torch.zeros(len(loss), 3), torch.arange(len(loss)) % 3, None)


def test_it_has_learned_the_curriculum_for_every_label_and_time(mentor: MentorNetWeighting) -> None:
    distance = torch.linspace(-4, 8, 241)
    wanted = (1 - distance).clamp(0, 1)
    for target in range(3):
        for progress in (0.0, 0.33, 0.999, 1.0):
            for quantile in (0.05, 1.0, 2.5):
                loss = (quantile + distance).clamp_min(0)
                trust = mentor.mentor(
                    loss, distance, torch.full((241,), target), torch.full((241,), progress)
                )
                assert (trust.sigmoid() - wanted).abs().mean() < 0.03


def test_width_zero_is_hard_self_paced_learning() -> None:
    mentor = MentorNetWeighting(3, width=0)
    distance = torch.tensor([-2.0, -1.0, -0.5, 0.5, 1.0, 5.0])
    trust = mentor.mentor(2 + distance, distance, torch.arange(6) % 3, torch.full((6,), 0.5)).sigmoid()
    torch.testing.assert_close(trust, (distance < 0).float(), rtol=0, atol=0.03)


def test_burn_in_weighs_all_the_same_and_then_large_losses_less(mentor: MentorNetWeighting) -> None:
    loss = torch.from_numpy(np.random.default_rng(0).exponential(size=200))
    for epoch in range(10):
        mentor.start_epoch(epoch, 10)
        weight = mentor(signal(loss))
        assert weight.dtype == loss.dtype
        assert bool((weight == 1).all()) == (epoch < 2)
    quantile = loss.quantile(0.75)
    assert weight[loss < quantile - 0.3].min() > 0.95
    assert weight[loss > quantile + 1.5].max() < 0.05


def test_it_is_the_same_every_time_and_leaves_global_randomness_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    start = time.perf_counter()
    one, other = MentorNetWeighting(3, seed=1), MentorNetWeighting(3, seed=1)
    assert (time.perf_counter() - start) / 2 < 5  # seconds; under one where the machine is free
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b) or bool(a.isnan().all())


def test_no_optimiser_of_the_classifier_may_move_it(mentor: MentorNetWeighting) -> None:
    assert not any(p.requires_grad for p in mentor.parameters())


def test_it_learns_from_data_which_labels_to_trust() -> None:
    """Here wrong labels have small losses, and only of one class: the opposite of the curriculum."""
    generator = torch.Generator().manual_seed(0)
    loss = 4 * torch.rand(600, generator=generator)
    target = torch.randint(3, (600,), generator=generator)
    wrong = (loss < 1.5) & (target == 2)
    progress = torch.rand(600, generator=generator)
    mentor = MentorNetWeighting(3, burn_in=0.0)
    mentor.fit_on(loss, loss - 2, target, progress, ~wrong)
    mentor.start_epoch(1, 2)
    trust = mentor.mentor(loss, loss - 2, target, progress).sigmoid()
    assert trust[wrong].mean() < 0.2
    assert trust[~wrong].mean() > 0.9
    assert not any(p.requires_grad for p in mentor.parameters())


def test_a_rehearsal_is_learned_with_the_quantile_of_its_time() -> None:
    """Against fit_on with distances to a quantile that is followed by hand."""
    generator = torch.Generator().manual_seed(0)
    seen = []
    for step in range(30):
        trusted = torch.rand(40, generator=generator) < 0.7
        loss = torch.rand(40, generator=generator) * torch.where(trusted, 1.0, 3.0)
        seen.append(Seen(loss, torch.randint(3, (40,), generator=generator), trusted, step / 30))
    value, distance = seen[0].loss.quantile(0.6), []
    for one in seen:
        value = 0.9 * value + 0.1 * one.loss.quantile(0.6)
        distance.append(one.loss - value)
    learned, by_hand = (MentorNetWeighting(3, quantile=0.6, clean=0.1) for _ in range(2))
    learned.learn(seen)
    loss, target, trusted = (
        torch.cat([getattr(s, name) for s in seen]) for name in ("loss", "target", "trusted")
    )
    progress = torch.tensor([s.progress for s in seen for _ in range(40)])
    by_hand.fit_on(loss, torch.cat(distance), target, progress, trusted)
    for one, other in zip(learned.mentor.parameters(), by_hand.mentor.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.02)
    trust = learned.mentor(loss, torch.cat(distance), target, progress).sigmoid()
    assert trust[loss > 1.2].max() < 0.3
    assert trust[loss < 0.5].mean() > 0.6
    assert learned.recent.value.isnan(), "the rehearsal's quantile is not that of the training"


def test_the_objective_compiles_after_the_burn_in(mentor: MentorNetWeighting) -> None:
    mentor.start_epoch(5, 10)
    objective = Objective(CrossEntropy(), mentor).eval()
    logits, target = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3
    compiled = torch.compile(objective, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, target), objective(logits, target))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="num_classes must be a finite number of at least 2, got 1"):
        MentorNetWeighting(1)
    with pytest.raises(InputError, match="quantile must lie between 0 and 1, got 2"):
        MentorNetWeighting(3, quantile=2)
    with pytest.raises(InputError, match="width must be a finite number of at least 0, got -1"):
        MentorNetWeighting(3, width=-1)
    with pytest.raises(InputError, match=r"burn_in must lie between 0 and 1, got 1\.5"):
        MentorNetWeighting(3, burn_in=1.5)
    with pytest.raises(InputError, match=r"clean must lie between 0 and 1, got 1\.5"):
        MentorNetWeighting(3, clean=1.5)
