"""Folders of images, written here with Pillow."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from steelyard._checks import InputError
from steelyard.data import Dataset, ImageFiles, read

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 4, 3)).astype(np.uint8)  # 6 high, 4 wide
GREY = RNG.integers(0, 256, (6, 4)).astype(np.uint8)


def put(path: Path, pixels: np.ndarray = COLOUR, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def pixels_of(data: Dataset) -> np.ndarray:
    assert isinstance(data.x, torch.Tensor)
    return data.x.numpy()


def test_a_folder_is_called_as_the_user_calls_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = folder.with_name("mine")
    link.symlink_to(folder, target_is_directory=True)
    assert read(link).name == "mine"
    monkeypatch.chdir(folder)
    assert read(".").name == "pets"
    assert read("../mine/../pets/cat/..").name == "pets"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of two images each."""
    for name in ("cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"):
        put(tmp_path / "pets" / name)
    return tmp_path / "pets"


def test_class_folders_are_the_classes(folder: Path) -> None:
    put(folder / ".hidden" / "x.png")
    put(folder / "cat" / ".cache" / "x.png")
    put(folder / "dog" / "deeper" / "5.PNG")
    (folder / "cat" / "readme.txt").write_text("no image")
    data = read(str(folder))
    assert data.name == "pets"
    assert data.classes == ("cat", "dog")
    assert data.target.tolist() == [0, 0, 1, 1, 1]
    assert list(data.sample) == ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/deeper/5.PNG"]
    np.testing.assert_array_equal(pixels_of(data)[0].transpose(1, 2, 0), COLOUR)
    assert data.notes == ("left out, for they are no images: 1 .txt",)
    assert set(data.part) == {""}


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val", "dev"])
def test_part_folders_are_the_parts(tmp_path: Path, val: str) -> None:
    for part in ("train", val, "test"):
        for name in ("a", "b"):
            put(tmp_path / part / name / "1.png")
    data = read(str(tmp_path))
    assert dict(zip(data.sample, data.part.tolist(), strict=True)) == {
        f"{part}/{name}/1.png": "val" if part == val else part
        for part in ("train", val, "test")
        for name in "ab"
    }


def test_a_class_named_test_is_a_class_where_there_is_no_train(tmp_path: Path) -> None:
    put(tmp_path / "test" / "1.png")
    put(tmp_path / "placebo" / "1.png")
    assert read(str(tmp_path)).classes == ("placebo", "test")


@pytest.mark.parametrize("suffix", ["jpg", "jfif", "png", "webp", "bmp", "tif", "TIFF", "gif", "ppm", "jp2"])
def test_every_format_is_read(folder: Path, suffix: str) -> None:
    path = put(folder / "cat" / f"0.{suffix}")
    with Image.open(path) as image:
        expected = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(pixels_of(read(str(folder)))[0].transpose(1, 2, 0), expected)


