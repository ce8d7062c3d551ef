"""The arrays of an ``.npz``, looked at before any memory is taken for them."""

from __future__ import annotations

import math
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_format: Any = np.lib.format  # without types
_SMALL = 2**28  # bytes that an archive may inflate to, whatever its own size
_MOST_INFLATED = 100  # times its own size that a larger one may; zeros alone inflate a thousand times


@dataclass(frozen=True, slots=True)
class Archive:
    """An ``.npz`` whose arrays are known by name, lower-case, and are read one by one."""

    path: Path
    members: dict[str, zipfile.ZipInfo]

    def read(self, names: list[str]) -> dict[str, NDArray[Any]]:
        """Those of ``names`` that are there.

        Raises:
            InputError: if one is damaged, holds objects, or they inflate to far more than the file's size.
        """
        wanted = [name for name in names if name in self.members]
        size = sum(self.members[name].file_size for name in wanted)
        if size > max(_SMALL, _MOST_INFLATED * self.path.stat().st_size):
            raise InputError(
                f"{self.path}: its arrays would inflate to {size / 2**30:.1f} GiB, more than "
                f"{_MOST_INFLATED} times the file; if that is right, save it uncompressed, by numpy.savez."
            )
        with _damage_told(self.path), zipfile.ZipFile(self.path) as file:
            return {name: _array(file, name, self.members[name]) for name in wanted}


def open_archive(path: Path) -> Archive:
    """The archive at ``path``.

    Raises:
        InputError: if it is damaged, or two of its arrays have one name.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    with _damage_told(path), zipfile.ZipFile(path) as file:
        entries = [entry for entry in file.infolist() if entry.filename.endswith(".npy")]
    for entry in entries:
        name = entry.filename.removesuffix(".npy").lower()
        if name in members:
            raise InputError(f"{path}: expected one array {name!r}, in large or small letters, got two.")
        members[name] = entry
    return Archive(path, members)


def _array(file: zipfile.ZipFile, name: str, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """The array of one entry; its header has to fit the entry's size."""
    with file.open(entry) as stream:
        version = _format.read_magic(stream)
        read_header = _format.read_array_header_1_0 if version == (1, 0) else _format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        size = stream.tell() + math.prod(shape) * dtype.itemsize
    if dtype.kind not in "fiubUS" or not dtype.itemsize:
        raise ValueError(f"array {name}: it holds {'Python objects' if dtype.hasobject else dtype}")
    if size != entry.file_size or min(shape, default=0) < 0:
        raise ValueError(
            f"array {name}: its header says {shape} of {dtype}, {size} bytes, and it has {entry.file_size}"
        )
    with file.open(entry) as stream:
        array: NDArray[Any] = _format.read_array(stream, allow_pickle=False)
        stream.read(1)  # only at the end of the entry is its checksum compared
        return array


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn whatever zipfile, zlib and NumPy raise on a damaged file into one line that names it."""
    try:
        yield
    except OSError as error:
        if error.filename:  # the file is not there, or may not be read
            raise
        raise _damaged(path, error) from None
    except Exception as error:  # noqa: BLE001 - these readers raise errors of a dozen kinds
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(
        f"cannot read {path} ({reason}); save plain arrays of numbers and texts with numpy.savez."
    )
