from __future__ import annotations

import itertools

import cvxopt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize

from steelyard import InputError
from steelyard.functional import low_weights, project_simplex

TOTALS = st.floats(1e-3, 1e3)
VECTORS = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3))


def by_bisection(v: np.ndarray, total: float) -> np.ndarray:
    """Bisect the t at which sum(max(v - t, 0)) = total."""
    v = v - v.max()
    low, high = -total, 0.0
    for _ in range(200):
        mid = (low + high) / 2
        low, high = (mid, high) if np.maximum(v - mid, 0).sum() > total else (low, mid)
    return np.maximum(v - high, 0)


def by_quadratic_programme(g: np.ndarray, lam: float) -> np.ndarray:
    """LOW's programme as it is written, by an interior-point solver at tight tolerance."""
    n = len(g)
    options = {"show_progress": False, "abstol": 1e-13, "reltol": 1e-13, "feastol": 1e-13}
    matrix = cvxopt.matrix
    solution = cvxopt.solvers.qp(
        matrix(2 * lam * np.eye(n)),
        matrix(-g - 2 * lam),
        matrix(-np.eye(n)),
        matrix(np.zeros(n)),
        matrix(np.ones((1, n))),
        matrix(float(n)),
        options=options,
    )
    return np.array(solution["x"]).ravel()


def projected(v: np.ndarray, total: float) -> np.ndarray:
    return project_simplex(torch.from_numpy(v), total).numpy()


@settings(deadline=None)
@given(VECTORS, TOTALS)
def test_projection_agrees_with_bisection(v: np.ndarray, total: float) -> None:
    np.testing.assert_allclose(projected(v, total), by_bisection(v, total), rtol=0, atol=1e-10)


def test_projection_agrees_with_a_general_optimiser() -> None:
    v = np.random.default_rng(0).normal(size=6)
    found = minimize(
        lambda w: ((w - v) ** 2).sum(),
        np.full(6, 0.5),
        bounds=[(0, None)] * 6,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 3},
        options={"ftol": 1e-15},
    )
    np.testing.assert_allclose(projected(v, 3.0), found.x, rtol=0, atol=1e-6)


@settings(deadline=None)
@given(VECTORS, TOTALS)
def test_projection_is_feasible_and_idempotent(v: np.ndarray, total: float) -> None:
    w = projected(v, total)
    assert (w >= 0).all()
    assert w.sum() == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(projected(w, total), w, rtol=0, atol=1e-10)


@settings(deadline=None)
@given(VECTORS, TOTALS, st.floats(-1e3, 1e3), st.randoms(use_true_random=False))
def test_projection_ignores_a_shift_and_follows_the_order(
    v: np.ndarray, total: float, shift: float, random: object
) -> None:
    order = np.array(sorted(range(len(v)), key=lambda _: random.random()))  # type: ignore[attr-defined]
    w = projected(v, total)
    np.testing.assert_allclose(projected(v + shift, total), w, rtol=0, atol=1e-9)
    np.testing.assert_allclose(projected(v[order], total), w[order], rtol=0, atol=1e-10)


def test_projection_treats_each_row_of_the_last_dimension_alone() -> None:
    v = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = project_simplex(v, 2.0)
    for i, j in itertools.product(range(2), range(3)):
        torch.testing.assert_close(w[i, j], project_simplex(v[i, j], 2.0), rtol=0, atol=0)


