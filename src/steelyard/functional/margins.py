"""What a target's logit becomes under a margin, as a function of the cosine of its angle.

With features f and the weights ``w_j`` of each class a linear layer's logit is ``|w_j| |f| cos(alpha_j)``. A
margin replaces the cosine of the target's angle by something smaller, so that being right by a little is not
enough. Everywhere: ``cos`` of any shape, ``m`` a number or a tensor that broadcasts with it; values in
float32 at least. Value and gradient are finite at cosines of 1 and -1, where the angle has no derivative.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard.functional.per_sample import at_least_float32


def large_margin_psi(cos: Tensor, m: float | Tensor) -> Tensor:
    """``(-1)^r cos(m alpha) - 2r`` for alpha in ``[r pi / m, (r + 1) pi / m]``: m times the angle.

    Continuous and decreasing in the angle for any real m; m = 1 is the cosine itself. Whole numbers take the
    polynomial of the cosine, other numbers and tensors the angle. With unit weights this is SphereFace's too.

    Args:
        cos: any shape.
        m: >= 1.

    Returns:
        The shape of ``cos`` and ``m`` together, from ``1 - 2m`` or above to 1.

    Raises:
        InputError: if ``m`` is a number below 1; tensors are not looked at.

    References:
        Liu, Wen, Yu, Yang, "Large-margin softmax loss for convolutional neural networks", ICML 2016, eq. 5.

    >>> large_margin_psi(torch.tensor([1.0, 0.5, 0.0, -1.0]), 2)
    tensor([ 1.0000, -0.5000, -1.0000, -3.0000])
    """
    c = at_least_float32(cos)
    if isinstance(m, Tensor):
        return torch.where(m == 1, c, _psi_of_angle(c, m))
    check.at_least("m", m, 1)
    return _psi_of_polynomial(c, int(m)) if float(m).is_integer() else _psi_of_angle(c, m)


def additive_margin_psi(cos: Tensor, m: float | Tensor) -> Tensor:
    """``cos(alpha) - m``, m >= 0.

    References:
        Wang, Cheng, Liu, Liu, "Additive margin softmax for face verification", IEEE SPL 2018, eq. 5.

    >>> additive_margin_psi(torch.tensor([1.0]), 0.35)
    tensor([0.6500])
    """
    return at_least_float32(cos) - m


def arcface_psi(cos: Tensor, m: float | Tensor) -> Tensor:
    """``cos(alpha + m)``, m in [0, pi]; where ``alpha + m`` is above pi, ``cos(alpha) + cos(m) - 1``.

    The second form joins the first and goes on falling, where the cosine of the sum would rise again; the
    authors' code has ``cos(alpha) - m sin(m)``, which leaves a step there.

    References:
        Deng, Guo, Xue, Zafeiriou, "ArcFace: additive angular margin loss for deep face recognition",
        CVPR 2019, eq. 3.

    >>> arcface_psi(torch.tensor([1.0, -1.0]), 0.4)
    tensor([ 0.9211, -1.0789])
    """
    c = at_least_float32(cos)
    m = torch.as_tensor(m, dtype=c.dtype, device=c.device)
    least = torch.finfo(c.dtype).eps
    square = 1 - c.square()
    # The root of the square, made straight where its slope would have no bound.
    sin = torch.where(square > least, square.clamp_min(least).sqrt(), square / math.sqrt(least))
    return torch.where(c >= -m.cos(), c * m.cos() - sin * m.sin(), c + m.cos() - 1)


def _psi_of_polynomial(c: Tensor, m: int) -> Tensor:
    """By Chebyshev's recurrence for ``cos(m alpha)``; r is the number of knots ``cos(k pi / m)`` passed."""
    before, chebyshev = torch.ones_like(c), c
    for _ in range(m - 1):
        before, chebyshev = chebyshev, 2 * c * chebyshev - before
    r = sum(((c < math.cos(k * math.pi / m)).to(c) for k in range(1, m)), torch.zeros_like(c))
    return _sign(r) * chebyshev - 2 * r


def _psi_of_angle(c: Tensor, m: float | Tensor) -> Tensor:
    inner, beyond = _inside(c)
    angle = m * inner.acos()
    r = (angle / math.pi).floor().detach()
    slope = m * angle.sin() / (1 - inner.square()).sqrt()  # finite: `inner` stays off 1 and -1
    return _sign(r) * (angle.cos() + slope * beyond) - 2 * r


def _inside(c: Tensor) -> tuple[Tensor, Tensor]:
    """The cosine kept off 1 and -1, and how far beyond it is: there functions go on along their tangent."""
    edge = 1 - 8 * torch.finfo(c.dtype).eps
    inner = c.clamp(-edge, edge)
    return inner, c - inner


def _sign(r: Tensor) -> Tensor:
    """``(-1)^r``."""
    return 1 - 2 * r.remainder(2)
