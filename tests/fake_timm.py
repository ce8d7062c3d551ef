"""The few functions of timm and safetensors that the package calls, with tiny networks.

Their behaviour, errors included, was compared once with timm 1.0.31 and safetensors 0.8.0.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@dataclass(frozen=True)
class Config:
    """What timm calls a ``PretrainedCfg``."""

    input_size: tuple[int, int, int] = (3, 16, 16)
    fixed_input_size: bool = False
    mean: tuple[float, ...] = (0.5, 0.4, 0.3)
    std: tuple[float, ...] = (0.2, 0.3, 0.4)
    classifier: str | tuple[str, ...] = "fc"


NETWORKS = {
    "resnet18": Config(),
    "resnet18.a1_in1k": Config(),
    "vit": Config(fixed_input_size=True, input_size=(3, 24, 16)),
}


class Network(nn.Module):
    """Features (N, 6), of other number than its last maps; logits where there are classes."""

    def __init__(self, config: Config, num_classes: int) -> None:
        super().__init__()
        self.pretrained_cfg = asdict(config)
        self.num_features, self.head_hidden_size = 4, 6
        self.maps = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.pre_logits = nn.Linear(4, 6)
        self.fc = nn.Linear(6, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3
        if min(x.shape[2:]) == 33:
            raise RuntimeError("no such size")
        logits: Tensor = self.fc(self.pre_logits(self.maps(x).mean((2, 3))))
        return logits


class Timm(ModuleType):
    """The module; ``made`` remembers what it was asked to make, ``offline`` is the error of a fetch."""

    def __init__(self) -> None:
        super().__init__("timm")
        self.made: list[dict[str, Any]] = []
        self.offline: Exception | None = None

    def list_models(self, *, pretrained: bool = False) -> list[str]:
        return [name for name in NETWORKS if ("." in name) == pretrained]

    def get_pretrained_cfg(self, name: str) -> Config:
        return NETWORKS[name]

    def create_model(
        self, name: str, *, pretrained: bool = False, num_classes: int = 1000, **params: Any
    ) -> Network:
        self.made.append({"name": name, "pretrained": pretrained, "num_classes": num_classes, **params})
        if params and not NETWORKS[name].fixed_input_size:
            raise TypeError(f"unexpected keyword arguments {params}")
        network = Network(NETWORKS[name], num_classes)
        if pretrained:
            if self.offline:
                raise self.offline
            with torch.random.fork_rng():
                torch.manual_seed(18)
                network.load_state_dict(Network(NETWORKS[name], num_classes).state_dict())
        return network


class SafetensorError(Exception):
    """As that of safetensors, which is no OSError either."""


def load_file(path: Path) -> dict[str, Tensor]:
    """Of a format of its own: what ``torch.save`` writes."""
    with path.open("rb") as stream:
        try:
            found: dict[str, Tensor] = torch.load(stream, weights_only=True)
        except Exception as error:
            raise SafetensorError("header too large") from error
    return found


def install(patch: pytest.MonkeyPatch) -> Timm:
    timm, safetensors = Timm(), ModuleType("safetensors")
    of_torch = ModuleType("safetensors.torch")
    safetensors.SafetensorError = SafetensorError  # type: ignore[attr-defined]
    of_torch.load_file = load_file  # type: ignore[attr-defined]
    for module in (timm, safetensors, of_torch):
        patch.setitem(sys.modules, module.__name__, module)
    return timm
