"""Archives that are damaged, or claim to be larger than they are."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from steelyard._checks import InputError
from steelyard.data import read

if TYPE_CHECKING:
    from pathlib import Path

X, Y = np.random.default_rng(0).normal(size=(6, 4)), np.array([0, 1, 1, 0, 1, 0])


def member(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(path: Path, compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> str:
    with zipfile.ZipFile(path / "a.npz", "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return str(path / "a.npz")


def claiming(shape: str, values: bytes = bytes(8)) -> bytes:
    """A member whose header says ``shape``, whatever values it has."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "magic string"),
        (b"no array", "magic string"),
        (member(X)[:100], "array header"),
        (member(X)[:-5], "array x: its header says .6, 4. of float64"),
        (claiming("(6, 4"), "cannot read"),
        (claiming("(1000000000000,)"), r"its header says \(1000000000000,\) of float64, 8000000000128 bytes"),
        (claiming("(-1,)"), r"its header says \(-1,\)"),
        (claiming("(((((("), "cannot read"),
        (claiming("'a'"), "shape is not valid"),
        (member(X)[:6] + b"\x07" + member(X)[7:], "cannot read"),
    ],
)
def test_members_that_are_no_arrays_are_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(archive(tmp_path, X=content, y=member(Y)))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_flipped_bytes_are_found(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "a.npz"
    archive(tmp_path, compression, X=member(X), y=member(Y))
    content = bytearray(path.read_bytes())
    content[200] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*a.npz"):
        read(str(path))


def test_unknown_compression_and_encryption_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    archive(tmp_path, X=member(X), y=member(Y))
    whole = path.read_bytes()
    entry = whole.index(b"PK\x01\x02")
    for place, value in ((entry + 10, 99), (entry + 8, 1)):  # method, and the flag of encryption
        content = bytearray(whole)
        content[place] = value
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"cannot read .*a.npz"):
            read(str(path))


def test_what_inflates_beyond_measure_is_refused_before(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("X.npy", "w") as stream:
            stream.write(claiming("(37000000,)", b""))
            for _ in range(37):
                stream.write(bytes(8_000_000))
        file.writestr("y.npy", member(Y))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"inflate to 0.3 GiB, more than 100 times the file"):
        read(str(tmp_path / "a.npz"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_only_what_is_needed_is_read(tmp_path: Path) -> None:
    further = {"masks": b"damaged", "X_train": b"damaged", "readme": b""}
    data = read(archive(tmp_path, X=member(X), y=member(Y), **further))
    assert data.target.tolist() == Y.tolist()
    assert len(read(archive(tmp_path, X=member(X), y=b"damaged"), labelled=False)) == 6
