"""Layouts of folders: which folder is a part, which a class, and what is left out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from steelyard._checks import InputError
from steelyard.data import read

if TYPE_CHECKING:
    from pathlib import Path

    from steelyard.data import Dataset


def laid_out(folder: Path, *names: str) -> Path:
    """``folder`` with images of these names, and empty files where the name is of another type."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
        else:
            path.write_text("no image")
    return folder


def found(data: Dataset) -> dict[str, tuple[str, str]]:
    """Class and part of every image."""
    classes = [data.classes[c] for c in data.target.tolist()]
    return dict(zip(data.sample, zip(classes, data.part.tolist(), strict=True), strict=True))


def test_what_is_no_image_is_counted_by_suffix(tmp_path: Path) -> None:
    laid_out(
        tmp_path, "a/1.png", "b/1.png", "b/1.dcm", "b/2.DCM", "a/deep/notes.txt", "a/LICENSE", "a/.x.png"
    )
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b", target_is_directory=True)
    data = read(str(tmp_path))
    assert set(found(data)) == {"a/1.png", "b/1.png"}
    (note,) = data.notes
    for counted in (
        "2 .dcm",
        "2 pipe, device or broken link",
        "1 .txt",
        "1 without a suffix",
        "1 linked folder",
    ):
        assert counted in note


def test_folders_without_images_are_left_out_by_name(tmp_path: Path) -> None:
    laid_out(tmp_path, "a/1.png", "b/1.png", "scans/1.dcm", "loose.png").joinpath("empty").mkdir()
    assert read(str(tmp_path)).notes == (
        f"folders in {tmp_path.name}/ left out, they hold no images: empty, scans",
        f"1 images in {tmp_path.name}/ left out, they lie in no class folder",
        "left out, for they are no images: 1 .dcm",
    )
    with pytest.raises(InputError, match=r"got no folder with images; .* they are no images: 1 .dcm"):
        read(str(laid_out(tmp_path / "none", "scans/1.dcm")))
    with pytest.raises(InputError, match=r"expected images, got none; .* they are no images: 1 .dcm"):
        read(str(tmp_path / "none"), labelled=False)


def test_folders_beside_parts_are_named(tmp_path: Path) -> None:
    laid_out(tmp_path, *(f"{part}/{name}/1.png" for part in ("train", "test", "extra") for name in "ab"))
    data = read(str(tmp_path))
    assert sorted({part for _, part in found(data).values()}) == ["test", "train"]
    (note,) = data.notes
    assert note.startswith("folders beside test/ left out, their names are of no part")
    assert note.endswith("extra (2 images)")


def test_a_part_of_unknown_name_is_told_from_a_class(tmp_path: Path) -> None:
    laid_out(tmp_path, *(f"{part}/{name}/1.png" for part in ("train", "holdout") for name in "ab"))
    data = read(str(tmp_path))
    assert data.classes == ("a", "b")
    assert "holdout (2 images)" in data.notes[0]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert read(str(laid_out(tmp_path / "flat", "train/1.png", "bus/1.png"))).classes == ("bus", "train")
    with pytest.raises(
        InputError, match=r"train/ may be a part or a class: it holds tram, and beside it lie bus"
    ):
        read(str(laid_out(tmp_path / "deep", "train/tram/1.png", "bus/1.png")))
    with pytest.raises(InputError, match=r"expected a folder per class in test/ and train/, got none.*\.csv"):
        read(str(laid_out(tmp_path / "unsorted", "train/1.png", "test/1.png")))


def test_a_test_part_alone_is_a_part(tmp_path: Path) -> None:
    data = read(str(laid_out(tmp_path, "test/a/1.png", "test/b/1.png")))
    assert found(data) == {"test/a/1.png": ("a", "test"), "test/b/1.png": ("b", "test")}


def test_parts_may_lie_in_the_class_folders(tmp_path: Path) -> None:
    laid_out(tmp_path, *(f"{name}/{part}/1.png" for part in ("train", "Test") for name in "ab"), "a/9.png")
    assert found(read(str(tmp_path))) == {
        "a/9.png": ("a", ""),
        **{f"{name}/train/1.png": (name, "train") for name in "ab"},
        **{f"{name}/Test/1.png": (name, "test") for name in "ab"},
    }


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    laid_out(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "1.png").rename(tmp_path / "a" / os.fsdecode(b"\xfc.png"))
    assert read(str(tmp_path)).sample[0] == r"a/\xfc.png"
    (tmp_path / "b").rename(tmp_path / os.fsdecode(b"\xfcber"))
    with pytest.raises(InputError, match=r"class folders in UTF-8, got b'\\xfcber'; rename"):
        read(str(tmp_path))
