"""Arrays: ``.npz`` files with X and y, or the same by parts (``X_train``, ``y_train``, ``X_test``, ...)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from steelyard._checks import InputError, one_of
from steelyard.data.archive import Archive, open_archive
from steelyard.data.dataset import PARTS, Dataset, Table
from steelyard.data.labels import class_numbers, group_numbers, part_names

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]  # by lower-case name


def read_arrays(path: Path, *, group: str | None = None, labelled: bool = True) -> Dataset:
    """The arrays at ``path``: X (N, D) is a table, X with more axes images or volumes.

    y (N,) holds a class per sample. With several columns, y (N, L) of 0 and 1, it holds several labels per
    sample, and ``classes`` names the columns.

    Further arrays are optional: ``classes`` (names by class number), ``group`` or the one that ``group``
    names, ``split`` (train, val or test). Those of parts are called ``X_train`` or ``train_images``,
    ``y_train`` or ``train_labels``, and so on.

    Raises:
        InputError: if an array is missing, holds objects, has a wrong shape or values that are not finite.
    """
    archive = open_archive(path)
    if group is not None:
        one_of("group array", group.lower(), archive.members)
    named = (group or "group").lower()
    arrays = _joined(archive, named, labelled=labelled)
    x = arrays["x"]
    if not x.ndim or not x.size:
        raise InputError(f"{path}: expected samples in X, got the shape {x.shape}.")
    y = _without_empty_axis(arrays["y"]) if labelled else np.full(len(x), -1)
    if y.shape[:1] != x.shape[:1] or y.ndim not in (1, 2):
        raise InputError(f"{path}: expected y of shape ({len(x)},) for X of shape {x.shape}, got {y.shape}.")
    _check_shapes(path, arrays, named, len(x))
    names = arrays["classes"].tolist() if "classes" in arrays else None
    of_target = _labels if y.ndim == 2 else _classes
    target, classes = of_target(path, y, names) if labelled else (y, ())
    group_of = arrays.get(named)
    part = part_names(arrays["split"], f"{path}, split") if "split" in arrays else None
    return Dataset(
        path.stem,
        _inputs(path, x),
        torch.from_numpy(target),
        classes,
        group=None if group_of is None else group_numbers(group_of, f"{path}, group"),
        part=np.full(len(x), "", dtype="<U5") if part is None else part,
        notes=_notes(x),
    )


def _needed(archive: Archive, group: str, *, labelled: bool) -> list[str]:
    """Names of the arrays to read: X and y, or those of the parts, and what else says something of them."""
    whole = ("x", "y") if labelled else ("x",)
    further = ["classes", "split", group]
    if all(name in archive.members for name in whole):
        return [*whole, *further]
    names = [name for part in PARTS for kind in whole for name in _names_of_part(kind, part)]
    return [*whole, *names, *further]


def _names_of_part(kind: str, part: str) -> tuple[str, str]:
    """What X or y of a part may be called."""
    return f"{kind}_{part}", f"{part}_{'images' if kind == 'x' else 'labels'}"


def _check_shapes(path: Path, arrays: Arrays, group: str, rows: int) -> None:
    """Require one value per sample where there is to be one, and names of classes one after the other."""
    for name, expected in (("split", f"({rows},)"), (group, f"({rows},)"), ("classes", "(C,)")):
        shape = arrays[name].shape if name in arrays else (rows,)
        if len(shape) != 1 or (name != "classes" and shape != (rows,)):
            raise InputError(f"{path}: expected {name} of shape {expected}, got {shape}.")


def _joined(archive: Archive, group: str, *, labelled: bool) -> Arrays:
    """The arrays with those of parts put together, and a ``split`` that says which part a row came from."""
    arrays, path = archive.read(_needed(archive, group, labelled=labelled)), archive.path
    needed = ("x", "y") if labelled else ("x",)
    if all(kind in arrays for kind in needed):
        return arrays
    parts: dict[str, list[NDArray[Any]]] = {"x": [], "y": [], "split": []}
    for part in PARTS:
        found = {
            kind: arrays[name] for kind in needed for name in _names_of_part(kind, part) if name in arrays
        }
        if len(found) < len(needed):
            continue
        rows = {array.shape[:1] for array in found.values()}
        if len(rows) > 1 or () in rows:
            shapes = " and ".join(str(array.shape) for array in found.values())
            raise InputError(f"{path}: expected one y for each X of the {part} part, got {shapes}.")
        for kind, array in found.items():
            parts[kind].append(_without_empty_axis(array) if kind == "y" else array)
        parts["split"].append(np.full(len(found["x"]), part))
    if not parts["x"]:
        raise InputError(
            f"{path}: expected arrays X and y (or X_train, y_train, X_test, y_test; large or small "
            f"letters), got {', '.join(archive.members) or 'none'}."
        )
    for kind in needed:
        forms = [(array.shape[1:], array.dtype.kind in "US") for array in parts[kind]]
        if len(set(forms)) > 1:
            shapes = ", ".join(f"{array.shape} of {array.dtype}" for array in parts[kind])
            name = "X" if kind == "x" else kind
            raise InputError(
                f"{path}: expected the parts of {name} to agree in shape and kind, got {shapes}."
            )
    return arrays | {kind: np.concatenate(found) for kind, found in parts.items() if found}


def _without_empty_axis(y: NDArray[Any]) -> NDArray[Any]:
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _labels(
    path: Path, y: NDArray[Any], names: list[Any] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(N, L) of 0 and 1, and the names of the L labels."""
    if y.dtype.kind not in "fiub" or not np.isin(y, (0, 1)).all():
        raise InputError(
            f"{path}: expected y of shape ({len(y)},), or labels of 0 and 1 in its {y.shape[1]} columns, "
            "got other values."
        )
    if (y.sum(axis=1) == 1).all():
        raise InputError(
            f"{path}: every row of y holds exactly one 1, which is one class per sample; "
            "give class numbers, y.argmax(axis=1)."
        )
    return y.astype(np.int64), tuple(map(str, names or [f"label{column}" for column in range(y.shape[1])]))


