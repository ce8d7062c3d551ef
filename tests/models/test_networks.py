"""Parameter counts against arithmetic and the literature; shapes, gradients and state of every network."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steelyard._checks import InputError
from steelyard.models import (
    MODELS,
    Classifier,
    densenet_bc,
    lenet5,
    mlp,
    parameter_count,
    resnet10,
    resnet18,
    small_cnn,
    wide_resnet,
)
from steelyard.models.layers import HalvingMaxPool

IMAGE_MODELS = [name for name in MODELS if name not in ("mlp", "cnn3d-two-path")]
CHEAP = [name for name in MODELS if name not in ("densenet-bc", "cnn3d-two-path")]
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)]
FEATURES = {
    "mlp": 256, "lenet5": 84, "small-cnn": 128, "resnet10": 512, "resnet18": 512, "resnet20": 64,
    "wrn-28-2": 128, "densenet-bc": 342, "timm": 6,
}  # fmt: skip


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def made(name: str, shape: tuple[int, ...], num_classes: int = 5) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MODELS[name](shape, num_classes)


# Parameters by arithmetic: a convolution k*k*a*b (+ b), batch normalisation 2*b, a linear layer a*b + b.


def conv(a: int, b: int, k: int = 3) -> int:
    return k * k * a * b


def basic_block(a: int, b: int) -> int:
    shortcut = 0 if a == b else conv(a, b, 1) + 2 * b
    return conv(a, b) + 2 * b + conv(b, b) + 2 * b + shortcut


def residual_net(widths: list[int], blocks: int, outputs: int, stem: int = 3) -> int:
    total = conv(3, widths[0], stem) + 2 * widths[0]
    for a, b in zip([widths[0], *widths], widths, strict=False):
        total += basic_block(a, b) + (blocks - 1) * basic_block(b, b)
    return total + widths[-1] * outputs + outputs


def wide_net(blocks: int, k: int, outputs: int) -> int:
    total, a = conv(3, 16), 16
    for b in (16 * k, 32 * k, 64 * k):
        for _ in range(blocks):
            total += 2 * a + conv(a, b) + 2 * b + conv(b, b) + (0 if a == b else conv(a, b, 1))
            a = b
    return total + 2 * a + a * outputs + outputs


def dense_net(layers: int, growth: int, outputs: int) -> int:
    a = 2 * growth
    total = conv(3, a)
    for last in (False, False, True):
        for _ in range(layers):
            total += 2 * a + conv(a, 4 * growth, 1) + 2 * 4 * growth + conv(4 * growth, growth)
            a += growth
        total += 2 * a
        if not last:
            total += conv(a, a // 2, 1)
            a //= 2
    return total + a * outputs + outputs


@pytest.mark.parametrize(
    ("name", "by_hand", "millions"),
    [
        ("resnet18", residual_net([64, 128, 256, 512], 2, 10), 11.17),
        ("resnet20", residual_net([16, 32, 64], 3, 10), 0.27),  # He et al. 2016, table 6
        ("wrn-28-2", wide_net(4, 2, 10), 1.5),  # the size its users in semi-supervised learning report
        ("densenet-bc", dense_net(16, 12, 10), 0.77),  # Huang et al. 2017, table 2 (0.8)
    ],
)
def test_parameters_agree_with_arithmetic_and_literature(name: str, by_hand: int, millions: float) -> None:
    count = parameter_count(made(name, (3, 32, 32), 10))
    assert count == by_hand
    digits = len(str(millions).partition(".")[2])
    assert round(count / 1e6, digits) == millions


def test_parameters_of_the_exact_networks() -> None:
    assert parameter_count(resnet10((3, 32, 32), 1)) == residual_net([64, 128, 256, 512], 1, 1) == 4_898_625
    imagenet = residual_net([64, 128, 256, 512], 2, 1000, stem=7)
    assert parameter_count(resnet18((3, 224, 224), 1000)) == imagenet == 11_689_512  # as in torchvision
    assert parameter_count(lenet5((1, 28, 28), 10)) == 156 + 2416 + 48_120 + 10_164 + 850 == 61_706
    assert parameter_count(lenet5((3, 32, 32), 10)) == 456 + 2416 + 48_120 + 10_164 + 850 == 62_006
    assert parameter_count(mlp((30,), 2)) == 30 * 256 + 256 + 256 * 256 + 256 + 256 * 2 + 2
    assert parameter_count(mlp((1, 8, 8), 10, hidden=())) == 64 * 10 + 10
    convs = conv(1, 32) + conv(32, 32) + conv(32, 64) + conv(64, 64) + conv(64, 128) + conv(128, 128)
    norms = 2 * 2 * (32 + 64 + 128)
    assert parameter_count(small_cnn((1, 28, 28), 10)) == convs + norms + 128 * 10 + 10


def test_other_depths_and_widths() -> None:
    assert parameter_count(wide_resnet((3, 32, 32), 10, depth=10, width=1)) == wide_net(1, 1, 10)
    # Zagoruyko and Komodakis 2016, table 4: WRN-16-8 has 11.0 million
    assert round(parameter_count(wide_resnet((3, 32, 32), 10, depth=16, width=8)) / 1e6, 1) == 11.0
    assert parameter_count(densenet_bc((3, 32, 32), 10, depth=16, growth=4)) == dense_net(2, 4, 10)


def test_frozen_parameters_do_not_count() -> None:
    model = mlp((4,), 3, hidden=())
    model.head.bias.requires_grad_(requires_grad=False)
    assert parameter_count(model) == 12


def forward(name: str, shape: tuple[int, ...]) -> None:
    model = made(name, shape).eval()
    x = images(2, *shape)
    with torch.no_grad():
        features, logits = model.features(x), model(x)
        torch.testing.assert_close(model.head(features), logits, rtol=0, atol=0)
        torch.testing.assert_close(model(x), logits, rtol=0, atol=0)  # no chance left in eval mode
    assert features.shape == (2, FEATURES[name])
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CHEAP)
def test_features_and_logits(name: str, shape: tuple[int, ...]) -> None:
    forward(name, shape)


def test_features_and_logits_of_the_deepest() -> None:
    forward("densenet-bc", (1, 8, 8))


@settings(max_examples=30, deadline=None)
@given(height=st.integers(8, 40), width=st.integers(8, 40), channels=st.integers(1, 4))
def test_any_size(height: int, width: int, channels: int) -> None:
    for make in (lenet5, small_cnn):
        model = make((channels, height, width), 3).eval()
        assert model(images(1, channels, height, width)).shape == (1, 3)


def test_mlp_reads_tables() -> None:
    model = mlp((30,), 2, hidden=(16, 8))
    assert model(images(5, 30)).shape == (5, 2)
    assert model.features(images(5, 30)).shape == (5, 8)


def test_lenet_by_its_definition() -> None:
    """The 28x28 network, written again with functions."""
    f = nn.functional
    model = made("lenet5", (1, 28, 28), 10).double()
    w = list(model.parameters())
    x = images(3, 1, 28, 28).double()
    h = f.max_pool2d(f.conv2d(f.pad(x, [2] * 4), w[0], w[1]).relu(), 2)
    assert h.shape[1:] == (6, 14, 14)
    h = f.max_pool2d(f.conv2d(h, w[2], w[3]).relu(), 2).reshape(3, 400)
    h = (h @ w[4].T + w[5]).relu()
    h = (h @ w[6].T + w[7]).relu()
    torch.testing.assert_close(model(x), h @ w[8].T + w[9], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CHEAP)
def test_gradients_reach_every_parameter(name: str) -> None:
    model = made(name, (3, 16, 16))
    model(images(4, 3, 16, 16)).square().sum().backward()
    for label, parameter in model.named_parameters():
        # A bias before a normalisation would get zero: none is there.
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label


def test_gradients_reach_every_parameter_of_a_shallow_densenet() -> None:
    model = densenet_bc((3, 16, 16), 5, depth=16, growth=4)
    model(images(4, 3, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", CHEAP)
def test_state_and_copies_give_the_same_logits(name: str) -> None:
    x = images(4, 1, 8, 8)
    model = made(name, (1, 8, 8))
    model(x)  # in training mode: moves the running statistics away from their start
    model.eval()
    torch.manual_seed(99)
    other = MODELS[name]((1, 8, 8), 5).eval()
    with torch.no_grad():
        before = model(x)
        assert not torch.equal(other(x), before)
        other.load_state_dict(model.state_dict())
        twin = copy.deepcopy(model)
        for parameter in model.parameters():
            parameter.zero_()
        assert torch.equal(other(x), before)
        assert torch.equal(twin(x), before)


@pytest.mark.parametrize(("make", "side"), [(resnet10, 112), (resnet10, 128), (resnet10, 224)])
def test_large_images_are_halved_twice_first(make: type, side: int) -> None:
    stem = make((3, side, side), 2).backbone[0]
    expected = side if side < 128 else side // 4
    assert stem.eval()(images(1, 3, side, side)).shape == (1, 64, expected, expected)


@pytest.mark.parametrize("make", [wide_resnet, densenet_bc])
def test_preactivation_nets_read_large_images(make: type) -> None:
    model = make((1, 128, 160), 2, depth=10).eval()
    assert model(images(1, 1, 128, 160)).shape == (1, 2)


@pytest.mark.parametrize("name", ["small-cnn", "resnet10", "resnet20", "wrn-28-2", "densenet-bc"])
def test_convolutions_start_as_he_et_al(name: str) -> None:
    for layer in made(name, (3, 32, 32)).modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 2000:
            fan_out = layer.out_channels * math.prod(layer.kernel_size)
            deviation = layer.weight.std().item() / math.sqrt(2 / fan_out)
            # the standard error of a deviation from n normal numbers is 1 / sqrt(2 n)
            assert abs(deviation - 1) < 5 / math.sqrt(2 * layer.weight.numel())
        if isinstance(layer, nn.Linear):
            assert not layer.bias.any()


@pytest.mark.parametrize(
    ("make", "layers"), [(mlp, 2), (lenet5, 3), (small_cnn, 1), (wide_resnet, 12), (densenet_bc, 98)]
)
def test_dropout_is_where_the_documentation_says(make: type, layers: int) -> None:
    model = make((1, 16, 16), 5, dropout=0.4)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.4] * layers


def test_dropout_comes_right_before_the_linear_layers_of_lenet() -> None:
    layers = [*lenet5((1, 28, 28), 10, dropout=0.5).backbone, nn.Linear(84, 10)]
    before = [type(layers[i - 1]) for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    assert before == [nn.Dropout] * 3


@pytest.mark.parametrize("name", IMAGE_MODELS)
@pytest.mark.parametrize("shape", [(30,), (28, 28), (1, 7, 8), (3, 32, 4), (0, 8, 8), (1, 3, 32, 32)])
def test_other_shapes_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        MODELS[name](shape, 2)
    message = str(caught.value)
    assert message.startswith(
        f"{name} reads images of shape (channels, height, width) of at least 8 x 8 pixels"
    )
    assert f"got shape {shape}" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", MODELS)
def test_no_class_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="num_classes must be a finite number of at least 1, got 0"):
        MODELS[name]((1, 8, 8), 0)


@pytest.mark.parametrize("make", [mlp, lenet5, small_cnn, wide_resnet, densenet_bc])
def test_dropout_outside_its_range_is_refused(make: type) -> None:
    with pytest.raises(InputError, match=r"dropout must lie between 0 and 1, got 1\.5"):
        make((1, 8, 8), 2, dropout=1.5)


def test_other_bad_parameters_are_refused() -> None:
    with pytest.raises(InputError, match=r"depth of wrn-28-2 must be one of 10, 16, 22, 28, .* got 27"):
        wide_resnet((3, 32, 32), 10, depth=27)
    with pytest.raises(InputError, match=r"depth of densenet-bc .* got 4"):
        densenet_bc((3, 32, 32), 10, depth=4)
    with pytest.raises(InputError, match="width must be a finite number of at least 1, got 0"):
        wide_resnet((3, 32, 32), 10, width=0)
    with pytest.raises(InputError, match="width must be a finite number of at least 1, got -2"):
        small_cnn((3, 32, 32), 10, width=-2)
    with pytest.raises(InputError, match="growth must be a finite number of at least 1, got 0"):
        densenet_bc((3, 32, 32), 10, growth=0)
    with pytest.raises(InputError, match="hidden must be a finite number of at least 1, got 0"):
        mlp((30,), 2, hidden=(16, 0))
    with pytest.raises(InputError, match=r"mlp needs at least one input per sample, got shape \(\)"):
        mlp((), 2)


def test_the_two_paths_are_those_of_a_hand_made_net() -> None:
    """Parameters counted by hand; each path sees its own channels alone."""
    model = MODELS["cnn3d-two-path"]((4, 8, 12, 12), 2, width=4, first=1)
    kernel = 27
    path = [(c * kernel + 1) * 4 + (4 * kernel + 1) * 8 + (8 * kernel + 1) * 16 for c in (1, 3)]
    assert parameter_count(model) == sum(path) + (2 * 16 + 1) * 2
    x = torch.randn(2, 4, 8, 12, 12)
    features = model.features(x)
    assert features.shape == (2, 32)
    changed = x.clone()
    changed[:, 1:] += 1
    assert torch.equal(model.features(changed)[:, :16], features[:, :16])
    assert not torch.equal(model.features(changed)[:, 16:], features[:, 16:])
    single = MODELS["cnn3d-two-path"]((1, 4, 5, 9), 3)
    assert single(torch.randn(2, 1, 4, 5, 9)).shape == (2, 3)


def test_volumes_that_the_two_paths_cannot_read_are_refused() -> None:
    for shape in ((1, 28, 28), (30,), (1, 3, 8, 8), (0, 8, 8, 8)):
        with pytest.raises(InputError, match="cnn3d-two-path reads volumes of shape"):
            MODELS["cnn3d-two-path"](shape, 2)
    for wrong in ({"width": 0}, {"first": 0}, {"dropout": 1.5}):
        with pytest.raises(InputError):
            MODELS["cnn3d-two-path"]((1, 8, 8, 8), 2, **wrong)


@given(height=st.integers(2, 9), width=st.integers(2, 9), negative=st.booleans())
def test_halving_pool_without_gradient_gives_the_very_numbers_with_it(
    height: int, width: int, *, negative: bool
) -> None:
    x = images(2, 3, height, width) - (2 if negative else 0)
    x[0, 0, 0, 0] = torch.nan
    with torch.no_grad():
        without = HalvingMaxPool()(x)
    torch.testing.assert_close(without, HalvingMaxPool()(x), rtol=0, atol=0, equal_nan=True)
    assert without.shape == (2, 3, height // 2, width // 2)