def test_grey_images_have_one_channel_unless_one_is_coloured(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png", GREY)
    put(tmp_path / "b" / "1.png", GREY)
    assert pixels_of(read(str(tmp_path))).shape == (2, 1, 6, 4)
    np.testing.assert_array_equal(pixels_of(read(str(tmp_path)))[0, 0], GREY)
    put(tmp_path / "b" / "2.png")
    mixed = pixels_of(read(str(tmp_path)))
    assert mixed.shape == (3, 3, 6, 4)
    np.testing.assert_array_equal(mixed[0], np.stack([GREY] * 3))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("memory_limit", [10, 10**6])
def test_values_of_more_than_eight_bits_are_kept(tmp_path: Path, suffix: str, memory_limit: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = GREY.astype(np.uint16) * 16 + 5  # 12 bits
    for name in ("a", "b"):
        put(tmp_path / name / f"1.{suffix}", deep, exif=exif)
    data = read(str(tmp_path), memory_limit=memory_limit)
    x = data.x if isinstance(data.x, torch.Tensor) else data.x.decoded(np.arange(2))
    assert x.dtype == torch.float32
    np.testing.assert_array_equal(x[0, 0], np.rot90(deep, 3))
    assert data.notes == (
        "images of more than 8 bits: their values are kept, and scaled by the training part",
    )


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (GREY, "got 1 of more than 8 bits .*b/1.tif.* beside 1 of 8 bits"),
        (np.full((6, 4), np.nan, np.float32), "NaN or infinite values"),
    ],
)
def test_depths_that_do_not_compare_are_refused(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    put(tmp_path / "a" / "1.tif", pixels)
    put(tmp_path / "b" / "1.tif", GREY.astype(np.float32))
    with pytest.raises(InputError, match=message):
        read(str(tmp_path))


def test_what_decoding_leaves_out_is_said(folder: Path) -> None:
    put(folder / "cat" / "1.tif", COLOUR, save_all=True, append_images=[Image.fromarray(COLOUR // 2)])
    (folder / "dog" / "5.png").write_bytes(png_of_16_bits(COLOUR.astype(">u2") * 257))
    data = read(str(folder))
    np.testing.assert_array_equal(pixels_of(data)[-1].transpose(1, 2, 0), COLOUR)
    first, second = data.notes
    assert first == "1 of 6 images with several frames or pages, of which the first is read"
    assert second.startswith("1 of 6 images of 16 bits a colour, of which the upper 8 are read")


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """A PNG of 16-bit colours, which Pillow does not write."""
    height, width, _ = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (8, 1), (3, 2), (6, 3)])
def test_exif_orientation_is_honoured(tmp_path: Path, suffix: str, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a", "b"):
        put(tmp_path / name / f"1.{suffix}", exif=exif)
    data = read(str(tmp_path))
    np.testing.assert_array_equal(pixels_of(data)[0].transpose(1, 2, 0), np.rot90(COLOUR, turns))
    assert data.notes == ()


def test_mixed_sizes_come_to_the_most_frequent_or_the_one_asked_for(folder: Path) -> None:
    flat = np.full((8, 8, 3), 77, dtype=np.uint8)
    put(folder / "cat" / "big.png", flat)
    data = read(str(folder))
    assert pixels_of(data).shape == (5, 3, 6, 4)
    assert (pixels_of(data)[list(data.sample).index("cat/big.png")] == 77).all()
    assert data.notes == (
        "1 of 5 images resized to 6 x 4 (height x width), the most frequent size; --image-size sets another",
    )
    asked = read(str(folder), image_size=(5, 7))
    assert pixels_of(asked).shape == (5, 3, 5, 7)
    assert asked.notes == ("5 of 5 images resized to 5 x 7 (height x width), as asked",)
    assert pixels_of(read(str(folder), image_size=8)).shape == (5, 3, 8, 8)


def test_large_folders_stay_files_with_the_same_pixels(folder: Path) -> None:
    whole, files = read(str(folder)), read(str(folder), memory_limit=10)
    assert isinstance(files.x, ImageFiles)
    assert files.x.shape == pixels_of(whole).shape
    rows = np.array([3, 0])
    assert torch.equal(files.x.decoded(rows), whole.x[rows])
    assert torch.equal(files.x.decoded(rows, threads=1), whole.x[rows])
    swapped = files.select_classes(["dog", "cat"])
    assert swapped.target.tolist() == [1, 1, 0, 0]
    assert [path.name for path in swapped.x.paths] == ["1.png", "2.png", "3.png", "4.png"]


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
@pytest.mark.parametrize("memory_limit", [10, 10**6])
def test_unreadable_images_are_named_or_skipped(folder: Path, content: bytes, memory_limit: int) -> None:
    bad = folder / "cat" / "bad.png"
    bad.write_bytes(content)
    with pytest.raises(InputError, match=rf"cannot read the image {bad} .*--skip-unreadable"):
        read(str(folder), memory_limit=memory_limit)
    data = read(str(folder), skip_unreadable=True, memory_limit=memory_limit)
    assert len(data) == 4
    assert data.notes == (f"1 of 5 images unreadable and skipped: {bad}",)


def test_a_cut_off_image_is_found_too(folder: Path) -> None:
    bad = folder / "cat" / "bad.jpg"
    noise = RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    put(bad, noise)
    bad.write_bytes(bad.read_bytes()[:2000])  # the header is whole
    with pytest.raises(InputError, match=r"cannot read the image .*bad.jpg"):
        read(str(folder))
    files = read(str(folder), memory_limit=10)
    with pytest.raises(InputError, match=r"cannot read the image .*bad.jpg"):
        files.x.decoded(np.arange(5))
    assert len(read(str(folder), memory_limit=10, skip_unreadable=True)) == 4


def test_without_labels_every_image_below_counts(folder: Path) -> None:
    put(folder / "loose.png")
    data = read(str(folder), labelled=False)
    assert (len(data), data.classes, set(data.target.tolist())) == (5, (), {-1})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/1.png"], "expected at least two classes, got only a"),
        ([], "expected one folder of images per class"),
        (
            ["train/a/1.png", "train/b/1.png", "test/a/1.png"],
            "labels differ between train and test: 'b' only in train",
        ),
        (
            ["train/a/1.png", "test/a/1.png", "test/b/1.png"],
            "labels differ between test and train: 'b' only in test",
        ),
    ],
)
def test_folders_without_two_agreeing_classes_are_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    for name in names:
        put(tmp_path / name)
    with pytest.raises(InputError, match=message):
        read(str(tmp_path))


def test_other_bad_folders_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="image_size must be at least 1"):
        read(str(folder), image_size=0)
    with pytest.raises(InputError, match=r"--target has no meaning for .*pets"):
        read(str(folder), target="dx")


