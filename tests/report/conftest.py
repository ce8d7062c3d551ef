"""A study on disk, written through the store's own face; no training, no torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from steelyard.records import Predictions
from steelyard.studies import config
from steelyard.studies.evaluate import evaluate
from steelyard.studies.store import Store, fresh_folder, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

EVIL = "<script>alert(1)</script>"
CLASSES = ["nv", "mel", EVIL, "price $x_1$ & more"]
COUNTS = {"train": [600, 60, 120, 220], "val": [120, 12, 24, 44], "test": [180, 24, 36, 60]}
SKILL = {"ce": 1.2, "balanced-ce": 1.5, "low(lam=0.1)": 2.1}


def build_store(
    folder: Path,
    *,
    methods: tuple[str, ...] = tuple(SKILL),
    seeds: int = 3,
    critical: tuple[str, ...] = ("mel",),
    failed: tuple[tuple[str, int], ...] = (("balanced-ce", 2),),
    pictures: bool = True,
    counts: dict[str, list[int]] = COUNTS,
    folds: int | None = None,
    classes: tuple[str, ...] = tuple(CLASSES),
    name: str = "skin",
    validation: bool = True,
    grouped: bool = True,
    at_tpr: float = 0.95,
    skill: dict[str, float] = SKILL,
    **settings: Any,
) -> Store:
    """Write a finished comparison; ``failed`` names method and seed of the runs that broke.

    With ``folds`` every fold is tested on other rows; without ``validation`` nothing is known of such a part.
    ``settings`` are others of the study.
    """
    asked = config.study(
        {
            "data": {"source": name} | ({} if validation else {"val_fraction": 0}),
            "methods": list(methods),
            "seeds": seeds,
            "critical": critical,
            "folds": folds,
            "at_tpr": at_tpr,
        }
        | settings
    )
    store = Store.create(folder, asked)
    counts = counts if validation else counts | {"val": [0] * len(classes)}
    store.write_facts(_facts(asked, list(classes), methods[0], counts) | {"grouped": grouped})
    for run in asked.runs():
        name = str(run.method)
        there = store.unfinished_folder(run)
        fresh_folder(there)
        if (name, run.seed) in failed:
            (there / "failure.txt").write_text(f"loss is nan after epoch 3 {EVIL}", encoding="utf-8")
        else:
            _write_run(there, run, counts, len(classes), skill)
        store.finish(run)
    total = sum(map(sum, counts.values()))
    if grouped:
        store.write_groups(np.arange(total) // 2)
    store.write_results(evaluate(store))
    if pictures:
        rng = np.random.default_rng(5)
        rows_shown = np.arange(total)
        images = rng.integers(0, 255, (total, 3, 12, 12), dtype=np.uint8)
        store.write_samples(rows_shown, images, [f"lesion_<b>{i}</b>.jpg" for i in rows_shown])
    return store


def critical_numbers(classes: Sequence[str], critical: tuple[str, ...]) -> list[int]:
    return [classes.index(name) for name in critical]


def _facts(
    asked: config.Study, classes: list[str], baseline: str, counts: dict[str, list[int]]
) -> dict[str, Any]:
    every = np.sum([counts[part] for part in ("train", "val", "test")], axis=0).tolist()
    return {
        "name": asked.data.source,
        "kind": "image",
        "classes": classes,
        "critical": critical_numbers(classes, asked.critical),
        "baseline": baseline,
        "notes": [f"3 unreadable images were left out, among them {EVIL}.jpg"],
        "counts": counts | {"all": every},
        "versions": {"steelyard": "0.1.0", "python": "3.11"},
        "machine": "2 CPU cores",
        "command": f"steelyard compare skin --methods ce,low --note '{EVIL}'",
    }


def _write_run(
    folder: Path, run: config.Run, counts: dict[str, list[int]], classes: int, skill: dict[str, float]
) -> None:
    rows_of, name = _rows_of_parts(counts, run.fold), str(run.method)
    for part in ("val", "test") if any(counts["val"]) else ("test",):
        target = np.repeat(np.arange(len(counts[part])), counts[part])
        predictions = _predict(target, rows_of[part], name, run, classes, skill)
        predictions.save(folder / f"{part}.npz")
    _write_training(folder, run, name, counts, rows_of["train"])


def _rows_of_parts(counts: dict[str, list[int]], fold: int) -> dict[str, np.ndarray]:
    """Rows of the data set in each part, class by class; each fold is tested on other rows."""
    parts = ("train", "val", "test")
    target = np.concatenate([np.repeat(np.arange(len(counts[part])), counts[part]) for part in parts])
    found: dict[str, list[np.ndarray]] = {part: [] for part in parts}
    for c, sizes in enumerate(zip(*(counts[part] for part in parts), strict=True)):
        rolled = np.roll(np.flatnonzero(target == c), fold * counts["test"][c])
        for part, rows in zip(parts, np.split(rolled, np.cumsum(sizes)[:-1]), strict=True):
            found[part].append(rows)
    return {part: np.concatenate(rows) for part, rows in found.items()}


def _predict(
    target: np.ndarray,
    index: np.ndarray,
    name: str,
    run: config.Run,
    classes: int,
    skill: dict[str, float],
) -> Predictions:
    shared = np.random.default_rng(index[0])  # a hard sample is hard for every method
    own = np.random.default_rng([run.seed, run.fold, len(name), int(index[0])])
    logits = shared.normal(size=(target.size, classes)) + 0.6 * own.normal(size=(target.size, classes))
    logits += skill.get(name, 1.3) * np.eye(classes)[target]
    logits[:, 0] += 1.6 - 0.5 * skill.get(name, 1.3)
    shuffled = own.permutation(target.size)
    return Predictions(logits[shuffled].astype(np.float32), target[shuffled], index[shuffled])


def _write_training(
    folder: Path, run: config.Run, name: str, counts: dict[str, list[int]], trained_on: np.ndarray
) -> None:
    rng = np.random.default_rng([run.seed, len(name)])
    epochs, skill = 6, SKILL.get(name, 1.3)
    history = [
        {
            "epoch": epoch,
            "seconds": 1.5,
            "lr": 0.1,
            "train_loss": 2 / (epoch + skill) + 0.05 * rng.random(),
            "val_loss": 2.2 / (epoch + skill) + 0.1 * rng.random(),
            "val_balanced_accuracy": 0.8 - 0.5 / (epoch + skill) + 0.03 * rng.random(),
        }
        for epoch in range(1, epochs + 1)
    ]
    if not any(counts["val"]):
        history = [{key: row[key] for key in row if not key.startswith("val")} for row in history]
    write_rows(folder / "history.csv", list(history[0]), history)
    facts = {
        "counts": counts,
        "best_epoch": 5,
        "epochs": epochs,
        "seconds": 9.0,
        "seconds_per_epoch": 1.5,
        "peak_memory": 300 * 2**20,
        "device": "cpu",
        "parameters": 61706,
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    if name.startswith("low"):
        target = np.repeat(np.arange(len(counts["train"])), counts["train"])
        mean = np.where(target == 0, 0.7, 1.6) + rng.random(target.size)
        per_class = np.linspace(1, 2, epochs)[:, None] * np.linspace(0.7, 1.5, len(counts["train"]))
        per_class += 0.1 * rng.random(per_class.shape)
        np.savez(
            folder / "weights.npz",
            index=trained_on,
            target=target,
            mean=mean,
            last=mean,
            count=np.full(target.size, epochs),
            class_mean=per_class,
            class_sd=per_class / 4,
            share_zero=np.linspace(0, 0.5, epochs) + run.seed / 10,
            percent=np.array([5, 25, 50, 75, 95, 100]),
            percentile=np.sort(rng.exponential(size=(epochs, 6)), axis=1),
        )


def log_odds(p: Predictions, critical: list[int]) -> np.ndarray:
    share = p.probability[:, critical].sum(axis=1)
    return np.asarray(np.log(share) - np.log1p(-share))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return build_store(tmp_path_factory.mktemp("study") / "out")


@pytest.fixture(scope="session")
def build() -> Callable[..., Store]:
    """:func:`build_store`, for tests that need a study of their own."""
    return build_store
