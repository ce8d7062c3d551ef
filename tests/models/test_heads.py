from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from steelyard import InputError
from steelyard._features import LastInput
from steelyard.models import MODELS, Classifier, MarginHead, from_path

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 1, 2, 0, 1])


@pytest.mark.parametrize("kind", ["linear", "sphere", "cosine"])
def test_a_logit_is_length_times_cosine_plus_bias(kind: str) -> None:
    head = MarginHead(4, 3, kind)
    logits = head(X)
    cos = nn.functional.cosine_similarity(X, head.weight[TARGET])
    bias = 0 if head.bias is None else head.bias[TARGET]
    torch.testing.assert_close(head.lengths(TARGET) * cos + bias, logits[torch.arange(5), TARGET])


@pytest.mark.parametrize("kind", ["linear", "sphere", "cosine"])
def test_of_labels_it_says_the_lengths_of_all_logits(kind: str) -> None:
    head = MarginHead(4, 3, kind)
    cos = nn.functional.cosine_similarity(X[:, None], head.weight[None], dim=2)
    logits, length = head(X), head.lengths(torch.ones(5, 3))
    assert length.shape == logits.shape
    torch.testing.assert_close(length * cos + (0 if head.bias is None else head.bias), logits)


def test_a_linear_head_is_the_layer_itself() -> None:
    layer = nn.Linear(4, 3)
    head = MarginHead.of(layer)
    assert torch.equal(head(X), layer(X))
    assert head.state_dict().keys() == layer.state_dict().keys()
    assert head.weight is layer.weight
    assert head.bias is layer.bias
    assert MarginHead.of(head) is head


def test_making_a_head_draws_no_random_number() -> None:
    layer, state = nn.Linear(4, 3), torch.get_rng_state()
    MarginHead.of(layer, "cosine")
    assert torch.equal(torch.get_rng_state(), state)


def test_the_length_of_features_carries_their_gradient() -> None:
    head, x = MarginHead(4, 3, "sphere"), X.clone().requires_grad_()
    head(x)
    (grad,) = torch.autograd.grad(head.lengths(TARGET).sum(), x)
    torch.testing.assert_close(grad, X / X.norm(dim=1, keepdim=True))


def test_a_head_that_saw_a_batch_is_copied_and_saved_without_it() -> None:
    head = MarginHead(4, 3)
    head(X)
    twin = copy.deepcopy(head)
    assert twin.feature_length is None
    assert torch.equal(twin(X), head(X))
    torch.save(head, io.BytesIO())


def test_a_compiled_model_tells_the_length_too() -> None:
    model = Classifier(nn.Linear(4, 4), nn.Linear(4, 3))
    head = model.margin_head("linear")
    plain = model(X), head.lengths(TARGET)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")(X), head.lengths(TARGET)
    torch.testing.assert_close(compiled, plain)
    grads = [torch.autograd.grad(length.sum(), model.backbone.weight)[0] for _, length in (plain, compiled)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_head_to_exchange(name: str) -> None:
    shape = {"mlp": (6,), "cnn3d-two-path": (1, 8, 8, 8)}.get(name, (1, 16, 16))
    model = MODELS[name](shape, 3).eval()
    x = torch.randn(2, *shape)
    before = model(x)
    head = model.margin_head("linear")
    assert torch.equal(model(x), before)
    assert head.lengths(TARGET[:2]).shape == (2,)


def test_an_imported_network_exchanges_its_last_layer_where_it_stands() -> None:
    model = from_path("steelyard.models.mlp:mlp")((4,), 3)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    from steelyard.models.imported import ImportedClassifier  # noqa: PLC0415 - not public

    imported = ImportedClassifier(net, "2")
    before = imported(X)
    assert imported.margin_head("linear") is net[2]
    assert torch.equal(imported(X), before)
    assert isinstance(model.margin_head("cosine"), MarginHead)


def test_a_head_of_several_layers_exchanges_its_last() -> None:
    model = Classifier(nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.0), nn.Linear(4, 3)))
    before = model(X)
    assert model.margin_head("linear") is model.head[1] is model.last_linear
    assert torch.equal(model(X), before)


def test_who_reads_the_features_goes_on_where_the_head_is_exchanged() -> None:
    model = Classifier(nn.Linear(4, 4), nn.Linear(4, 3))
    reader = LastInput(model)
    model.margin_head("cosine")
    logits = model(X)
    assert torch.equal(reader.rows(5), model.features(X))
    reader.remove()
    model(X[:2])
    assert reader.rows(5) is not None
    assert logits.shape == (5, 3)


def test_a_model_without_a_linear_head_is_refused() -> None:
    with pytest.raises(InputError, match="Classifier does not end in a linear layer"):
        Classifier(nn.Linear(4, 3), nn.Identity()).margin_head("linear")


def test_a_batch_of_another_size_is_refused() -> None:
    head = MarginHead(4, 3)
    with pytest.raises(InputError, match="of the 5 samples, but the last batch of the model's head was none"):
        head.lengths(TARGET)
    head(X[:2])
    with pytest.raises(InputError, match="was of 2; give the loss the logits of the model's last batch"):
        head.lengths(TARGET)
