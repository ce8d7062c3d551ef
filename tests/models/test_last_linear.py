"""Which layer's input the features are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from steelyard import InputError
from steelyard._features import LastInput, last_linear
from steelyard.models import MODELS, Classifier, from_path

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", MODELS)
def test_the_last_linear_layer_of_every_model_reads_its_features(name: str) -> None:
    shape = {"mlp": (6,), "cnn3d-two-path": (1, 8, 8, 8)}.get(name, (1, 8, 8))
    model = MODELS[name](shape, 3).eval()
    x = torch.randn(2, *shape)
    reader = LastInput(model)
    logits = model(x)
    layer = last_linear(model)
    assert layer is model.head
    torch.testing.assert_close(reader.rows(2), model.features(x))
    torch.testing.assert_close(layer(reader.rows(2)), logits)


def test_heads_of_several_layers_and_networks_without_a_name_for_it() -> None:
    head = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    assert last_linear(Classifier(nn.Flatten(), head)) is head[2]
    assert last_linear(nn.Sequential(nn.Linear(2, 4), head)) is head[2]
    for ends_otherwise in (nn.ReLU(), nn.Sequential(nn.Linear(4, 3), nn.ReLU())):
        with pytest.raises(InputError, match="Classifier does not end in a linear layer"):
            last_linear(Classifier(nn.Linear(4, 4), ends_otherwise))


def test_a_users_own_network_that_registers_its_output_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backward_net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, d, n):\n"
        "        super().__init__()\n"
        "        self.out, self.hidden = torch.nn.Linear(5, n), torch.nn.Linear(d, 5)\n"
        "    def forward(self, x):\n"
        "        return self.out(self.hidden(x).relu())\n"
        "def make(shape, n):\n"
        "    return Net(shape[0], n)\n"
    )
    monkeypatch.chdir(tmp_path)
    model = from_path("backward_net:make")((6,), 3)
    assert last_linear(model) is model.backbone.out


def test_a_reader_can_be_taken_off() -> None:
    model = nn.Linear(3, 2)
    reader = LastInput(model)
    model(torch.zeros(1, 3))
    reader.remove()
    model(torch.zeros(4, 3))
    assert reader.rows(1).shape == (1, 3)
