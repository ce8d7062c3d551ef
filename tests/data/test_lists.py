"""Tables that list images by their paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from steelyard._checks import InputError
from steelyard.data import Table, read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images of one grey value each, in ``scans/``."""
    (tmp_path / "scans").mkdir()
    for value in range(6):
        Image.fromarray(np.full((4, 5), value, np.uint8)).save(tmp_path / "scans" / f"{value}.png")
    return tmp_path


def listed(folder: Path, head: str, *rows: str) -> str:
    path = folder / "list.csv"
    path.write_text("\n".join([head, *rows]))
    return str(path)


def values(x: object) -> list[int]:
    assert isinstance(x, torch.Tensor)
    return x[:, 0, 0, 0].tolist()


def test_paths_with_classes_parts_and_groups(folder: Path) -> None:
    order = [3, 1, 0, 2, 5, 4]
    rows = [f"scans/{n}.png,{'ab'[n % 2]},{'train' if n < 4 else 'test'},p{n // 2},{n}" for n in order]
    table = listed(folder, "path,label,split,patient,age", *rows)
    data = read(table, target="label", group="patient")
    assert values(data.x) == order
    assert (data.classes, data.target.tolist()) == (("a", "b"), [1, 1, 0, 0, 1, 0])
    assert data.part.tolist() == ["train"] * 4 + ["test"] * 2
    assert data.group.tolist() == [1, 0, 0, 1, 2, 2]
    assert list(data.sample) == [f"scans/{n}.png" for n in order]
    assert data.notes == ("images named by the column path", "not used beside the images: age")
    assert set(read(table, labelled=False).target.tolist()) == {-1}
    sized = read(table, target="label", image_size=3, memory_limit=10)
    assert sized.x.shape == (6, 1, 3, 3)


@pytest.mark.parametrize("target", [None, "wet,cold", "cold"])
def test_several_labels_are_columns_of_0_and_1(folder: Path, target: str | None) -> None:
    table = listed(folder, "image,wet,cold", *(f"scans/{n}.png,{n % 2},{int(n > 2)}" for n in range(6)))
    data = read(table, target=target)
    if target == "cold":
        assert (data.classes, data.target.tolist()) == (("0", "1"), [0, 0, 0, 1, 1, 1])
    else:
        assert data.classes == ("wet", "cold")
        assert data.target.T.tolist() == [[0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1]]


def test_paths_may_be_absolute_or_of_windows_and_in_parquet(folder: Path) -> None:
    paths = [str(folder / "scans" / "0.png"), "scans\\1.png", "./scans/2.png"]
    parquet.write_table(pa.table({"file": paths, "y": ["a", "b", "a"]}), folder / "list.parquet")
    assert values(read(str(folder / "list.parquet"), target="y").x) == [0, 1, 2]


def test_images_that_are_not_there_are_named_or_skipped(folder: Path) -> None:
    table = listed(folder, "path,y", "scans/9.png,a", *(f"scans/{n}.png,{'ab'[n % 2]}" for n in range(4)))
    with pytest.raises(InputError, match=r"scans/9.png.*--skip-unreadable"):
        read(table, target="y")
    data = read(table, target="y", skip_unreadable=True)
    assert (values(data.x), data.target.tolist()) == ([0, 1, 2, 3], [0, 1, 0, 1])
    assert "1 of 5 images unreadable and skipped" in data.notes[1]


def test_a_table_that_names_images_elsewhere_stays_a_table(folder: Path) -> None:
    table = listed(folder, "path,age,y", *(f"far/{n % 3}.png,{n},{'ab'[n % 2]}" for n in range(30)))
    assert isinstance(read(table, target="y").x, Table)
    with pytest.raises(InputError, match=r"--image-size has no meaning for .*it names no images"):
        read(table, target="y", image_size=8)


@pytest.mark.parametrize(
    ("head", "rows", "target", "message"),
    [
        ("path,y", ["far/0.png,a", "far/1.png,b"], "y", "column path: expected paths of images.*far/0.png"),
        ("path,y", ["scans/0.png,a", ",b"], "y", "1 of 2 rows name no image"),
        (
            "path,y",
            ["scans/0.png,a", "scans/0.png,b"],
            "y",
            "each image once, got 'scans/0.png' more",
        ),
        ("path,y", ["scans/0.png,a", "scans/1.png,b"], None, "expected --target COLUMN, one of y"),
        ("path", ["scans/0.png", "scans/1.png"], None, "expected --target COLUMN, one of none"),
        ("path,y,z", ["scans/0.png,0,2", "scans/1.png,1,0"], "y,z", "column z: expected labels of 0 and 1"),
        ("path,y,z", ["scans/0.png,0,2", "scans/1.png,1,0"], "y,x", "unknown target column 'x'"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(
    folder: Path, head: str, rows: list[str], target: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(listed(folder, head, *rows), target=target)
