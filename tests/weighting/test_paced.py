from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from steelyard import InputError, Objective
from steelyard.losses import CrossEntropy
from steelyard.records import Signal
from steelyard.weighting import SelfPacedWeighting
from steelyard.weighting.quantile import RunningQuantile


def signal(loss: Tensor) -> Signal:
    return Signal(loss, None, torch.zeros(len(loss), 2), torch.zeros(len(loss), dtype=torch.int64), None)


def losses(seed: int, n: int = 40) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).exponential(size=n))


@pytest.mark.parametrize("kind", ["hard", "linear"])
def test_weights_minimise_the_self_paced_programme(kind: str) -> None:
    """Over a grid of w: hard minimises w l - t w, linear w l + t (w^2 / 2 - w)."""
    loss, threshold = losses(0), 0.8
    weight = SelfPacedWeighting(kind, threshold=threshold)(signal(loss))  # type: ignore[arg-type]
    grid = np.linspace(0, 1, 100_001)
    for w, value in zip(weight.tolist(), loss.tolist(), strict=True):
        cost = grid * value + threshold * ((grid**2 / 2 if kind == "linear" else 0) - grid)
        assert w == pytest.approx(grid[cost.argmin()], abs=1e-5)


def test_a_threshold_grows_by_its_factor() -> None:
    paced = SelfPacedWeighting(threshold=0.5, growth=2.0)
    loss = torch.tensor([0.4, 0.9, 1.9, 3.9])
    for epoch, let_in in enumerate([1, 2, 3, 4]):
        paced.start_epoch(epoch, 4)
        assert paced(signal(loss)).sum() == let_in
    paced.start_epoch(10_000, 10_001)  # no overflow
    assert torch.equal(paced(signal(loss)), torch.ones(4))


def test_a_share_of_the_samples_is_let_in_and_grows_until_all_are() -> None:
    paced = SelfPacedWeighting(quantile=0.25, growth=2.0)
    for epoch, share in enumerate([0.25, 0.5, 1.0, 1.0]):
        paced.start_epoch(epoch, 4)
        for _ in range(40):  # the moving average settles
            weight = paced(signal(losses(epoch, 1000)))
        assert weight.mean().item() == pytest.approx(share, abs=0.01)
    assert bool((weight == 1).all())


def test_linear_weights_are_one_too_when_all_are_in() -> None:
    assert torch.equal(SelfPacedWeighting("linear", quantile=1.0)(signal(losses(0))), torch.ones(40).double())


def test_equal_losses_are_let_in_together() -> None:
    assert torch.equal(SelfPacedWeighting()(signal(torch.full((8,), 2.3))), torch.ones(8))


def test_a_batch_of_which_none_is_let_in_has_zero_loss_and_gradient() -> None:
    logits = torch.zeros(4, 3, requires_grad=True)
    objective = Objective(CrossEntropy(), SelfPacedWeighting(threshold=1e-3))
    total = objective(logits, torch.tensor([0, 1, 2, 0]))
    total.backward()
    assert total.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_pace_and_the_quantile_survive_saving_and_copying() -> None:
    paced = SelfPacedWeighting(quantile=0.3, growth=1.5)
    paced.start_epoch(2, 5)
    for seed in range(3):
        paced(signal(losses(seed)))
    restored, twin = SelfPacedWeighting(quantile=0.3, growth=1.5), copy.deepcopy(paced)
    restored.load_state_dict(paced.state_dict())
    expected = paced(signal(losses(9)))
    assert torch.equal(restored(signal(losses(9))), expected)
    assert torch.equal(twin(signal(losses(9))), expected)
    assert not torch.equal(SelfPacedWeighting(quantile=0.3)(signal(losses(9))), expected)


def test_evaluation_learns_nothing() -> None:
    paced = SelfPacedWeighting().eval()
    before = copy.deepcopy(paced.state_dict())
    assert paced(signal(losses(0))).mean() == 0.5  # of the batch's own quantile, as none is known
    assert all(torch.equal(a, b) or bool(a.isnan()) for a, b in zip(
        before.values(), paced.state_dict().values(), strict=True
    ))  # fmt: skip


def test_the_running_quantile_is_numpys_averaged() -> None:
    running, expected = RunningQuantile(momentum=0.8), None
    for seed in range(5):
        loss = losses(seed)
        now = np.quantile(loss.numpy(), 0.7)
        expected = now if expected is None else 0.8 * expected + 0.2 * now
        assert running(loss, 0.7).item() == pytest.approx(expected, rel=1e-12)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown kind 'soft'.* Known: hard, linear"):
        SelfPacedWeighting("soft")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="quantile must be a finite number above 0, got 0"):
        SelfPacedWeighting(quantile=0)
    with pytest.raises(InputError, match="threshold must be a finite number above 0, got -1"):
        SelfPacedWeighting(threshold=-1)
    with pytest.raises(InputError, match=r"growth must be a finite number of at least 1, got 0\.5"):
        SelfPacedWeighting(growth=0.5)
    with pytest.raises(InputError, match="momentum must lie between 0 and 1, got 2"):
        RunningQuantile(2)
