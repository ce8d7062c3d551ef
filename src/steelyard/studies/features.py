"""Features of a trained model: kept as data of their own, or compared pair by pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard import metrics
from steelyard._checks import InputError
from steelyard._files import written_whole
from steelyard.data import Split, read_pairs
from steelyard.data.dataset import PARTS
from steelyard.studies import run as running
from steelyard.studies.predict import open_run, read_like, restore
from steelyard.training import features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steelyard.data import Dataset
    from steelyard.data.dataset import Rows
    from steelyard.metrics import Verification
    from steelyard.studies.config import Study
    from steelyard.studies.store import StoredRun


def write_features(
    model: Path, data: str, out: Path, *, target: str | None = None, held_out: bool = False, device: str
) -> int:
    """Write the features of every labelled sample of ``data`` as an ``.npz`` that can be compared on.

    It holds X (N, D) float32, y (N,) class numbers, ``classes`` (C,) their names, ``index`` (N,) the rows in
    ``data``; ``group`` where the data has groups, and ``split`` where its parts are known. Of the data that
    the model was trained on they are: each row's part is the one that the model had it in, and rows that it
    left out are left out, so that a comparison on these features judges no sample that made them. With
    ``held_out`` the rows that the model was trained on are left out too, for features of samples learnt by
    heart are easier than those of any other; the rows that it was validated on become the training part.
    Returns the number of rows.

    Raises:
        InputError: if ``out`` is no ``.npz``, the data does not fit the model, or ``held_out`` is asked of
            other data than the model's own, or of a model without validation samples.
    """
    check_npz(out)
    stored, store = open_run(model)
    dataset, rows, part = _with_parts(stored, store.study, data, target, held_out)
    found = _features(stored, dataset, rows, device)
    save(out, found, dataset, rows, part)
    return len(rows)


def check_npz(out: Path) -> None:
    """Require that features can be written to ``out``, before they are computed."""
    if out.suffix.lower() != ".npz":
        raise InputError(f"expected --out as an .npz file, got {out}.")


def save(out: Path, found: NDArray[Any], dataset: Dataset, rows: Rows, part: NDArray[np.str_]) -> None:
    """Write the features ``found`` of the samples at ``rows``, and the ``part`` of each, "" unknown."""
    arrays: dict[str, Any] = {
        "X": found,
        "y": dataset.target.numpy()[rows],
        "classes": np.array(dataset.classes),
        "index": rows,
    }
    if dataset.group is not None:
        arrays["group"] = dataset.group[rows]
    if (part != "").any():
        arrays["split"] = part
    with written_whole(out) as temporary:
        np.savez_compressed(temporary, **arrays)


@dataclass(frozen=True, slots=True)
class PairResult:
    """Accuracy of telling pairs of the same class from others, and how many pairs there were."""

    accuracy: Verification
    pairs: int


def verify(model: Path, data: str, pairs: Path, *, device: str) -> PairResult:
    """Accuracy on ``pairs`` of images in the folder ``data``, by the cosine of their features.

    Each fold is judged at the threshold that is best on the others; the model's classes need not be those of
    the pairs.

    Raises:
        InputError: if an image is missing, or there are fewer pairs of a kind than folds.
    """
    if not Path(data).is_dir():
        raise InputError(f"{data}: expected a folder of images, whose paths the pairs name.")
    listed = read_pairs(pairs)
    stored, _ = open_run(model)
    dataset = read_like(stored, data, labelled=False)
    row = {Path(name).with_suffix("").as_posix(): n for n, name in enumerate(dataset.sample)}
    for name in (*listed.first, *listed.second):
        if name not in row:
            raise InputError(
                f"{pairs} names {name}, but {data} has no such image (NAME/NAME_0001 and a suffix)."
            )
    sides = [np.array([row[name] for name in side]) for side in (listed.first, listed.second)]
    rows = np.unique(np.concatenate(sides))
    unit = _unit(_features(stored, dataset, rows, device))
    first, second = (unit[np.searchsorted(rows, side)] for side in sides)
    cosine = (first * second).sum(axis=1)
    return PairResult(metrics.verification_accuracy(listed.same, cosine, listed.folds), len(cosine))


def _features(stored: StoredRun, dataset: Dataset, rows: Rows, device: str) -> NDArray[np.float32]:
    """(len(rows), D) features of the samples at ``rows``."""
    restored = restore(stored, device)
    batches = restored.batches(dataset, rows, lambda one: one.target)
    return features(restored.model, batches, restored.recipe).logits.astype(np.float32)


def _with_parts(
    stored: StoredRun, study: Study, data: str, target: str | None, held_out: bool
) -> tuple[Dataset, Rows, NDArray[np.str_]]:
    """The data, the rows to take and the part of each; "" unknown."""
    if data != study.data.source and Path(data).resolve() != Path(study.data.source).expanduser().resolve():
        if held_out:
            raise InputError(
                f"--held-out is for the data that the model was trained on, {study.data.source}, got {data}; "
                "leave it out."
            )
        dataset = read_like(stored, data, labelled=True, target=target)
        return dataset, np.arange(len(dataset)), dataset.part
    dataset = running.load(study.data)
    rows = running.split_of(study, dataset, stored.run)
    rows = _held_out(rows) if held_out else rows
    parts = [getattr(rows, part) for part in PARTS]
    order = np.argsort(np.concatenate(parts))
    names = np.repeat(PARTS, [len(part) for part in parts])
    return dataset, np.concatenate(parts)[order], names[order]


def _held_out(rows: Split) -> Split:
    """The rows that the model has not learnt from, those of its validation to train on."""
    if not len(rows.val):
        raise InputError(
            "--held-out makes the model's validation samples the training part, and it has none; "
            "train it with a val_fraction above 0."
        )
    return Split(train=rows.val, val=rows.val[:0], test=rows.test)


def _unit(x: NDArray[Any]) -> NDArray[np.float64]:
    """Rows of length 1; a row of zeros stays."""
    length = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1), dtype=np.float64)
