"""Downloads of the data sets with a name: from their official address, checked, whole or absent."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from steelyard._checks import InputError, one_of
from steelyard._files import written_whole
from steelyard.data.builtin import data_root

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Source:
    """A file to download: a data file as it is, or a ``.tar.gz`` that holds the folder ``unpacks_to``."""

    url: str
    md5: str  # as published beside the file
    unpacks_to: str = ""


_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"  # PyTorch's mirror; the first home serves no more
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_CIFAR = "https://www.cs.toronto.edu/~kriz/"

SOURCES: Mapping[str, tuple[Source, ...]] = MappingProxyType(
    {
        "mnist": (
            Source(_MNIST + "train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            Source(_MNIST + "train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
            Source(_MNIST + "t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
            Source(_MNIST + "t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        "fashion-mnist": (
            Source(_FASHION + "train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            Source(_FASHION + "train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
            Source(_FASHION + "t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
            Source(_FASHION + "t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
        "cifar10": (
            Source(
                _CIFAR + "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin"
            ),
        ),
        "cifar100": (
            Source(
                _CIFAR + "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary"
            ),
        ),
    }
)


def fetch(name: str, root: Path | None = None) -> Path:
    """Download the data set ``name`` into ``root`` unless it is there; return its folder.

    ``root`` is by default :func:`data_root`.

    Raises:
        InputError: if the name is unknown, the address does not answer, or the file is not the published one.
    """
    folder = (root or data_root()) / one_of("data set to fetch", name, SOURCES)
    for source in SOURCES[name]:
        if source.unpacks_to and not (folder / source.unpacks_to).exists():
            with tempfile.TemporaryDirectory() as temporary:
                archive = Path(temporary) / "archive.tar.gz"
                _download(source, archive)
                _unpack(archive, folder / source.unpacks_to)
        elif not source.unpacks_to and not (folder / _file_name(source)).exists():
            with written_whole(folder / _file_name(source)) as file:
                _download(source, file)
    return folder


def _file_name(source: Source) -> str:
    return source.url.rsplit("/", 1)[-1]


def _download(source: Source, path: Path) -> None:
    # The address is one of SOURCES, not a user's; MD5 is the sum that the publishers give.
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(source.url, timeout=60) as stream, path.open("wb") as file:  # noqa: S310
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise InputError(
            f"cannot download {source.url} ({error}); try again, or put the file there by hand."
        ) from None
    if digest.hexdigest() != source.md5:
        raise InputError(
            f"{source.url} is not the published file: expected the MD5 sum {source.md5}, "
            f"got {digest.hexdigest()}; try again later."
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack beside ``folder``, then rename, so that a half-unpacked data set is never seen."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unpacked = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")  # refuses paths and links that lead outside
        (unpacked / folder.name).replace(folder)
    finally:
        shutil.rmtree(unpacked)
