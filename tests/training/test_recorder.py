from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from steelyard.records import Batch
from steelyard.training import WeightRecorder


def test_figures_are_those_of_a_plain_list_of_weights(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (20,), generator=generator)
    recorder = WeightRecorder(target, 3)
    seen: dict[int, list[float]] = defaultdict(list)
    per_class: list[dict[int, list[float]]] = []
    for _ in range(4):
        per_class.append(defaultdict(list))
        order = torch.randperm(18, generator=generator)  # samples 18 and 19 are never seen
        for index in order.split(5):
            weight = (torch.rand(len(index), generator=generator) - 0.3).clamp_min(0)
            recorder.record(Batch(torch.empty(0), target[index], index), weight)
            for i, w in zip(index.tolist(), weight.tolist(), strict=True):
                seen[i].append(w)
                per_class[-1][int(target[i])].append(w)
        recorder.end_epoch()
    recorder.save(tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz") as file:
        np.testing.assert_array_equal(file["index"], np.arange(18))
        np.testing.assert_array_equal(file["target"], target[:18].numpy())
        np.testing.assert_allclose(file["mean"], [np.mean(seen[i]) for i in range(18)], rtol=1e-6)
        np.testing.assert_allclose(file["last"], [seen[i][-1] for i in range(18)], rtol=1e-6)
        np.testing.assert_array_equal(file["count"], np.full(18, 4))
        means = [[np.mean(epoch[c]) for c in range(3)] for epoch in per_class]
        spreads = [[np.std(epoch[c]) for c in range(3)] for epoch in per_class]
        np.testing.assert_allclose(file["class_mean"], means, rtol=1e-5)
        np.testing.assert_allclose(file["class_sd"], spreads, rtol=1e-4)
        np.testing.assert_array_equal(file["percent"], [5, 25, 50, 75, 95, 100])
        for epoch, found, zero in zip(per_class, file["percentile"], file["share_zero"], strict=True):
            weights = np.concatenate([epoch[c] for c in range(3)]).astype(np.float32)
            expected = np.percentile(weights, file["percent"], method="inverted_cdf")
            np.testing.assert_array_equal(found, expected)
            assert zero == np.float32((weights == 0).mean())
            assert 0 < zero < 1


def test_state_dict_restores_any_number_of_epochs() -> None:
    target = torch.tensor([0, 1])
    recorder = WeightRecorder(target, 2)
    for _ in range(3):
        recorder.record(Batch(torch.empty(0), target, torch.arange(2)), torch.tensor([0.5, 1.5]))
        recorder.end_epoch()
    fresh = WeightRecorder(target, 2)
    fresh.load_state_dict(recorder.state_dict())
    assert torch.equal(fresh.epochs, recorder.epochs)
    assert torch.equal(fresh.distributions, recorder.distributions)
    assert fresh.distributions.tolist() == [[0, 0.5, 0.5, 0.5, 1.5, 1.5, 1.5]] * 3
    assert torch.equal(fresh.count, torch.tensor([3.0, 3.0]))