def _classes(
    path: Path, y: NDArray[Any], names: list[Any] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    numbers, found = class_numbers(y, f"{path}, y")
    if names is None:
        return numbers, found
    known = tuple(str(name) for name in names)
    if len(set(known)) < len(known):
        twice = ", ".join(name for name, times in Counter(known).items() if times > 1)
        raise InputError(f"{path}: expected each class to have a name of its own, got {twice} twice.")
    if y.dtype.kind in "US":
        for name in found:
            one_of(f"class in y of {path}:", name, known)
        return np.array([known.index(name) for name in found])[numbers], known
    labels = y.astype(np.int64)
    if labels.min() < 0 or labels.max() >= len(known):
        raise InputError(
            f"{path}: expected y within 0..{len(known) - 1} for {len(known)} classes, "
            f"got {labels.min()}..{labels.max()}."
        )
    return labels, known


def _inputs(path: Path, x: NDArray[Any]) -> Table | Tensor:
    if x.ndim == 2:
        return _table(path, x)
    return _volumes(path, x) if _is_volume(x) else _images(path, x)


def _notes(x: NDArray[Any]) -> tuple[str, ...]:
    if x.ndim == 2:
        return ()
    if _is_volume(x):
        depth, height, width = x.shape[-3:]
        return (f"volumes of {depth} slices of {height} x {width}",)
    return ("float images rounded to 8 bits",) if x.dtype.kind == "f" else ()


def _is_volume(x: NDArray[Any]) -> bool:
    """Whether X holds volumes: of four axes none may be so short that it is one of channels."""
    return x.ndim == 5 or (x.ndim == 4 and min(x.shape[1:]) >= 4)


def _volumes(path: Path, x: NDArray[Any]) -> Tensor:
    """(N, C, D, H, W) from (N, D, H, W) or (N, C, D, H, W): uint8 as it is, other numbers as float32."""
    if x.dtype.kind not in "fiub":
        raise InputError(f"{path}: expected X of numbers, got {x.dtype}.")
    _finite(path, x)
    kept = x if x.dtype == np.uint8 else x.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(kept if x.ndim == 5 else kept[:, None]))


def _table(path: Path, x: NDArray[Any]) -> Table:
    if x.dtype.kind not in "fiub":
        raise InputError(f"{path}: expected X of numbers, got {x.dtype}; give texts as a .csv or .parquet.")
    _finite(path, x)
    return Table(x.astype(np.float64), tuple(f"x{column}" for column in range(x.shape[1])))


def _images(path: Path, x: NDArray[Any]) -> Tensor:
    """(N, C, H, W) uint8 from (N, H, W), (N, H, W, C) or (N, C, H, W)."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise InputError(
            f"{path}: expected X of shape (N, D), volumes (N, C, D, H, W), or (N, D, H, W) of at least 4 "
            "voxels along each axis, or images (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, "
            f"got {x.shape}."
        )
    if x.dtype.kind not in "fiub":
        raise InputError(f"{path}: expected X of numbers, got {x.dtype}.")
    _finite(path, x)
    most = 1 if x.dtype.kind in "fb" else 255
    if x.size and (x.min() < 0 or x.max() > most):
        raise InputError(
            f"{path}: expected images as whole numbers in 0..255 or fractions in 0..1, "
            f"got {x.dtype} from {x.min():g} to {x.max():g}; rescale them."
        )
    scaled = np.round(x.astype(np.float64) * 255) if most == 1 else x
    return torch.from_numpy(np.ascontiguousarray(scaled.astype(np.uint8)))


def _finite(path: Path, x: NDArray[Any]) -> None:
    bad = ~np.isfinite(x)
    if bad.any():
        place = tuple(int(axis) for axis in np.argwhere(bad)[0])
        raise InputError(
            f"{path}: expected finite numbers in X, got {bad.sum()} NaN or infinite values, "
            f"the first ({x[place]}) at {place}; fill or remove them, or give a .csv, whose gaps are filled."
        )
