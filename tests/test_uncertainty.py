from __future__ import annotations

import pytest
import torch
from torch import nn

from steelyard import InputError
from steelyard.models import MODELS
from steelyard.uncertainty import dropouts, stochastic_logits


class Whole(nn.Module):
    """The same network, whose parts cannot be seen."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.parametrize("name", ["lenet5", "small-cnn", "wrn-28-2", "densenet-bc", "resnet20", "mlp"])
def test_running_the_first_part_once_changes_nothing(name: str) -> None:
    params = {"depth": 10} if name in ("wrn-28-2", "densenet-bc") else {}
    shape = (6,) if name == "mlp" else (1, 16, 16)
    model = MODELS[name](shape, 3, dropout=0.5, **params)
    x = torch.randn(4, *shape)
    torch.manual_seed(1)
    shared = stochastic_logits(model, x, passes=3)
    torch.manual_seed(1)
    repeated = stochastic_logits(Whole(model), x, passes=3)
    torch.testing.assert_close(shared, repeated)
    assert shared.shape == (3, 4, 3)
    assert not torch.equal(shared[0], shared[1])


def test_the_first_part_runs_on_the_batch_alone() -> None:
    sizes = []
    model = nn.Sequential(nn.Linear(2, 8), nn.Sequential(nn.ReLU(), nn.Dropout(0.5)), nn.Linear(8, 3))
    for layer in (model[0], model[1][0], model[2]):
        layer.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    stochastic_logits(model, torch.zeros(5, 2), passes=4)
    assert sizes == [5, 5, 20]


def test_mean_and_variance_are_those_of_dropped_inputs() -> None:
    """Of a linear layer after dropout: the mean is that without it, the variance p / (1 - p) sum w²x²."""
    layer, p = nn.Linear(6, 2), 0.3
    x = torch.randn(1, 6)
    logits = stochastic_logits(nn.Sequential(nn.Dropout(p), layer), x, passes=40_000)[:, 0]
    torch.testing.assert_close(logits.mean(0), layer(x)[0].detach(), atol=0.02, rtol=0)
    expected = p / (1 - p) * (layer.weight * x).square().sum(1).detach()
    torch.testing.assert_close(logits.var(0), expected, rtol=0.03, atol=0)


def test_batch_normalisation_keeps_its_statistics_and_every_mode_comes_back() -> None:
    model = MODELS["small-cnn"]((1, 8, 8), 3, dropout=0.5)
    model.head.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stochastic_logits(model, torch.randn(4, 1, 8, 8))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.backbone.training
    assert not model.head.training
    assert all(layer.training for layer in dropouts(model))


def test_a_model_without_dropout_is_refused_with_the_mend() -> None:
    with pytest.raises(InputError, match=r"needs a model with dropout.*as in lenet5\(dropout=0\.5\)"):
        stochastic_logits(MODELS["lenet5"]((1, 8, 8), 3), torch.zeros(2, 1, 8, 8))


def test_no_pass_is_refused() -> None:
    with pytest.raises(InputError, match="passes must be a whole number of at least 1, got 0"):
        stochastic_logits(nn.Dropout(0.5), torch.zeros(1, 2), passes=0)
