"""What any source may say of its samples, read the same way everywhere: class, group and part."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steelyard._checks import InputError, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steelyard.data.dataset import Rows

Values = NDArray[np.generic]
PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_TRUTH = {"true": 1.0, "false": 0.0}
_LARGEST = 2**53  # up to which a float tells whole numbers apart


def class_numbers(values: Values, where: str) -> tuple[Rows, tuple[str, ...]]:
    """Class number (N,) of each of ``values`` and the names of the classes, sorted.

    Raises:
        InputError: if a value is missing, or a number with a fraction.

    >>> class_numbers(np.array([7.0, 3.0, 7.0]), "y")
    (array([1, 0, 1]), ('3', '7'))
    """
    _require(values, where, "class")
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


def known_class_numbers(values: Values, classes: Sequence[str], where: str) -> tuple[Rows, tuple[str, ...]]:
    """Number (N,) among the ``classes`` of a trained model of each of ``values``, and notes.

    A class is found by its name, else by its value: 1, 1.0 and True are one class where only one of them is
    in ``classes``.

    Raises:
        InputError: if a value is missing, or no class.

    >>> known_class_numbers(np.array([True, False, True]), ("0", "1"), "y")
    (array([1, 0, 1]), ("y: 'False' taken for the class '0'", "y: 'True' taken for the class '1'"))
    """
    _require(values, where, "class")
    names, place = np.unique(values.astype(str), return_inverse=True)
    worth = [_worth(name) for name in classes]
    number, notes = [], []
    for name in names.tolist():
        same = [c for c, value in enumerate(worth) if value is not None and value == _worth(name)]
        if name not in classes and len(same) == 1:
            notes.append(f"{where}: {name!r} taken for the class {classes[same[0]]!r}")
            number.append(same[0])
        else:
            number.append(list(classes).index(one_of(f"class in {where}:", name, classes)))
    return np.array(number, dtype=np.int64)[place], tuple(notes)


def numbers_of_texts(values: Values) -> Values:
    """Texts as numbers or truth values if all are; numbers that begin with a zero, as codes do, stay texts.

    >>> numbers_of_texts(np.array(["3", "10"])), numbers_of_texts(np.array(["03", "10"]))
    (array([ 3., 10.]), array(['03', '10'], dtype='<U2'))
    """
    if values.dtype.kind not in "OU":
        return values
    different = set(values.tolist()) - {None}
    if different and all(text.lower() in _TRUTH for text in different):
        return np.array([None if v is None else v.lower() == "true" for v in values.tolist()], dtype=object)
    if not different or not all(re.fullmatch(r"[+-]?(0|[1-9]\d*)(\.\d*)?", text) for text in different):
        return values
    value = {None: np.nan} | {text: float(text) for text in different}
    if max(abs(value[text]) for text in different) > _LARGEST:
        return values
    return np.array([value[text] for text in values.tolist()])


def group_numbers(values: Values, where: str) -> Rows:
    """(N,) number of each sample's group.

    Raises:
        InputError: if a value is missing: such a sample could stand on both sides of a split.
    """
    _require(values, where, "group")
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


def _require(values: Values, where: str, what: str) -> None:
    """Require that every sample has a value."""
    gaps = missing(values)
    if gaps.any():
        raise InputError(
            f"{where}: {gaps.sum()} of {len(values)} samples have no {what}; fill them in or remove the rows."
        )


def _worth(name: str) -> float | None:
    """The number that a class's name is, or stands for; None of any other text."""
    if name.lower() in _TRUTH:
        return _TRUTH[name.lower()]
    return float(name) if re.fullmatch(r"[+-]?\d+(\.\d*)?", name) else None
