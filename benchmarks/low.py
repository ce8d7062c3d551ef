"""What LOW costs: its weights against a solver of the programme, its loss and step against cross-entropy.

1. The weights against CVXOPT at its default tolerances, for batches of 256 and 1024, lambda 0.1. Goals: at
   least 100 and 1000 times as fast, and nearer the true optimum (bisection in float64).
2. Loss, forward and backward, of logits (256, 10) against ``torch.nn.functional.cross_entropy``: both as they
   are, and both by ``torch.compile``. Goal: a ratio of at most 1.5.
3. A whole training step of LeNet-5, batch 256, on the CPU, against cross-entropy's. Goal: a ratio of at
   most 1.02.

    python benchmarks/low.py [--save]
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

import cvxopt
import numpy as np
import torch
from _bench import alternate, machine, save
from torch import Tensor, nn

from steelyard import LOW
from steelyard.functional import low_weights
from steelyard.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LAM, BATCH, CLASSES = 0.1, 256, 10


def main() -> None:
    result = {
        "weights_256": weights(256, repeats=30),
        "weights_1024": weights(1024, repeats=10),
        "loss": loss(lambda one: one),
        "loss_compiled": loss(torch.compile),
        "step": step(),
    }
    for size, goal in ((256, 100), (1024, 1000)):
        r = result[f"weights_{size}"]
        print(
            f"weights, M = {size}: {r['ratio']:.0f} times as fast as CVXOPT (goal: {goal}); "
            f"largest error {r['error']:.1e}, CVXOPT's {r['cvxopt_error']:.1e}"
        )
    for how, name in (("as they are", "loss"), ("compiled", "loss_compiled")):
        print(f"loss, both {how}, LOW / cross-entropy: {result[name]['ratio']:.2f} (goal: at most 1.5)")
    print(f"training step, LOW / cross-entropy: {result['step']['ratio']:.3f} (goal: at most 1.02)")
    if "--save" in sys.argv:
        save("low", {**result, **machine()})


def weights(size: int, repeats: int) -> dict[str, Any]:
    """Seconds of both solvers and their largest errors; ``ratio`` is CVXOPT's seconds over ours."""
    g = torch.rand(size, generator=torch.Generator().manual_seed(0)) * 2  # cross-entropy's g lies in [0, 2]
    exact = by_bisection(g.double().numpy())
    by_cvxopt = cvxopt_solver(size)
    times = alternate(lambda: by_cvxopt(g), many(lambda: low_weights(g, LAM)), repeats)
    return {
        "ratio": times["ratio"] * CALLS,
        "seconds": times["b_seconds"] / CALLS,
        "cvxopt_seconds": times["a_seconds"],
        "error": float(np.abs(low_weights(g, LAM).numpy() - exact).max()),
        "cvxopt_error": float(np.abs(by_cvxopt(g) - exact).max()),
        "repeats": repeats,
    }


def loss(as_run: Callable[[Any], Callable[[Tensor, Tensor], Tensor]]) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(BATCH, CLASSES, generator=generator).requires_grad_()
    target = torch.randint(CLASSES, (BATCH,), generator=generator)

    def of(objective: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        return many(lambda: objective(logits, target).backward())

    return alternate(of(as_run(LOW(lam=LAM))), of(as_run(nn.functional.cross_entropy)), repeats=50)


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, 1, 28, 28, generator=generator)
    target = torch.randint(CLASSES, (BATCH,), generator=generator)
    net = MODELS["lenet5"]((1, 28, 28), CLASSES)

    def of(objective: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        model = copy.deepcopy(net)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, nesterov=True)

        def one() -> None:
            total = objective(model(x), target)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()

        return one

    return alternate(of(LOW(lam=LAM)), of(nn.functional.cross_entropy), repeats=500)


CALLS = 100  # per timing of what takes microseconds


def many(call: Callable[[], object]) -> Callable[[], None]:
    def calls() -> None:
        for _ in range(CALLS):
            call()

    return calls


def cvxopt_solver(n: int) -> Callable[[Tensor], NDArray[np.float64]]:
    """The programme with what does not change built beforehand, as a training loop would."""
    matrix = cvxopt.matrix
    quadratic, bound, zeros = matrix(2 * LAM * np.eye(n)), matrix(-np.eye(n)), matrix(np.zeros(n))
    ones, total = matrix(np.ones((1, n))), matrix(float(n))

    def solve(g: Tensor) -> NDArray[np.float64]:
        linear = matrix(-g.double().numpy() - 2 * LAM)
        options = {"show_progress": False}
        solution = cvxopt.solvers.qp(quadratic, linear, bound, zeros, ones, total, options=options)
        return np.array(solution["x"]).ravel()

    return solve


def by_bisection(g: NDArray[np.float64]) -> NDArray[np.float64]:
    """The optimum to rounding: bisect the threshold at which the weights sum to M."""
    v = 1 + g / (2 * LAM)
    low, high = v.min() - len(v), v.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(v - middle, 0).sum() > len(v) else (low, middle)
    return np.maximum(v - high, 0)


if __name__ == "__main__":
    main()
