from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from steelyard import LOW, InputError, losses
from steelyard.functional import low_weights
from steelyard.losses import PerImage
from steelyard.losses.dense import as_rows


def batch() -> tuple[Tensor, Tensor]:
    """Three images of 4 x 5 pixels and four classes."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 4, 5, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), torch.randint(4, (3, 4, 5), generator=generator)


OWN = [losses.CrossEntropy(), nn.CrossEntropyLoss(reduction="none"), losses.Focal(gamma=1.5)]


@pytest.mark.parametrize("loss", OWN, ids=lambda loss: type(loss).__name__)
def test_low_over_images_is_the_definition(loss: nn.Module) -> None:
    logits, target = batch()
    images = []
    for z, y in zip(logits, target, strict=True):
        pixels = [loss(z[:, i, j][None], y[i, j][None])[0] for i in range(4) for j in range(5)]
        images.append(torch.stack(pixels).mean())
    expected = torch.stack(images)
    g = torch.stack([
        torch.autograd.grad(image, logits, retain_graph=True)[0].square().sum() for image in images
    ])  # fmt: skip
    terms = LOW(loss, lam=0.01, samples="images").terms(logits, target)
    torch.testing.assert_close(terms.loss, expected.detach())
    torch.testing.assert_close(terms.weight, low_weights(g, 0.01))
    torch.testing.assert_close(terms.total, (terms.weight * expected).mean())
    assert (terms.weight - 1).abs().max() > 0.02, "uniform weights would show nothing here"


@pytest.mark.parametrize("loss", OWN, ids=lambda loss: type(loss).__name__)
def test_low_over_pixels_is_the_definition(loss: nn.Module) -> None:
    logits, target = batch()
    flat, g = [], []
    for z, y in zip(logits, target, strict=True):
        for i in range(4):
            for j in range(5):
                value = loss(z[:, i, j][None], y[i, j][None])[0]
                flat.append(value.detach())
                g.append(torch.autograd.grad(value, logits, retain_graph=True)[0].square().sum())
    terms = LOW(loss, lam=0.1, samples="pixels").terms(logits, target)
    weight = low_weights(torch.stack(g), 0.1)
    torch.testing.assert_close(terms.loss, torch.stack(flat))
    torch.testing.assert_close(terms.weight, weight)
    torch.testing.assert_close(terms.total, (weight * torch.stack(flat)).mean())


@pytest.mark.parametrize("samples", ["images", "pixels"])
def test_weights_of_one_give_the_mean_over_all_pixels(samples: str) -> None:
    logits, target = batch()
    total = LOW(lam=1e9, samples=samples)(logits, target)  # type: ignore[arg-type]
    torch.testing.assert_close(total, nn.functional.cross_entropy(logits, target), rtol=0, atol=1e-8)


@pytest.mark.parametrize("samples", ["images", "pixels"])
def test_it_compiles(samples: str) -> None:
    logits, target = batch()
    objective = LOW(samples=samples)  # type: ignore[arg-type]
    compiled = torch.compile(objective, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, target), objective(logits, target))


def test_images_of_one_pixel_are_plain_samples() -> None:
    logits, target = torch.zeros(2, 3), torch.tensor([0, 1])
    assert torch.equal(PerImage(losses.CrossEntropy())(logits, target), losses.CrossEntropy()(logits, target))
    assert as_rows(logits, target)[0].shape == (2, 3)


def test_mistakes_are_named() -> None:
    logits, target = batch()
    with pytest.raises(InputError, match=r"unknown samples 'pixel'\. Did you mean 'pixels'"):
        LOW(samples="pixel")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"target of shape \(N, \.\.\.\), got \(3, 4, 4, 5\) and \(3, 4\)"):
        LOW(samples="pixels")(logits, target[..., 0])
    with pytest.raises(InputError, match=r"one value per sample, shape \(3,\), got \(3, 4, 5\)"):
        LOW(nn.CrossEntropyLoss(reduction="none"))(logits, target)
    with pytest.raises(InputError, match="got reduction='mean'"):
        LOW(nn.CrossEntropyLoss(), samples="images")
