"""Data sets with a name: ``digits`` of scikit-learn, the others in standard layouts under the data root."""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from steelyard._checks import InputError
from steelyard.data.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

_DIGITS = tuple("0123456789")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def data_root() -> Path:
    """``$STEELYARD_DATA``, else ``steelyard`` in the user's cache folder."""
    given = os.environ.get("STEELYARD_DATA")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steelyard"


def digits(_root: Path) -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels; the 17 grey values 0..16 are spread to 0..240."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  slow to import, needed here alone

    source = load_digits()
    x = torch.from_numpy((source.images * 15).astype(np.uint8)[:, None])
    return Dataset("digits", x, torch.from_numpy(source.target.astype(np.int64)), _DIGITS)


def idx_images(root: Path, *, name: str, classes: tuple[str, ...]) -> Dataset:
    """MNIST and its likes: IDX files, gzipped or plain, in ``root/name``."""
    folder = root / name
    read = {
        (part, kind): _idx(folder, f"{part}-{kind}-ubyte", name)
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    }
    images = [read["train", "images-idx3"], read["t10k", "images-idx3"]]
    labels = [read["train", "labels-idx1"], read["t10k", "labels-idx1"]]
    return _official(name, [i[:, None] for i in images], labels, classes)


def cifar10(root: Path) -> Dataset:
    """CIFAR-10 in its binary version: one label byte, then 3 x 32 x 32 pixels."""
    folder = root / "cifar10" / "cifar-10-batches-bin"
    batches = [_cifar(folder / f"data_batch_{n}.bin", "cifar10", label_bytes=1) for n in range(1, 6)]
    train = np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])[:, 0]
    test = _cifar(folder / "test_batch.bin", "cifar10", label_bytes=1)
    classes = _class_names(folder / "batches.meta.txt", "cifar10")
    return _official("cifar10", [train[0], test[0]], [train[1], test[1][:, 0]], classes)


def cifar100(root: Path) -> Dataset:
    """CIFAR-100 in its binary version, with the fine labels: coarse label, fine label, pixels.

    The coarse labels are kept as the classes' superclasses.
    """
    folder = root / "cifar100" / "cifar-100-binary"
    train, test = (_cifar(folder / f"{part}.bin", "cifar100", label_bytes=2) for part in ("train", "test"))
    classes = _class_names(folder / "fine_label_names.txt", "cifar100")
    coarse, fine = np.concatenate([train[1], test[1]]).astype(np.int64).T
    data = _official("cifar100", [train[0], test[0]], [train[1][:, 1], test[1][:, 1]], classes)
    superclass = np.zeros(len(classes), dtype=np.int64)
    superclass[fine] = coarse
    return replace(data, superclass=tuple(superclass.tolist()))


BUILTIN: Mapping[str, Callable[[Path], Dataset]] = MappingProxyType(
    {
        "digits": digits,
        "mnist": partial(idx_images, name="mnist", classes=_DIGITS),
        "fashion-mnist": partial(idx_images, name="fashion-mnist", classes=_CLOTHES),
        "cifar10": cifar10,
        "cifar100": cifar100,
    }
)


def _official(
    name: str, x: list[NDArray[np.uint8]], y: list[NDArray[np.uint8]], classes: tuple[str, ...]
) -> Dataset:
    """A data set that comes as a training and a test part."""
    for images, labels in zip(x, y, strict=True):
        if len(images) != len(labels):
            raise InputError(f"{name}: expected a label for each image, got {len(images)} and {len(labels)}.")
    target = np.concatenate(y).astype(np.int64)
    if target.max(initial=0) >= len(classes):
        raise InputError(f"{name}: expected labels below {len(classes)}, got {target.max()}.")
    sizes = {"train": len(x[0]), "test": len(x[1])}
    return Dataset(
        name,
        torch.from_numpy(np.concatenate(x)),
        torch.from_numpy(target),
        classes,
        part=np.repeat(list(sizes), list(sizes.values())),
        sample=[f"{part}/{row}" for part, size in sizes.items() for row in range(size)],
    )


def _idx(folder: Path, stem: str, name: str) -> NDArray[np.uint8]:
    """The array of an IDX file: 0, 0, type 8 (uint8), dimensions, their sizes big-endian, values."""
    packed = folder / f"{stem}.gz"
    path = packed if packed.exists() else folder / stem
    content = _content(path, name, missing=packed)
    if path == packed:
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(path, name, str(error)) from None
    dimensions = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = tuple(np.frombuffer(content[4 : 4 + 4 * dimensions], dtype=">u4").tolist())
    values = np.frombuffer(content, dtype=np.uint8)[4 + 4 * dimensions :]
    if dimensions != (3 if "idx3" in stem else 1) or len(values) != np.prod(shape):
        raise _damaged(path, name, f"{len(content)} bytes do not make an IDX array of shape {shape}")
    return values.reshape(shape)


def _cifar(path: Path, name: str, *, label_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 3, 32, 32) and their label bytes (N, label_bytes)."""
    content = np.frombuffer(_content(path, name), dtype=np.uint8)
    record = label_bytes + 3 * 32 * 32
    if not len(content) or len(content) % record:
        raise _damaged(path, name, f"{len(content)} bytes are no whole number of records of {record}")
    records = content.reshape(-1, record)
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), records[:, :label_bytes]


def _class_names(path: Path, name: str) -> tuple[str, ...]:
    return tuple(_content(path, name).decode().split())


def _content(path: Path, name: str, missing: Path | None = None) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{name}: {missing or path} is not there; run 'steelyard datasets fetch {name}' "
            "or set STEELYARD_DATA to the folder that holds it."
        ) from None


def _damaged(path: Path, name: str, reason: str) -> InputError:
    return InputError(
        f"{name}: {path} is damaged ({reason}); remove it and run 'steelyard datasets fetch {name}'."
    )
