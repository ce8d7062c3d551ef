"""Pairs of images to be judged as of the same class or not, in the format of Labeled Faces in the Wild."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steelyard._checks import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DEFAULT_FOLDS = 10


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """K pairs; an image is named ``NAME/NAME_0001``, its path below the data without the suffix."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    same: NDArray[np.int64]  # (K,) 1 or 0
    folds: int  # consecutive sets that the list is made of


def read_pairs(path: Path) -> Pairs:
    """The pairs listed at ``path``.

    The first line says how many folds there are and how many pairs of each kind a fold has; a line with one
    number, or none at all, stands for 10 folds. Then a line ``NAME 1 4`` is the pair of the images
    ``NAME/NAME_0001`` and ``NAME/NAME_0004``, and a line ``NAME 2 OTHER 3`` that of ``NAME/NAME_0002`` and
    ``OTHER/OTHER_0003``.

    Raises:
        InputError: if the file is not there, or a line is not like this.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "pairs.txt"
    >>> lines = ["2 1", "Ada 1 2", "Ada 1 Bea 1", "Bea 1 2", "Bea 2 Ada 2"]
    >>> with path.open("w") as file:
    ...     print(*lines, sep=chr(10), file=file)
    >>> pairs = read_pairs(path)
    >>> pairs.first[1], pairs.second[1], pairs.same.tolist(), pairs.folds
    ('Ada/Ada_0001', 'Bea/Bea_0001', [1, 0, 1, 0], 2)
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a list of pairs, as LFW's pairs.txt.")
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    head = lines[0] if lines and all(word.isdigit() for word in lines[0]) else []
    body = [(number, words) for number, words in enumerate(lines, 1) if words and number > bool(head)]
    found = [_pair(path, number, words) for number, words in body]
    if not found:
        raise InputError(f"{path}: expected pairs, got none.")
    same = np.array([len(words) == 3 for _, words in body], dtype=np.int64)
    first, second = zip(*found, strict=True)
    return Pairs(first, second, same, int(head[0]) if len(head) == 2 else DEFAULT_FOLDS)


def _pair(path: Path, number: int, words: list[str]) -> tuple[str, str]:
    full = [*words[:2], words[0], words[2]] if len(words) == 3 else words
    if len(full) != 4 or not (full[1].isdigit() and full[3].isdigit()):
        raise InputError(
            f"{path}, line {number}: expected NAME 1 4 or NAME 2 OTHER 3, got {' '.join(words)!r}."
        )
    name, one, other, two = full
    return f"{name}/{name}_{int(one):04d}", f"{other}/{other}_{int(two):04d}"
