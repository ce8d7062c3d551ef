from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from steelyard.records import Batch, Terms
from steelyard.training import SampleRecorder

NOTHING = torch.empty(0)


def steps(recorder: SampleRecorder, target: torch.Tensor, epochs: int = 3) -> dict[int, list[np.ndarray]]:
    """Show random batches to ``recorder``; return each sample's loss, weight and logits, in float64."""
    generator = torch.Generator().manual_seed(0)
    seen: dict[int, list[np.ndarray]] = defaultdict(list)
    for _ in range(epochs):
        for index in torch.randperm(18, generator=generator).split(5):  # samples 18 and 19 are never seen
            loss, weight = torch.rand(2, len(index), generator=generator)
            logits = 3 * torch.randn(len(index), 3, generator=generator)
            recorder.record(Batch(NOTHING, target[index], index), logits, Terms(NOTHING, loss, weight))
            for i, *figures in zip(index.tolist(), loss, weight, logits, strict=True):
                seen[i].append(np.concatenate([np.atleast_1d(one.double().numpy()) for one in figures]))
        recorder.end_epoch()
    return seen


def test_means_are_those_of_a_plain_list(tmp_path: Path) -> None:
    target = torch.arange(20) % 3
    recorder = SampleRecorder(target, 3, weighted=True)
    seen = steps(recorder, target)
    recorder.save(tmp_path)
    with np.load(tmp_path / "dynamics.npz") as file, np.load(tmp_path / "weights.npz") as weights:
        np.testing.assert_array_equal(file["index"], np.arange(18))
        np.testing.assert_array_equal(file["index"], weights["index"])
        np.testing.assert_array_equal(file["target"], np.arange(18) % 3)
        np.testing.assert_array_equal(file["count"], np.full(18, 3))
        for i in range(18):
            loss, weight, *_ = np.mean(seen[i], axis=0)
            margins, probabilities = [], []
            for _, _, *logits in seen[i]:
                others = [z for c, z in enumerate(logits) if c != i % 3]
                margins.append(logits[i % 3] - max(others))
                probabilities.append(np.exp(logits) / np.exp(logits).sum())
            np.testing.assert_allclose(file["loss"][i], loss, rtol=1e-6)
            np.testing.assert_allclose(weights["mean"][i], weight, rtol=1e-6)
            np.testing.assert_allclose(file["margin"][i], np.mean(margins), rtol=1e-5)
            np.testing.assert_allclose(file["probability"][i], np.mean(probabilities, axis=0), atol=5e-4)


def test_without_a_weighting_no_weights_are_written(tmp_path: Path) -> None:
    target = torch.arange(20) % 3
    with_weights, without = (SampleRecorder(target, 3, weighted=weighted) for weighted in (True, False))
    steps(with_weights, target)
    steps(without, target)
    without.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["dynamics.npz"]
    assert torch.equal(without.sums, with_weights.sums)


@pytest.mark.parametrize("weighted", [True, False])
def test_state_dict_restores_any_number_of_epochs(weighted: bool) -> None:
    target = torch.arange(20) % 3
    recorder, fresh = (SampleRecorder(target, 3, weighted=weighted) for _ in range(2))
    steps(recorder, target)
    fresh.load_state_dict(recorder.state_dict())
    assert set(fresh.state_dict()) >= {"sums"}
    for name, value in recorder.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


def test_half_precision_logits_and_gradients_are_no_obstacle() -> None:
    target = torch.tensor([0, 1])
    recorder = SampleRecorder(target, 2, weighted=False)
    logits = torch.tensor([[2.0, 0.0], [4.0, 1.0]], dtype=torch.bfloat16, requires_grad=True)
    recorder.record(
        Batch(NOTHING, target, torch.arange(2)), logits, Terms(NOTHING, torch.ones(2), torch.ones(2))
    )
    assert recorder.sums[:, 2].tolist() == [2.0, -3.0]
    assert not recorder.sums.requires_grad
