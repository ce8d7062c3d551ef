"""Columns that tell one row from another and nothing else: row numbers, keys, names of patients."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.data.columns import FEW
from steelyard.data.labels import missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_BY_CHANCE = 1e-6  # probability below which chance is no explanation
_KEYS = {
    "id",
    "ids",
    "identifier",
    "uuid",
    "guid",
    "index",
    "idx",
    "key",
    "nr",
    "no",
    "number",
    "code",
    "hash",
}
_BEARERS = {
    *("patient", "person", "subject", "participant", "customer", "client", "user", "member", "account"),
    *("lesion", "case", "animal", "specimen", "slide", "household", "family", "machine", "device"),
}


def identifier(name: str, values: NDArray[Any]) -> str | None:
    """Why the column ``name`` with ``values`` (N,) is taken for an identifier; None if it is not.

    Texts are if more than half of the rows have one of their own. Whole numbers are if they all differ and
    either count upwards from row to row, are called so, or lie so close that different ones are no chance:
    N numbers drawn from R are all different with a probability of about exp(-N² / 2R).

    >>> identifier("x", np.random.default_rng(0).permutation(np.arange(100.0)))
    '100 different whole numbers in 100 rows, like an identifier'
    >>> identifier("size", np.array([170.0, 182.0, 170.0] * 10)) is None
    True
    """
    there = values[~missing(values)]
    if values.dtype == object:
        different = len(set(there.tolist()))
        if different <= FEW or 2 * different <= len(there):
            return None
        return f"{different} different texts in {len(there)} rows, like an identifier"
    numbers = there.astype(np.float64)
    if len(numbers) <= FEW or (numbers % 1 != 0).any() or len(np.unique(numbers)) < len(numbers):
        return None
    spread = float(np.ptp(numbers)) + 1
    steps = np.diff(numbers)
    counted = (steps > 0).all() or (steps < 0).all()
    unlikely = len(numbers) ** 2 / (2 * spread) > -np.log(_BY_CHANCE)
    if counted or unlikely or _words(name)[-1:] == ["id"]:
        return f"{len(numbers)} different whole numbers in {len(numbers)} rows, like an identifier"
    return None


def repeated(columns: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """The columns, by name, that say whose the rows are, and why they are taken for that.

    It is the name that tells: patient, customer_id, lesion. Each has more than a few values, some of them in
    several rows.

    >>> repeated({"patient_id": np.repeat(np.arange(30.0), 2), "age": np.repeat(np.arange(30.0), 2)})
    {'patient_id': '30 different values in 60 rows, like an identifier that repeats'}
    """
    found = {}
    for name, values in columns.items():
        if not _names_a_bearer(name):
            continue
        there = values[~missing(values)]
        different = len(set(there.tolist()))
        whole = values.dtype == object or not (there.astype(np.float64) % 1).any()
        if FEW < different < len(there) and whole:
            found[name] = (
                f"{different} different values in {len(there)} rows, like an identifier that repeats"
            )
    return found


def _names_a_bearer(name: str) -> bool:
    """Whether ``name`` ends as the name of a patient, or of his number, does."""
    *before, last = _words(name) or [""]
    return last == "id" or last in _BEARERS or (last in _KEYS and bool(_BEARERS & set(before)))


def _words(name: str) -> list[str]:
    """The words of a name: ``patient_id``, ``patientId`` and ``Patient ID`` have the same two."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
