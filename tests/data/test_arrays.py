"""Arrays: ``.npz`` files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from steelyard._checks import InputError
from steelyard.data import Encoding, Table, fit_encoding, read

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 3, 5, 4)).astype(np.uint8)  # N, C, H, W
Y = np.array([0, 1, 1, 0, 2, 2])


def save(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "a.npz", **arrays)
    return str(folder / "a.npz")


def test_rows_of_numbers_are_a_table(tmp_path: Path) -> None:
    x = RNG.normal(size=(6, 4)).astype(np.float32)
    data = read(save(tmp_path, X=x, y=Y))
    assert isinstance(data.x, Table)
    assert data.x.numeric_names == ("x0", "x1", "x2", "x3")
    np.testing.assert_array_equal(data.x.numeric, x.astype(np.float64))
    assert data.classes == ("0", "1", "2")
    assert data.target.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (PIXELS, PIXELS),
        (PIXELS.transpose(0, 2, 3, 1), PIXELS),
        (PIXELS[:, 0], PIXELS[:, :1]),
        (PIXELS[:, :1], PIXELS[:, :1]),
        (PIXELS.astype(np.int64), PIXELS),
        (PIXELS / 255, PIXELS),
        ((PIXELS / 255).astype(np.float32), PIXELS),
        (PIXELS > 99, (PIXELS > 99) * 255),
    ],
)
def test_images_come_in_many_forms(tmp_path: Path, x: np.ndarray, expected: np.ndarray) -> None:
    data = read(save(tmp_path, X=x, y=Y))
    assert isinstance(data.x, torch.Tensor)
    assert data.x.dtype == torch.uint8
    np.testing.assert_array_equal(data.x, expected)
    assert data.notes == (("float images rounded to 8 bits",) if x.dtype.kind == "f" else ())


def test_classes_groups_and_parts_are_optional_arrays(tmp_path: Path) -> None:
    arrays = {
        "x": PIXELS,
        "y": [0, 1, 1, 0, 1, 1],
        "classes": ["no", "yes"],
        "split": ["train"] * 3 + ["test"] * 3,
    }
    data = read(save(tmp_path, **arrays, group=list("aabbcc")))
    assert data.classes == ("no", "yes")
    assert data.part.tolist() == arrays["split"]
    assert data.group.tolist() == [0, 0, 1, 1, 2, 2]
    other = read(save(tmp_path, **arrays, Patient=[5, 5, 5, 1, 1, 1]), group="Patient")
    assert other.group.tolist() == [1, 1, 1, 0, 0, 0]


def test_text_labels_and_columns_of_labels_are_read(tmp_path: Path) -> None:
    for kind in "US":
        named = read(save(tmp_path, X=PIXELS, y=np.array(["b", "a", "a", "b", "a", "b"], dtype=kind)))
        assert (named.classes, named.target.tolist()) == (("a", "b"), [1, 0, 0, 1, 0, 1])
    ordered = read(save(tmp_path, X=PIXELS, y=np.array(["b", "a", "a", "b", "a", "b"]), classes=["b", "a"]))
    assert (ordered.classes, ordered.target.tolist()) == (("b", "a"), [0, 1, 1, 0, 1, 0])
    assert read(save(tmp_path, X=PIXELS, y=Y[:, None])).target.tolist() == Y.tolist()


@pytest.mark.parametrize("style", ["X_{part}/y_{part}", "x_{part}/y_{part}", "{part}_images/{part}_labels"])
def test_parts_may_be_arrays_of_their_own(tmp_path: Path, style: str) -> None:
    arrays = {}
    for part, rows in (("train", slice(0, 3)), ("val", slice(3, 4)), ("test", slice(4, 6))):
        x, y = style.format(part=part).split("/")
        arrays |= {x: PIXELS[rows], y: np.array([0, 1, 1, 0, 0, 1])[rows]}
    data = read(save(tmp_path, **arrays))
    np.testing.assert_array_equal(data.x, PIXELS)
    assert data.target.tolist() == [0, 1, 1, 0, 0, 1]
    assert data.part.tolist() == ["train"] * 3 + ["val"] + ["test"] * 2


def test_without_labels_x_is_enough(tmp_path: Path) -> None:
    data = read(save(tmp_path, X=PIXELS[:1]), labelled=False)
    assert (data.classes, data.target.tolist()) == ((), [-1])
    assert set(read(save(tmp_path, X=PIXELS, y=Y), labelled=False).target.tolist()) == {-1}


def with_value(value: float) -> np.ndarray:
    x = np.zeros((6, 4))
    x[2, 3] = x[4, 1] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": PIXELS}, "expected arrays X and y .*, got x"),
        (
            {"X": with_value(np.nan), "y": Y},
            r"got 2 NaN or infinite values, the first \(nan\) at \(2, 3\); fill",
        ),
        ({"X": with_value(-np.inf), "y": Y}, r"the first \(-inf\) at \(2, 3\)"),
        ({"X": PIXELS * np.nan, "y": Y}, "360 NaN or infinite values"),
        ({"X": PIXELS / 2, "y": Y}, r"fractions in 0..1, got float64 from 0 to 127.5; rescale"),
        ({"X": PIXELS.astype(int) - 9, "y": Y}, "rescale"),
        ({"X": np.zeros((6, 5, 4, 2)), "y": Y}, r"with C 1 or 3, got \(6, .*2\)"),
        ({"X": np.zeros(6), "y": Y}, "expected X of shape"),
        ({"X": PIXELS, "y": Y[:4]}, r"expected y of shape \(6,\)"),
        ({"X": PIXELS, "y": Y + 0.5}, "expected classes .*, got 0.5"),
        ({"X": PIXELS, "y": np.where(Y == 1, np.nan, Y)}, "2 of 6 samples have no class"),
        ({"X": PIXELS, "y": Y, "classes": ["a", "b"]}, r"expected y within 0..1 for 2 classes, got 0..2"),
        ({"X": PIXELS, "y": Y, "split": ["trian", "test"] * 3}, "got 'trian'"),
        ({"X": np.array([[object()]] * 6), "y": Y}, "it holds Python objects"),
        ({"X": np.full((6, 2), "a"), "y": Y}, "expected X of numbers, got <U1"),
        ({"X": np.array(3.0), "y": Y}, r"expected samples in X, got the shape \(\)"),
        ({"X": np.zeros((0, 4)), "y": Y}, r"expected samples in X, got the shape \(0, 4\)"),
        ({"X": PIXELS, "y": np.array(1)}, r"expected y of shape \(6,\)"),
        ({"X": PIXELS, "y": Y, "classes": np.array("abc")}, r"expected classes of shape \(C,\), got \(\)"),
        ({"X": PIXELS, "y": Y, "group": PIXELS[:, 0]}, r"expected group of shape \(6,\), got \(6, 5, 4\)"),
        ({"X": PIXELS, "y": Y, "split": ["train", "test"]}, r"expected split of shape \(6,\), got \(2,\)"),
        (
            {"X": PIXELS, "y": Y, "classes": ["a", "b", "a"]},
            "each class to have a name of its own, got a twice",
        ),
        ({"X": PIXELS, "y": np.where(Y == 1, 1e300, Y)}, "whole numbers or texts.*got 1e.300"),
        ({"X": PIXELS, "y": np.where(Y == 1, np.inf, Y)}, "whole numbers or texts.*got inf"),
        ({"X": PIXELS, "y": Y, "x": PIXELS}, "expected one array 'x', in large or small letters, got two"),
        ({"X": PIXELS, "y": Y.astype("M8[s]")}, "array y: it holds datetime64"),
        (
            {"X_train": PIXELS, "y_train": Y[:5], "X_test": PIXELS, "y_test": Y},
            "one y for each X of the train",
        ),
        (
            {"X_train": PIXELS, "y_train": Y, "X_test": PIXELS, "y_test": Y.astype(str)},
            "parts of y to agree in shape and kind",
        ),
        ({"X": PIXELS, "y": Y * 0}, "at least two classes, got only 0"),
        (
            {"X_train": PIXELS, "y_train": Y, "X_test": PIXELS[:, :1], "y_test": Y},
            "parts of X to agree in shape",
        ),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(save(tmp_path, **arrays))


def test_bad_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.npz").write_bytes(b"PK no archive")
    with pytest.raises(InputError, match=r"cannot read .*b.npz"):
        read(str(tmp_path / "b.npz"))
    with pytest.raises(InputError, match=r"--target has no meaning for .*y"):
        read(save(tmp_path, X=PIXELS, y=Y), target="y")
    with pytest.raises(InputError, match="unknown group array 'patient'"):
        read(save(tmp_path, X=PIXELS, y=Y), group="patient")
    np.save(tmp_path / "one.npy", PIXELS)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(InputError, match=r"cannot read .*one.npz"):
        read(str(tmp_path / "one.npz"))


@pytest.mark.parametrize("shape", [(6, 4, 8, 9), (6, 1, 4, 8, 9), (6, 2, 4, 8, 9)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float64])
def test_volumes_keep_their_values(tmp_path: Path, shape: tuple[int, ...], kind: Any) -> None:
    x = RNG.integers(0, 200, shape).astype(kind)
    data = read(save(tmp_path, X=x, y=Y))
    assert isinstance(data.x, torch.Tensor)
    assert data.is_volume
    assert data.is_image
    assert data.x.dtype == (torch.uint8 if kind == np.uint8 else torch.float32)
    assert np.array_equal(data.x.numpy(), x.reshape(6, -1, 4, 8, 9))
    assert data.notes == ("volumes of 4 slices of 8 x 9",)


def test_volumes_are_standardised_by_channel_whatever_their_unit(tmp_path: Path) -> None:
    x = RNG.normal(size=(6, 2, 4, 5, 6)) * np.array([1e-6, 1e4])[:, None, None, None] + 7e-6
    data = read(save(tmp_path, X=x, y=Y))
    encoding = fit_encoding(data, np.arange(4))
    assert encoding.shape == (2, 4, 5, 6)
    assert Encoding.from_json(encoding.to_json()) == encoding
    inputs = encoding.inputs(data)
    assert isinstance(inputs, torch.Tensor)
    seen = encoding.normalise(inputs)[:4]
    assert seen.mean((0, 2, 3, 4)).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert seen.std((0, 2, 3, 4), correction=0).tolist() == pytest.approx([1, 1], rel=1e-4)


def test_volumes_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    holed = np.zeros((6, 4, 5, 6))
    holed[1, 2] = np.nan
    with pytest.raises(InputError, match="30 NaN or infinite values"):
        read(save(tmp_path, X=holed, y=Y))
    with pytest.raises(InputError, match="expected X of numbers"):
        read(save(tmp_path, X=np.full((6, 4, 4, 4), "a"), y=Y))
