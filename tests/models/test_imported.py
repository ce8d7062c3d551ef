"""A user's own network by import path: what works, and each way it can fail."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from steelyard._checks import InputError
from steelyard.models import Classifier, from_path, mlp

if TYPE_CHECKING:
    from pathlib import Path

NETS = '''
import torch
from torch import nn
from steelyard.models import Classifier

number = 3
mismatched = nn.Linear(99, 3)

class Plain(nn.Module):
    """Two linear layers by odd names, registered in the other order, and something after the last."""

    def __init__(self, input_shape, num_classes, hidden=6):
        super().__init__()
        self.out = nn.Linear(hidden, num_classes)
        self.norm = nn.BatchNorm1d(hidden)
        self.first = nn.Linear(input_shape[0], hidden)

    def forward(self, x):
        return 10 * self.out(self.norm(self.first(x)).relu())

def classifier(input_shape, num_classes):
    return Classifier(nn.Linear(input_shape[0], 7), nn.Linear(7, num_classes))

def without_linear(input_shape, num_classes):
    return nn.Sequential(nn.Conv2d(input_shape[0], num_classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

class Tokens(nn.Module):
    """A linear layer that reads positions, (N, T, D), and none that reads samples, (N, D)."""

    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.each = nn.Linear(1, num_classes)

    def forward(self, x):
        return self.each(x[..., None]).mean(1)

def no_module(input_shape, num_classes):
    return [num_classes]

def one_too_many(input_shape, num_classes):
    return nn.Linear(input_shape[0], num_classes + 1)

def fails(input_shape, num_classes):
    return mismatched

class Pair(nn.Linear):
    def __init__(self, input_shape, num_classes):
        super().__init__(input_shape[0], num_classes)

    def forward(self, x):
        return super().forward(x), x
'''


def batch(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package's module in the working folder, which is not on the import path before."""
    package = tmp_path / "a_users_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text(NETS)
    (package / "needy.py").write_text("import a_module_that_is_nowhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    for name in [name for name in sys.modules if name.startswith("a_users_package")]:
        monkeypatch.delitem(sys.modules, name)
    return "a_users_package.nets"


def test_plain_module_gets_features(nets: str) -> None:
    model = from_path(f"{nets}:Plain")((4,), 3, hidden=5)
    assert isinstance(model, Classifier)
    assert model.training
    net = model.backbone
    x = batch(6, 4)
    model.eval()
    expected = net.norm(net.first(x)).relu()
    torch.testing.assert_close(model.features(x), expected, rtol=0, atol=0)
    torch.testing.assert_close(model(x), 10 * net.out(expected), rtol=0, atol=0)
    assert not net.out._forward_pre_hooks


def test_trial_leaves_running_statistics_alone(nets: str) -> None:
    net = from_path(f"{nets}:Plain")((4,), 3).backbone
    assert net.norm.num_batches_tracked == 0


def test_features_carry_gradients(nets: str) -> None:
    model = from_path(f"{nets}:Plain")((4,), 3)
    model.features(batch(6, 4)).square().sum().backward()
    assert model.backbone.first.weight.grad.abs().sum() > 0
    assert model.backbone.out.weight.grad is None


def test_copy_and_state(nets: str) -> None:
    make = from_path(f"{nets}:Plain")
    model, other = make((4,), 3).eval(), make((4,), 3).eval()
    x = batch(6, 4)
    assert not torch.equal(model(x), other(x))
    other.load_state_dict(model.state_dict())
    twin = copy.deepcopy(model)
    for copied in (other, twin):
        assert torch.equal(copied(x), model(x))
        assert torch.equal(copied.features(x), model.features(x))


def test_classifier_is_returned_as_it_is(nets: str) -> None:
    model = from_path(f"{nets}:classifier")((4,), 3)
    assert type(model) is Classifier
    assert model.features(torch.zeros(2, 4)).shape == (2, 7)


def test_own_makers_can_be_named_by_path() -> None:
    model = from_path("steelyard.models:mlp")((4,), 3, hidden=[8])
    assert str(model) == str(mlp((4,), 3, hidden=[8]))


@pytest.mark.parametrize(("name", "shape"), [("without_linear", (1, 8, 8)), ("Tokens", (4,))])
def test_features_are_the_logits_where_no_linear_layer_reads_samples(
    nets: str, name: str, shape: tuple[int, ...]
) -> None:
    model = from_path(f"{nets}:{name}")(shape, 3)
    x = batch(5, *shape)
    assert torch.equal(model.features(x), model(x))


@pytest.mark.parametrize("path", ["nets", "nets:", ":make", ".nets:make", ""])
def test_paths_without_two_parts(path: str) -> None:
    with pytest.raises(InputError, match=r"expected a model as 'package\.module:function', got '"):
        from_path(path)


def test_module_not_found(nets: str) -> None:
    with pytest.raises(
        InputError, match=r"cannot import 'a_users_package.net' .* No module named .* Run from"
    ):
        from_path("a_users_package.net:make")
    with pytest.raises(InputError, match="No module named 'a_module_that_is_nowhere'"):
        from_path("a_users_package.needy:make")


def test_attribute_missing_or_not_callable(nets: str) -> None:
    with pytest.raises(InputError, match=r"but 'Plane' does not exist in .*nets\.py"):
        from_path(f"{nets}:Plane")
    with pytest.raises(InputError, match=r"but 'number' is not callable in .*nets\.py"):
        from_path(f"{nets}:number")


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("Plain", {"hiden": 5}, r"must accept .* \(hiden\): got an unexpected keyword argument 'hiden'"),
        ("no_module", {}, r"must return a torch\.nn\.Module, got list"),
        ("one_too_many", {}, r"batch of shape \(2, 4\) into logits of shape \(2, 3\), got \(2, 4\)"),
        ("fails", {}, r"fails on a batch of shape \(2, 4\): mat1 and mat2 shapes cannot be multiplied"),
        ("Pair", {}, r"into logits of shape \(2, 3\), got tuple"),
    ],
)
def test_what_a_maker_must_give(nets: str, name: str, params: dict[str, int], message: str) -> None:
    make = from_path(f"{nets}:{name}")
    with pytest.raises(InputError, match=message) as caught:
        make((4,), 3, **params)
    assert "\n" not in str(caught.value)
    assert nets in str(caught.value)


def test_failed_trial_leaves_the_network_as_it_was(nets: str) -> None:
    make = from_path(f"{nets}:fails")
    with pytest.raises(InputError, match="fails on a batch"):
        make((4,), 3)
    layer = sys.modules[nets].mismatched
    assert layer.training
    assert not layer._forward_pre_hooks
