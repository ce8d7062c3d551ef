from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from steelyard import InputError
from steelyard.functional import is_sure, margin, weight_norm_product


def batch(n: int = 40, classes: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, (n,), generator=generator)


def test_product_of_norms_is_numpys() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5, 3, 2, 2), (7,)]
    weights = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    expected = np.prod([np.sqrt((w.numpy() ** 2).sum()) for w in weights])
    assert float(weight_norm_product(weights)) == pytest.approx(expected, rel=1e-14)


def test_no_partial_product_overflows() -> None:
    weights = [torch.full((1,), 1e30)] * 3 + [torch.full((1,), 1e-30)] * 3  # float32 ends at 3e38
    assert float(weight_norm_product(weights)) == pytest.approx(1.0, rel=1e-4)


def test_half_precision_weights_give_float32() -> None:
    norm = weight_norm_product([torch.full((10_000,), 100.0, dtype=torch.float16)] * 2)
    assert norm.dtype == torch.float32
    assert float(norm) == pytest.approx(1e8, rel=1e-6)


def test_gradient_of_the_product_is_that_of_finite_differences() -> None:
    a = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *w: weight_norm_product(w), (a, b))
    assert torch.autograd.gradgradcheck(lambda *w: weight_norm_product(w), (a, b))


def test_margin_is_the_definition_sample_by_sample() -> None:
    logits, target = batch()
    expected = [z[y] - max(v for i, v in enumerate(z) if i != y) for z, y in zip(logits, target, strict=True)]
    assert torch.equal(margin(logits, target), torch.stack(expected))
    right = logits.argmax(1) == target
    assert torch.equal(margin(logits, target) > 0, right)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_margin_of_two_classes_is_a_difference(a: float, b: float) -> None:
    z = torch.tensor([[a, b]], dtype=torch.float64)
    assert margin(z, torch.tensor([1])).item() == b - a


def test_the_switch_is_at_the_threshold_and_not_before() -> None:
    logits = torch.tensor([[0.5, 0.0], [math.nextafter(0.5, 0), 0.0], [0.0, 3.0]], dtype=torch.float64)
    assert is_sure(logits, torch.zeros(3, dtype=torch.int64), eta=0.5).tolist() == [True, False, False]


def test_bad_input_is_refused() -> None:
    logits, target = batch()
    for eta in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="eta must be a finite number above 0"):
            is_sure(logits, target, eta)
    with pytest.raises(InputError, match="the weights of at least one layer"):
        weight_norm_product([])
