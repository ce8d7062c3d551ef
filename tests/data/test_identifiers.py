"""What is an identifier: row numbers, keys, names of patients; ages, sizes and categories are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from steelyard.data import read
from steelyard.data.identifiers import identifier, repeated

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
TEXTS = np.array([f"t{n}" for n in range(40)], dtype=object)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("x", np.arange(40.0)),
        ("x", np.arange(40.0)[::-1]),
        ("x", RNG.permutation(5000.0 + np.arange(60))),
        ("x", np.sort(RNG.choice(10**9, 40, replace=False)).astype(float)),  # counts upwards, with gaps
        ("customer_id", RNG.choice(10**9, 40, replace=False).astype(float)),
        ("CustomerID", RNG.choice(10**9, 40, replace=False).astype(float)),
        ("x", TEXTS),
        ("x", np.where(np.arange(40) % 4 == 0, "t1", TEXTS)),
        ("x", np.where(np.arange(40) < 10, None, TEXTS)),
        ("x", np.append(np.arange(40.0), np.nan)),
    ],
)
def test_identifiers(name: str, values: np.ndarray) -> None:
    assert identifier(name, values) is not None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", RNG.integers(18, 90, 300).astype(float)),
        ("platelets", RNG.choice(10**6, 300, replace=False).astype(float)),  # all differ, but by chance
        ("size", RNG.normal(size=300)),
        ("size", np.arange(300) / 2),
        ("grid", np.repeat(np.arange(50.0), 3)),
        ("id", np.arange(20.0)),
        ("site", TEXTS[RNG.integers(0, 15, 300)]),
        ("empty", np.full(40, np.nan)),
    ],
)
def test_no_identifiers(name: str, values: np.ndarray) -> None:
    assert identifier(name, values) is None


def test_chance_is_judged_by_the_birthday_problem() -> None:
    """Of 60 numbers out of 2,000 draws rarely all differ: such columns must not be lost."""
    draws = [np.random.default_rng(n).integers(0, 2000, 60).astype(float) for n in range(400)]
    alike = [len(set(draw.tolist())) == 60 for draw in draws]
    assert 0.35 < np.mean(alike) < 0.47  # exp(-60 * 59 / 4000) = 0.41
    assert not any(identifier("x", draw) for draw in draws)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("patient", True), ("patient_id", True), ("PatientID", True), ("lesion_id", True),
        ("customer no", True),
        ("Patient Number", True), ("person", True), ("store_id", True), ("subject.id", True),
        ("patient_age", False), ("number", False), ("age", False), ("idea", False), ("lesion_size", False),
        ("number of patients", False), ("", False),
    ],
)  # fmt: skip
def test_names_tell_whose_the_rows_are(name: str, there: bool) -> None:
    values = np.repeat(TEXTS, 3)
    assert (name in repeated({name: values})) == there


def test_few_values_or_single_ones_are_nobodys() -> None:
    assert repeated({"patient": np.repeat(TEXTS[:20], 9)}) == {}
    assert repeated({"patient": TEXTS}) == {}
    assert repeated({"patient": np.arange(100) % 30 / 7}) == {}
    assert list(repeated({"patient": np.arange(100.0) % 30})) == ["patient"]


def test_metadata_beside_images_offers_its_groups(tmp_path: Path) -> None:
    rows = ["image,lesion_id,age"]
    for n in range(44):
        path = tmp_path / "images" / "ab"[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), n).save(path)
        rows.append(f"{n}.png,L{n // 2},{n}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    offer = (
        f"{tmp_path / 'metadata.csv'}, column lesion_id: 22 different values in 44 rows, like an identifier "
        "that repeats; --group lesion_id keeps its images on one side of every split"
    )
    folder = str(tmp_path / "images")
    assert read(folder).notes == (offer,)
    assert read(folder, group="lesion_id").notes == ()
    assert read(folder, labelled=False).notes == ()
    (tmp_path / "metadata.csv").write_bytes(b"\x00\x00\x00")
    assert read(folder).notes == ()
