from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev
from torch import Tensor

from steelyard import InputError
from steelyard.functional import additive_margin_psi, arcface_psi, large_margin_psi

if TYPE_CHECKING:
    from collections.abc import Callable

ANGLES = np.linspace(0, np.pi, 1001)
COS = torch.from_numpy(np.cos(ANGLES))
MARGINS = st.floats(1, 6)


def by_definition(alpha: float, m: float) -> float:
    """The piece of the definition in whose interval the angle lies."""
    r = next(r for r in range(20) if alpha <= (r + 1) * math.pi / m + 1e-12)
    return (-1) ** r * math.cos(m * alpha) - 2 * r


@given(MARGINS)
def test_psi_is_the_definition(m: float) -> None:
    expected = [by_definition(alpha, m) for alpha in ANGLES]
    np.testing.assert_allclose(large_margin_psi(COS, m), expected, atol=2e-6 if m % 1 else 1e-12)


@given(MARGINS)
def test_psi_is_continuous_and_decreasing_for_any_real_margin(m: float) -> None:
    psi = large_margin_psi(COS, m)
    steps = psi.diff()
    assert bool((steps <= 1e-9).all())
    assert bool((steps.abs() <= 1.01 * m * np.pi / 1000 + 1e-9).all()), "its slope in the angle is at most m"
    assert psi[0] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_both_forms_agree(m: int) -> None:
    polynomial, angle = large_margin_psi(COS, m), large_margin_psi(COS, torch.tensor(float(m)).double())
    torch.testing.assert_close(polynomial, angle, atol=1e-12, rtol=0)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_the_first_piece_is_the_chebyshev_polynomial_of_numpy(m: int) -> None:
    first = COS[math.cos(math.pi / m) < COS]
    expected = chebyshev.chebval(first.numpy(), np.eye(m + 1)[m])
    np.testing.assert_allclose(large_margin_psi(first, m), expected, atol=1e-12)


def test_a_margin_of_one_is_the_cosine_itself() -> None:
    assert torch.equal(large_margin_psi(COS, 1), COS)
    assert torch.equal(large_margin_psi(COS, torch.ones(len(COS))), COS)


@pytest.mark.parametrize("m", [1, 2.0, 2.5, 3, torch.tensor(2.5), torch.tensor(3.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradient_are_finite_at_the_ends(m: float | Tensor, dtype: torch.dtype) -> None:
    ends = torch.tensor([1.0, -1.0, 1.0000005, -1.0000005], dtype=dtype, requires_grad=True)
    psi = large_margin_psi(ends, m)
    (grad,) = torch.autograd.grad(psi.sum(), ends)
    assert bool(psi.isfinite().all())
    assert bool(grad.isfinite().all())
    assert bool((grad > 0).all())
    assert grad[0] == pytest.approx(float(m) ** 2, rel=1e-4), "the limit of m sin(m a) / sin(a)"


@pytest.mark.parametrize("m", [1, 2, 3, 1.7, 3.3])
def test_gradients_are_those_of_finite_differences(m: float) -> None:
    cos = torch.linspace(-0.99, 0.99, 23, dtype=torch.float64, requires_grad=True)
    for margin in (m, torch.full((23,), float(m), dtype=torch.float64)):
        assert torch.autograd.gradcheck(lambda c, margin=margin: large_margin_psi(c, margin), (cos,))


def test_margins_of_classes_and_samples_broadcast() -> None:
    cos = torch.rand(2, 5, 3, dtype=torch.float64)
    m = torch.tensor([1.0, 2.0, 3.5], dtype=torch.float64)
    found = large_margin_psi(cos, m)
    assert torch.equal(found[..., 0], cos[..., 0])
    torch.testing.assert_close(found[..., 2], large_margin_psi(cos[..., 2], 3.5))
    assert large_margin_psi(cos.bfloat16(), m.bfloat16()).dtype == torch.float32


@given(st.floats(0, 1.5))
def test_arcface_is_the_cosine_of_the_sum_and_goes_on_falling(m: float) -> None:
    psi = arcface_psi(COS, m)
    sum_is_an_angle = torch.from_numpy(ANGLES + m <= np.pi)
    expected = torch.from_numpy(np.cos(ANGLES + m))
    torch.testing.assert_close(psi[sum_is_an_angle], expected[sum_is_an_angle], atol=1e-7, rtol=0)
    assert bool((psi.diff() <= 1e-9).all())
    assert float(psi.diff().abs().max()) < 0.01, "no step"


@pytest.mark.parametrize("psi", [arcface_psi, additive_margin_psi])
def test_the_other_margins_have_finite_gradients_at_the_ends(psi: Callable[..., Tensor]) -> None:
    ends = torch.tensor([1.0, -1.0], requires_grad=True)
    (grad,) = torch.autograd.grad(psi(ends, 0.4).sum(), ends)
    assert bool((grad.isfinite() & (grad > 0)).all())
    inside = torch.linspace(-0.8, 0.99, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: psi(c, 0.4), (inside,))


def test_it_compiles() -> None:
    cos = torch.linspace(-1, 1, 9)
    for m in (3, 2.5, torch.tensor(2.5)):
        torch.compiler.reset()  # a second number would be taken for a variable one
        compiled = torch.compile(large_margin_psi, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(cos, m), large_margin_psi(cos, m))


def test_a_margin_below_one_is_refused() -> None:
    with pytest.raises(InputError, match=r"m must be a finite number of at least 1, got 0\.5"):
        large_margin_psi(COS, 0.5)
