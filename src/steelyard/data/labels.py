"""What any source may say of its samples, read the same way everywhere: class, group and part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steelyard._checks import InputError

if TYPE_CHECKING:
    from steelyard.data.dataset import Rows

Values = NDArray[np.generic]
PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LARGEST = 2**53  # up to which a float tells whole numbers apart


def class_numbers(values: Values, where: str) -> tuple[Rows, tuple[str, ...]]:
    """Class number (N,) of each of ``values`` and the names of the classes, sorted.

    Raises:
        InputError: if a value is missing, or a number with a fraction.

    >>> class_numbers(np.array([7.0, 3.0, 7.0]), "y")
    (array([1, 0, 1]), ('3', '7'))
    """
    gaps = missing(values)
    if gaps.any():
        raise InputError(
            f"{where}: {gaps.sum()} of {len(values)} samples have no class; fill them in or remove the rows."
        )
    if values.dtype.kind == "f":
        numbers = values.astype(np.float64)
        odd = numbers[(numbers != np.round(numbers)) | (np.abs(numbers) > _LARGEST)]
        if len(odd):
            raise InputError(
                f"{where}: expected classes (whole numbers or texts), got {odd[0]:g}; "
                "turn a measured quantity into classes first."
            )
        values = numbers.astype(np.int64)
    elif values.dtype == object:
        values = values.astype(str)
    elif values.dtype.kind == "S":
        values = _decoded(values)
    names, numbers_of = np.unique(values, return_inverse=True)
    return numbers_of.astype(np.int64), tuple(str(name) for name in names.tolist())


def _decoded(values: Values) -> Values:
    return np.char.decode(values.astype(np.bytes_), "utf-8", "backslashreplace")


def group_numbers(values: Values, where: str) -> Rows:
    """(N,) number of each sample's group.

    Raises:
        InputError: if a value is missing: such a sample could stand on both sides of a split.
    """
    gaps = missing(values)
    if gaps.any():
        raise InputError(
            f"{where}: {gaps.sum()} of {len(values)} samples have no group; fill them in or remove the rows."
        )
    values = values.astype(str) if values.dtype == object else values
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def part_names(values: Values, where: str) -> NDArray[np.str_] | None:
    """(N,) of train, val, test or "" (missing); None if no value names a part, so that it is another column.

    Raises:
        InputError: if some values name a part and others do not.
    """
    values = _decoded(values) if values.dtype.kind == "S" else values
    words = ["" if gap else str(v).strip() for v, gap in zip(values.tolist(), missing(values), strict=True)]
    unknown = sorted({word for word in words if word and word.lower() not in PART_NAMES})
    if not any(word.lower() in PART_NAMES for word in words):
        return None
    if unknown:
        raise InputError(f"{where}: expected train, val or test, got {', '.join(map(repr, unknown[:5]))}.")
    return np.array([PART_NAMES.get(word.lower(), "") for word in words], dtype="<U5")


def missing(values: Values) -> NDArray[np.bool_]:
    """(N,) whether a value is None or NaN."""
    if values.dtype == object:
        return np.array(
            [v is None or (isinstance(v, float) and np.isnan(v)) for v in values.tolist()], dtype=bool
        )
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
