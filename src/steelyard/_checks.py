"""Every check of what a user gives, and its message: what was expected, what came, how to mend it."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class InputError(ValueError):
    """What a user gave cannot be used. The message says what was expected, what came and how to mend it."""


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above zero.

    >>> positive("lam", 0.1)
    0.1
    """
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"{name} must be a finite number above 0, got {value!r}.")
    return value


def at_least(name: str, value: float, least: float) -> float:
    """Return ``value`` if it is finite and not below ``least``."""
    if not (value >= least and math.isfinite(value)):
        raise InputError(f"{name} must be a finite number of at least {least}, got {value!r}.")
    return value


def between(name: str, value: float, low: float, high: float) -> float:
    """Return ``value`` if ``low <= value <= high``."""
    if not low <= value <= high:
        raise InputError(f"{name} must lie between {low} and {high}, got {value!r}.")
    return value


def one_of(what: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` if it is known; otherwise suggest the nearest known one.

    >>> one_of("loss", "focall", ["ce", "focal"])
    Traceback (most recent call last):
    steelyard._checks.InputError: unknown loss 'focall'. Did you mean 'focal'? Known: ce, focal.
    """
    names = [str(k) for k in known]
    if name in names:
        return name
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"unknown {what} {name!r}.{hint} Known: {', '.join(names) or 'none'}.")


def logits_and_target(logits: Tensor, target: Tensor) -> None:
    """Require ``logits`` (N, C) of a floating type and ``target`` (N,) of int64; looks at no value."""
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        raise InputError(
            "expected logits of shape (N, C) and target of shape (N,), "
            f"got {tuple(logits.shape)} and {tuple(target.shape)}."
        )
    if not logits.is_floating_point():
        raise TypeError(
            f"expected logits of a floating type, got {logits.dtype}; give raw scores, not labels."
        )
    if target.is_floating_point():
        raise TypeError(f"expected target of class numbers (int64), got {target.dtype}; use target.long().")
