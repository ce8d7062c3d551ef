"""Samples known again by their content, wherever they lie and whatever they are called."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steelyard.data.dataset import Table
from steelyard.data.images import ImageFiles, in_threads
from steelyard.data.tables import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from steelyard.data.dataset import Dataset, Rows

_BYTES = 8  # of a hash: among a million samples two different ones agree with a probability of 3e-8


def content_hashes(
    dataset: Dataset, source: str, rows: Rows | None = None, *, columns: Sequence[str] | None = None
) -> NDArray[np.uint64]:
    """(N,) a number for the content of each sample; its class and its place have no part in it.

    Of an image in a file it is that of the file, of other images that of the pixels, of a table that of the
    row's values. Equal samples have equal numbers, so rows of a table that agree in every column do too.

    Args:
        dataset: the samples.
        source: what they were read from.
        rows: those that are asked for; default: all.
        columns: of a table; the order does not matter. Default: all.

    >>> from steelyard.data import read
    >>> digits = read("digits")
    >>> len(np.unique(content_hashes(digits, "digits")))
    1797
    """
    rows, x = np.arange(len(dataset)) if rows is None else rows, dataset.x
    if isinstance(x, Table):
        return _hashed(row.tobytes() for row in _as_numbers(x.take(rows), columns))
    if isinstance(x, ImageFiles):
        return np.array(in_threads(_of_file, x.paths[rows].tolist()), dtype=np.uint64)
    files = _files(Path(source).expanduser(), [dataset.sample[row] for row in rows.tolist()])
    if files and all(file.is_file() for file in files):  # decoded ones are known as those that are not
        return np.array(in_threads(_of_file, files), dtype=np.uint64)
    return _hashed(x[row].numpy().tobytes() for row in rows.tolist())


def _files(source: Path, samples: Sequence[str]) -> list[Path]:
    """The files of ``samples``, which a folder holds or a table lists; none of arrays or a built-in name."""
    if source.is_dir():
        return [source / name for name in samples]
    if source.suffix.lower() in SUFFIXES:
        return [source.parent / name.strip().replace("\\", "/") for name in samples]
    return []


def _hashed(contents: Iterable[bytes]) -> NDArray[np.uint64]:
    return np.fromiter(map(_hash, contents), dtype=np.uint64)


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=_BYTES).digest(), "little")


def _of_file(path: Path) -> int:
    return _hash(path.read_bytes())


def _as_numbers(table: Table, columns: Sequence[str] | None) -> NDArray[np.uint64]:
    """(N, D) the values of a table as numbers of 64 bits: the same for equal values, and for missing ones."""
    values = dict(zip(table.numeric_names, table.numeric.T, strict=True))
    texts = dict(zip(table.categorical_names, table.categorical.T, strict=True))
    gap = np.float64(np.nan).view(np.uint64)
    names = sorted({*values, *texts} if columns is None else columns)
    found = np.empty((len(table), len(names)), dtype=np.uint64)
    for place, name in enumerate(names):
        if name in values:
            number = values[name] + 0.0  # turns -0 into 0
            found[:, place] = np.where(np.isnan(number), gap, number.view(np.uint64))
        elif name in texts:
            number_of = {text: _hash(str(text).encode()) for text in set(texts[name].tolist()) - {None}}
            found[:, place] = [number_of.get(text, gap) for text in texts[name].tolist()]
        else:
            found[:, place] = gap  # a column that is not there is one whose values are missing
    return found
