"""Every check of what a user gives, and its message: what was expected, what came, how to mend it."""

from __future__ import annotations

import difflib
import math
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class InputError(ValueError):
    """What a user gave cannot be used. The message says what was expected, what came and how to mend it."""


def _is_number(value: object) -> bool:
    """Whether ``value`` is a finite number; what a user typed may also be a text, a list or a truth value."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above zero.

    >>> positive("lam", 0.1)
    0.1
    """
    if not (_is_number(value) and value > 0):
        raise InputError(f"{name} must be a finite number above 0, got {value!r}.")
    return value


def at_least(name: str, value: float, least: float) -> float:
    """Return ``value`` if it is finite and not below ``least``."""
    if not (_is_number(value) and value >= least):
        raise InputError(f"{name} must be a finite number of at least {least}, got {value!r}.")
    return value


def between(name: str, value: float, low: float, high: float) -> float:
    """Return ``value`` if ``low <= value <= high``."""
    if not (_is_number(value) and low <= value <= high):
        raise InputError(f"{name} must lie between {low} and {high}, got {value!r}.")
    return value


def below_one(name: str, value: float, hint: str = "") -> float:
    """Return ``value`` if ``0 <= value < 1``; ``hint`` ends the message."""
    if not (_is_number(value) and 0 <= value < 1):
        raise InputError(f"{name} must lie in [0, 1), got {value!r}{hint}.")
    return value


def whole(name: str, value: int, least: int) -> int:
    """Return ``value`` if it is a whole number and not below ``least``."""
    if not (_is_number(value) and isinstance(value, int) and value >= least):
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return value


def known(name: str, value: float) -> float:
    """Return the measure ``value`` unless it is NaN, which is neither better nor worse than any other.

    >>> known("the score", float("nan"))
    Traceback (most recent call last):
    steelyard._checks.InputError: the score is NaN: its samples lack a class; measure it on samples of all.
    """
    if math.isnan(value):
        raise InputError(f"{name} is NaN: its samples lack a class; measure it on samples of all.")
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


def class_numbers(name: str, numbers: Iterable[int]) -> list[int]:
    """Return ``numbers`` as a list if they are different class numbers, at least one.

    >>> class_numbers("critical", (1, 3))
    [1, 3]
    """
    found = list(numbers)
    whole = all(isinstance(n, int) and n >= 0 for n in found)
    if not found or not whole or len(set(found)) < len(found):
        raise InputError(f"{name} must be different class numbers, counted from 0, got {found!r}.")
    return found


def some_of_classes(name: str, numbers: Iterable[int], num_classes: int) -> None:
    """Require that ``numbers`` are class numbers below ``num_classes``, and not all of them."""
    found = list(numbers)
    if max(found) >= num_classes or len(found) >= num_classes:
        raise InputError(f"{name} must be some but not all of 0..{num_classes - 1}, got {found!r}.")


def logits_and_target(logits: Tensor, target: Tensor) -> None:
    """Require ``logits`` (N, C) of a floating type and ``target`` (N,) of int64; looks at no value."""
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        raise InputError(
            "expected logits of shape (N, C) and target of shape (N,), "
            f"got {tuple(logits.shape)} and {tuple(target.shape)}."
        )
    raw_scores(logits)
    if target.is_floating_point():
        raise TypeError(f"expected target of class numbers (int64), got {target.dtype}; use target.long().")


def raw_scores(logits: Tensor) -> None:
    """Require ``logits`` of a floating type."""
    if not logits.is_floating_point():
        raise TypeError(
            f"expected logits of a floating type, got {logits.dtype}; give raw scores, not labels."
        )
