"""Image files: decoding, and a list of files that looks like one tensor."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps

from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F"})
_ORIENTATION, _QUARTER_TURNS = 0x0112, frozenset({5, 6, 7, 8})  # EXIF tag; values that swap width and height

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Form:
    """What the header of an image file says; ``size`` is (H, W) as a viewer shows it."""

    size: tuple[int, int]
    grey: bool


@dataclass(frozen=True, eq=False, slots=True)
class ImageFiles:
    """Image files that stand for a tensor (N, C, H, W) of uint8 and are decoded on access."""

    paths: NDArray[np.object_]  # (N,) of Path
    channels: int  # 1 or 3
    size: tuple[int, int]  # (H, W)
    change: Callable[[Tensor], Tensor] | None = None  # made to what was decoded; keeps the shape

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W), as of the tensor."""
        return (len(self), self.channels, *self.size)

    def take(self, rows: NDArray[np.int64]) -> ImageFiles:
        """The files of ``rows``, still undecoded."""
        return replace(self, paths=self.paths[rows])

    def decoded(self, rows: NDArray[np.int64], threads: int | None = None) -> Tensor:
        """(B, C, H, W) uint8: the images of ``rows``, with the change.

        Raises:
            InputError: if a file cannot be decoded; names it.
        """
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)

        def fill(place: int) -> None:
            pixels = decode(self.paths[rows[place]], self.channels, self.size)
            images[place] = torch.from_numpy(pixels)

        in_threads(fill, range(len(rows)), threads)
        return images if self.change is None else self.change(images)


def form(path: Path, *, whole: bool) -> Form:
    """Size and colour of the image at ``path``, from its header; ``whole`` decodes it too, as a check.

    Raises:
        InputError: if the file is no readable image.
    """
    try:  # what a decoder raises on foreign bytes is its own affair: any error means "unreadable"
        with Image.open(path) as image:
            height, width = image.height, image.width
            if image.getexif().get(_ORIENTATION) in _QUARTER_TURNS:
                height, width = width, height
            if whole:
                image.load()
            return Form((height, width), image.mode in _GREY)
    except Exception as error:  # noqa: BLE001
        raise _unreadable(path, error) from None


def decode(path: Path, channels: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(C, H, W): the image at ``path``, upright by its EXIF orientation, brought to ``size`` (H, W).

    Raises:
        InputError: if the file is no readable image.
    """
    try:  # any error means "unreadable", as above
        with Image.open(path) as image:
            upright = _eight_bit(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
            if (upright.height, upright.width) != size:
                upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)  # antialiased when it shrinks
            pixels = np.array(upright)
    except Exception as error:  # noqa: BLE001
        raise _unreadable(path, error) from None
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that is no readable image."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(
        f"cannot read the image {path} ({reason}); mend or remove it, or give --skip-unreadable."
    )


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> list[Result]:
    """``[work(item) for item in items]`` by several threads; decoders release the interpreter's lock."""
    threads = threads or min(8, os.cpu_count() or 1)
    if threads == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Sixteen-bit grey scaled to eight bits: ``convert`` alone would clip it to white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.array(image).astype(np.uint32) // 257).astype(np.uint8))