@pytest.mark.parametrize(
    "naming",
    [lambda c, n: f"{c}/{n}.png", lambda _, n: f"{n}.png", lambda _, n: n],
    ids=["path", "name", "stem"],
)
@pytest.mark.parametrize("place", ["inside", "beside", "given"])
def test_groups_come_from_the_metadata(folder: Path, naming: object, place: str) -> None:
    lines = [
        f"{i},{naming(c, n)},p{int(n) // 3},7"
        for i, (c, n) in enumerate([("dog", 4), ("cat", 1), ("dog", 3), ("cat", 2)])
    ]
    path = {"inside": folder, "beside": folder.parent, "given": folder.parent / "x"}[place] / "metadata.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["row,image,patient,age", *lines]))
    data = read(str(folder), group="patient", metadata=path if place == "given" else None)
    assert data.group.tolist() == [0, 0, 1, 1]  # images 1, 2 of patient p0; 3, 4 of p1


def test_metadata_that_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gives the column 'patient'.*give --metadata FILE"):
        read(str(folder), group="patient")
    with pytest.raises(InputError, match=r"found no .*nowhere.csv"):
        read(str(folder), group="patient", metadata=tmp_path / "nowhere.csv")
    table = tmp_path / "metadata.csv"
    table.write_text("image,patient\n1,a\n2,b\n3,c\n")
    with pytest.raises(InputError, match="a row for each of the 4 images, found 3; no row names '4'"):
        read(str(folder), group="patient")
    with pytest.raises(InputError, match="Did you mean 'patient'"):
        read(str(folder), group="patients")
    with pytest.raises(InputError, match="add --group COLUMN"):
        read(str(folder), metadata=table)
    table.write_text("image,patient\n1,a\n1,b\n2,b\n3,c\n4,c\n")
    with pytest.raises(InputError, match="'1' does not tell one image from another"):
        read(str(folder), group="patient")
    table.write_text("image,patient\n1,a\n2,b\n3,\n4,c\n")
    with pytest.raises(InputError, match="1 of 4 samples have no group"):
        read(str(folder), group="patient")
    put(folder / "dog" / "1.png")
    table.write_text("image,patient\n1,a\n2,b\n3,c\n4,c\n")
    with pytest.raises(InputError, match="does not tell one image from another; give paths"):
        read(str(folder), group="patient")