def test_projection_has_its_gradient() -> None:
    v = torch.tensor([[0.3, 0.2, -0.9, 0.25], [5.0, 0.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: project_simplex(x, 1.0), (v,))


def test_projection_holds_beside_large_entries_in_float32() -> None:
    w = project_simplex(torch.tensor([1e8, 0.9999e8]))
    torch.testing.assert_close(w, torch.tensor([1.0, 0.0]), rtol=0, atol=0)


@pytest.mark.parametrize("n", [1, 2, 17, 256])
@pytest.mark.parametrize("lam", [0.01, 0.1, 1.0])
def test_low_agrees_with_a_quadratic_programme_solver(n: int, lam: float) -> None:
    g = np.random.default_rng(n).uniform(0, 2, size=n)
    w = low_weights(torch.from_numpy(g), lam).numpy()
    # atol: what the interior-point solver itself attains
    np.testing.assert_allclose(w, by_quadratic_programme(g, lam), rtol=0, atol=1e-6)


@pytest.mark.parametrize("lam", [1e-6, 1e-3, 0.1, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4, 1e8])
def test_low_holds_in_float32_for_every_scale(lam: float, scale: float) -> None:
    g = (scale * torch.rand(256, generator=torch.Generator().manual_seed(0))).float()
    w = low_weights(g, lam)
    exact = by_bisection(1 + g.double().numpy() / (2 * lam), 256.0)
    np.testing.assert_allclose(w.numpy(), exact, rtol=0, atol=1e-4)
    assert w.sum().item() == pytest.approx(256, rel=1e-6)


def test_low_tells_near_ties_apart_in_float32() -> None:
    g = 2 - 1e-6 * torch.rand(64, generator=torch.Generator().manual_seed(0))
    exact = by_bisection(g.double().numpy() / 2e-6, 64.0)
    np.testing.assert_allclose(low_weights(g, 1e-6).numpy(), exact, rtol=0, atol=1e-4)


G = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 10))
LAM = st.floats(1e-3, 1e3)


@settings(deadline=None)
@given(G, LAM, st.floats(-10, 10))
def test_low_facts(g: np.ndarray, lam: float, shift: float) -> None:
    w = low_weights(torch.from_numpy(g), lam).numpy()
    assert w.sum() == pytest.approx(len(g), rel=1e-12)
    assert (w >= 0).all()
    assert (np.diff(w[np.argsort(g)]) >= 0).all(), "weights must rise with g"
    ties = low_weights(torch.from_numpy(np.repeat(g, 2)), lam).numpy().reshape(-1, 2)
    np.testing.assert_array_equal(ties[:, 0], ties[:, 1])
    np.testing.assert_allclose(ties[:, 0], w, rtol=0, atol=1e-8)
    shifted = low_weights(torch.from_numpy(g + shift), lam).numpy()
    np.testing.assert_allclose(shifted, w, rtol=0, atol=1e-8 / lam)


def test_low_limits() -> None:
    g = torch.tensor([0.0, 2.0, 1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(low_weights(g, 1e12), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-11)
    two = torch.tensor([0.0, 2.0, 0.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(low_weights(g, 1e-12), two, rtol=0, atol=0)


def test_low_is_affine_where_the_bound_does_not_bind() -> None:
    g = 2 * torch.rand(100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(low_weights(g, 1.0), 1 + (g - g.mean()) / 2, rtol=0, atol=1e-12)


def test_low_takes_several_batches_and_lets_no_gradient_through() -> None:
    g = torch.rand(3, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    w = low_weights(g, 0.1)
    assert not w.requires_grad
    torch.testing.assert_close(w, torch.stack([low_weights(row, 0.1) for row in g]))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_and_returned_in_float32(kind: torch.dtype) -> None:
    g = torch.rand(256, generator=torch.Generator().manual_seed(0)).to(kind)
    torch.testing.assert_close(low_weights(g, 0.1), low_weights(g.float(), 0.1), rtol=0, atol=0)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_broken_gradients_give_nan_weights(broken: float) -> None:
    assert low_weights(torch.tensor([[1.0, broken], [1.0, 1.0]]), 0.1).isnan().tolist() == [
        [True] * 2,
        [False] * 2,
    ]


@pytest.mark.parametrize("lam", [0.0, -1.0, float("nan"), float("inf")])
def test_low_refuses_lambda(lam: float) -> None:
    with pytest.raises(InputError, match="lam must be a finite number above 0"):
        low_weights(torch.ones(3), lam)


def test_projection_refuses_what_it_cannot_project() -> None:
    with pytest.raises(InputError, match="total must be a finite number above 0, got -1"):
        project_simplex(torch.ones(3), -1)
    with pytest.raises(
        InputError, match=r"expected a tensor of shape \(\.\.\., N\) with N >= 1, got \(2, 0\)"
    ):
        project_simplex(torch.ones(2, 0))
    with pytest.raises(InputError, match=r"N >= 1, got \(\)"):
        low_weights(torch.tensor(1.0), 0.1)


def test_low_compiles_whole() -> None:
    g = torch.rand(64, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(lambda x: low_weights(x, 0.1), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(g), low_weights(g, 0.1))
