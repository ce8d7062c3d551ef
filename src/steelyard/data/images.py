"""Image files: decoding, and a list of files that looks like one tensor."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

_OTHER_PROGRAMS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}  # Pillow has no decoder of its own
_EXTENSIONS = {  # of every format that Pillow reads
    suffix: kind
    for suffix, kind in Image.registered_extensions().items()
    if kind in Image.OPEN and kind not in _OTHER_PROGRAMS
}
SUFFIXES = frozenset(_EXTENSIONS)
_FORMATS = sorted(set(_EXTENSIONS.values()))
_DEEP = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})  # modes of one value with more than 8 bits
_GREY = _DEEP | {"1", "L", "LA", "La"}
_ORIENTATION, _QUARTER_TURNS = 0x0112, frozenset({5, 6, 7, 8})  # EXIF tag; values that swap width and height
MOST_PIXELS = 50_000_000  # that are decoded of one image: 200 MB
_MANY_PIXELS = 10_000_000  # images beyond are decoded one at a time, whatever the number of threads
_one_at_a_time = Lock()

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Form:
    """What the header of an image file says; ``size`` is (H, W) as a viewer shows it."""

    size: tuple[int, int]
    grey: bool
    deep: bool = False  # one value per pixel, of more than 8 bits
    lost: str = ""  # what decoding leaves out of the file, in plain words


@dataclass(frozen=True, eq=False, slots=True)
class ImageFiles:
    """Image files that stand for a tensor (N, C, H, W) and are decoded on access.

    The tensor is of uint8, or, of ``deep`` files, of float32 with the values that the files hold.
    """

    paths: NDArray[np.object_]  # (N,) of Path
    channels: int  # 1 or 3
    size: tuple[int, int]  # (H, W)
    change: Callable[[Tensor], Tensor] | None = None  # made to what was decoded; keeps the shape
    deep: bool = False  # whether a pixel is one value of more than 8 bits

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W), as of the tensor."""
        return (len(self), self.channels, *self.size)

    @property
    def nbytes(self) -> int:
        """What the decoded tensor takes."""
        return math.prod(self.shape) * (4 if self.deep else 1)

    def take(self, rows: NDArray[np.int64]) -> ImageFiles:
        """The files of ``rows``, still undecoded."""
        return replace(self, paths=self.paths[rows])

    def decoded(self, rows: NDArray[np.int64], threads: int | None = None) -> Tensor:
        """(B, C, H, W): the images of ``rows``, with the change.

        Raises:
            InputError: if a file cannot be decoded; names it.
        """
        kind = torch.float32 if self.deep else torch.uint8
        images = torch.empty((len(rows), *self.shape[1:]), dtype=kind)

        def fill(place: int) -> None:
            pixels = decode(self.paths[rows[place]], self.channels, self.size, deep=self.deep)
            images[place] = torch.from_numpy(pixels)

        in_threads(fill, range(len(rows)), threads)
        return images if self.change is None else self.change(images)


def form(path: Path, *, whole: bool) -> Form:
    """Size, colour and depth of the image at ``path``, from its header; ``whole`` decodes it as a check.

    Raises:
        InputError: if the file is no readable image, or would take more than ``MOST_PIXELS``.
    """
    with _opened(path) as image:
        height, width = (image.width, image.height) if _turned(image) else (image.height, image.width)
        found = Form((height, width), image.mode in _GREY, image.mode in _DEEP, _lost(image))
        image.draft(None, (1, 1))
        with _bounded(image):
            if whole and found.deep:
                _finite(image)
            elif whole:
                image.load()
        return found


def decode(
    path: Path, channels: int, size: tuple[int, int], *, deep: bool = False
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """(C, H, W): the image at ``path``, upright by its EXIF orientation, brought to ``size`` (H, W).

    A JPEG is decoded at a half, a quarter or an eighth where that is still twice ``size``: the decoder
    leaves out what shrinking would average away. With ``deep`` the values are those of the file, as float32.

    Raises:
        InputError: if the file is no readable image, or its depth is not as ``deep`` says.
    """
    with _opened(path) as image:
        height, width = size[::-1] if _turned(image) else size
        image.draft(None, (2 * width, 2 * height))
        if (image.mode in _DEEP) != deep:
            raise ValueError(f"it has {'8' if deep else 'more than 8'} bits a pixel, unlike the others")
        with _bounded(image):
            ImageOps.exif_transpose(image, in_place=True)
            read = Image.fromarray(_finite(image)) if deep else image.convert("L" if channels == 1 else "RGB")
            if (read.height, read.width) != size:
                read = read.resize(size[::-1], Image.Resampling.BILINEAR)  # antialiased when it shrinks
        pixels = np.array(read)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image at ``path``; whatever goes wrong with it is an error that names the file."""
    try:  # what a decoder raises on foreign bytes is its own affair: any error means "unreadable"
        # From a path Pillow would map some files into memory, and scramble turned TIFFs by that.
        with _regular(path).open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            yield image
    except Exception as error:  # noqa: BLE001
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "no format of images" if unknown else " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"cannot read the image {path} ({reason}); mend or remove it, or give --skip-unreadable."
        ) from None


def _regular(path: Path) -> Path:
    """``path``, if it is no pipe, which would wait, and no device, which might never end."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    return path


@contextmanager
def _bounded(image: Image.Image) -> Iterator[None]:
    """Hold decoding of ``image`` to the memory of one large image, also where several threads decode."""
    pixels = image.width * image.height
    if pixels > MOST_PIXELS:
        raise ValueError(
            f"it has {image.width} x {image.height} pixels, expected at most {MOST_PIXELS // 10**6} million"
        )
    if pixels <= _MANY_PIXELS:
        yield
        return
    with _one_at_a_time:
        yield


def _turned(image: Image.Image) -> bool:
    """Whether EXIF swaps width and height as stored; of a TIFF, Pillow gives them as they are shown."""
    exif = Image.Image.getexif(image)  # that of a PNG would decode it, to look behind the pixels too
    return image.format != "TIFF" and exif.get(_ORIENTATION) in _QUARTER_TURNS


def _finite(image: Image.Image) -> NDArray[np.float32]:
    """(H, W) values of a deep image."""
    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite values")
    return values


def _lost(image: Image.Image) -> str:
    """What decoding leaves out: frames after the first, or of colours the lower 8 of 16 bits."""
    if image.format not in ("MPO", "PSD") and getattr(image, "is_animated", False):
        return "with several frames or pages, of which the first is read"
    if image.mode not in _DEEP and any(";16" in str(tile.args) for tile in getattr(image, "tile", ())):
        return "of 16 bits a colour, of which the upper 8 are read: content of 10 to 14 bits loses its detail"
    return ""


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> list[Result]:
    """``[work(item) for item in items]`` by several threads; decoders release the interpreter's lock."""
    threads = threads or min(8, os.cpu_count() or 1)
    if threads == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))
