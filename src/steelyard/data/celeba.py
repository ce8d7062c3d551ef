"""Folders laid out as CelebA is: images, a list of the attributes of each, and the part it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from steelyard._checks import InputError
from steelyard.data.dataset import PARTS, Dataset
from steelyard.data.folders import images_of, name_of
from steelyard.data.layout import File

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ATTRIBUTES = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"
_IMAGES = "img_align_celeba"


def read_celeba(
    folder: Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
    memory_limit: int,
) -> Dataset:
    """The images in ``folder`` and, as labels of 0 and 1, their attributes.

    ``list_attr_celeba.txt`` gives the number of images, the names of the attributes, and for each image its
    file and -1 or 1 for each attribute. ``list_eval_partition.txt`` gives for each image 0 (train), 1 (val)
    or 2 (test); without it parts are drawn. The images lie in ``img_align_celeba/``, or beside the lists.

    References:
        Liu, Luo, Wang, Tang, "Deep learning face attributes in the wild", ICCV 2015.

    Raises:
        InputError: if a list is not of this form, or names an image that is not there or not readable.
    """
    names, classes, target = _attributes(folder / ATTRIBUTES)
    part = _parts(folder / PARTITION, names)
    inside = folder / _IMAGES
    place = inside if inside.is_dir() else folder
    files = [File(place / name, part.get(name, ""), name) for name in names]
    kept, x, notes = images_of(
        files, image_size=image_size, skip_unreadable=skip_unreadable, memory_limit=memory_limit
    )
    row = {name: number for number, name in enumerate(names)}
    return Dataset(
        name_of(folder),
        x,
        torch.from_numpy(target[[row[file.label] for file in kept]]),
        classes,
        part=np.array([file.part for file in kept], dtype="<U5"),
        sample=[file.path.relative_to(folder).as_posix() for file in kept],
        notes=notes,
    )


def _attributes(path: Path) -> tuple[list[str], tuple[str, ...], NDArray[np.int64]]:
    """File names (N,), names of the attributes (L,) and (N, L) of 0 and 1."""
    number, header, *lines = [*_text(path).split("\n"), "", ""]
    lines = [line for line in lines if line.strip()]
    if not lines or number.strip() != str(len(lines)):
        raise InputError(
            f"{path}: expected the number of images in the first line, the names of the attributes in the "
            f"second and a line per image below, got {number.strip()!r} above {len(lines)} images."
        )
    classes = tuple(header.split())
    names, target = [], np.empty((len(lines), len(classes)), dtype=np.int64)
    for row, line in enumerate(lines):
        name, *values = line.split()
        if len(values) != len(classes) or not set(values) <= {"-1", "1"}:
            raise InputError(
                f"{path}: expected -1 or 1 for each of the {len(classes)} attributes of {name}, "
                f"got {' '.join(values)}."
            )
        names.append(name)
        target[row] = [value == "1" for value in values]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: expected each image once, got some of them twice.")
    astray = next((name for name in names if name.startswith("/") or ".." in name.split("/")), None)
    if astray is not None:
        raise InputError(f"{path}: expected names of files in the folder, got {astray!r}.")
    return names, classes, target


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: expected a file with a list, got a folder, a pipe or a device.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected text in UTF-8, got other bytes at {error.start}.") from None


def _parts(path: Path, names: list[str]) -> dict[str, str]:
    """The part of each image by its file name; empty where there is no list."""
    if not path.exists():
        return {}
    rows = [line.split() for line in _text(path).splitlines() if line.strip()]
    numbers = {str(number): part for number, part in enumerate(PARTS)}
    wrong = next((row for row in rows if len(row) != 2 or row[1] not in numbers), None)
    if wrong is not None:
        raise InputError(
            f"{path}: expected a file name and 0 (train), 1 (val) or 2 (test) in each line, "
            f"got {' '.join(wrong)!r}."
        )
    found = {name: numbers[number] for name, number in rows}
    absent = [name for name in names if name not in found]
    if absent:
        raise InputError(f"{path}: expected a line for each image, got none for {absent[0]}.")
    return found
