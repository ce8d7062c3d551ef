"""Pictures worth a look: sure and wrong, right for one method only, heaviest and lightest in training."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from steelyard.report import evidence as reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Scored
    from steelyard.studies.store import Store

PER_CLASS = 6
PER_ROW = 8
MOST_CLASSES = 12  # the rarest
_LARGEST = 128  # pixels of a picture's longer side in the page
_PNG_UP_TO = 48  # smaller pictures are kept exactly, larger ones would make the page heavy


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture: the row of the data set and what to say of it."""

    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Strip:
    """Pictures that belong together."""

    title: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """One question and its strips."""

    name: str
    title: str
    about: str
    strips: tuple[Strip, ...]


def wanted(store: Store) -> NDArray[np.int64]:
    """Rows of the data set whose pictures the page will show, rising; needs runs and results only."""
    rows = {
        tile.row for one in galleries(reading.read(store)) for strip in one.strips for tile in strip.tiles
    }
    return np.array(sorted(rows), dtype=np.int64)


def galleries(evidence: Evidence) -> list[Gallery]:
    """Every gallery that the runs can fill."""
    leader = evidence.leader
    if leader is None or evidence.multilabel:  # they show one true and one decided class of a sample
        return []
    found = [_sure_and_wrong(evidence, leader)]
    if evidence.baseline in evidence.finished and leader != evidence.baseline:
        found.append(_disagreements(evidence, leader))
    found += [_weights(evidence, name, runs) for name, runs in evidence.finished.items()]
    return [one for one in found if any(strip.tiles for strip in one.strips)]


def pictures(evidence: Evidence) -> dict[int, tuple[str, str]]:
    """Name and ``data:`` address of every stored picture, by row of the data set."""
    stored = evidence.store.samples()
    if stored is None:
        return {}
    each = zip(stored["index"].tolist(), stored["name"].tolist(), stored["image"], strict=True)
    return {row: (str(name), _address(image)) for row, name, image in each}


def _sure_and_wrong(evidence: Evidence, method: str) -> Gallery:
    row, target, probability = _average(evidence.methods[method])
    decided, sure = probability.argmax(axis=1), probability.max(axis=1)
    strips = []
    sizes = evidence.facts["counts"]["train"]
    for c in sorted(range(len(evidence.classes)), key=lambda c: sizes[c])[:MOST_CLASSES]:
        wrong = np.flatnonzero((target == c) & (decided != c))
        chosen = wrong[np.argsort(-sure[wrong], kind="stable")][:PER_CLASS]
        tiles = [
            Tile(int(row[i]), f"taken for {evidence.classes[decided[i]]}, {100 * sure[i]:.0f} % sure")
            for i in chosen
        ]
        strips.append(Strip(f"{evidence.classes[c]}", tuple(tiles)))
    return Gallery(
        "wrong",
        f"Surely wrong: {method}",
        "Test samples that the method gets wrong with the most confidence, by true class. "
        "Look for wrong labels, bad pictures and what the mistakes have in common.",
        tuple(strip for strip in strips if strip.tiles),
    )


def _disagreements(evidence: Evidence, method: str) -> Gallery:
    ours, theirs = (_average(evidence.methods[name]) for name in (method, evidence.baseline))
    row, mine, other = np.intersect1d(ours[0], theirs[0], return_indices=True)
    target, a, b = ours[1][mine], ours[2][mine], theirs[2][other]
    strips = []
    for better, worse, winner, loser in (
        (a, b, method, evidence.baseline),
        (b, a, evidence.baseline, method),
    ):
        gain = (better - worse)[np.arange(len(target)), target]
        apart = np.flatnonzero((better.argmax(axis=1) == target) & (worse.argmax(axis=1) != target))
        chosen = apart[np.argsort(-gain[apart], kind="stable")][:PER_ROW]
        tiles = [
            Tile(
                int(row[i]),
                f"{evidence.classes[target[i]]}; the other says {evidence.classes[worse[i].argmax()]}",
            )
            for i in chosen
        ]
        strips.append(Strip(f"Right for {winner}, wrong for {loser}", tuple(tiles)))
    return Gallery(
        "disagreements",
        "Where the methods disagree",
        "Test samples that one method gets right and the other wrong, the largest change of mind first.",
        tuple(strips),
    )


def _weights(evidence: Evidence, method: str, runs: Sequence[Scored]) -> Gallery:
    stored = [weights for run in runs if (weights := run.stored.weights()) is not None]
    strips = []
    if stored:
        index = np.concatenate([one["index"] for one in stored])
        row, first, place = np.unique(index, return_index=True, return_inverse=True)
        target = np.concatenate([one["target"] for one in stored])[first]
        mean = np.bincount(place, np.concatenate([one["mean"] for one in stored])) / np.bincount(place)
        order = np.argsort(-mean, kind="stable")
        for title, chosen in (("Heaviest", order[:PER_ROW]), ("Lightest", order[::-1][:PER_ROW])):
            tiles = [
                Tile(int(row[i]), f"{evidence.classes[target[i]]}, weight {mean[i]:.2f}") for i in chosen
            ]
            strips.append(Strip(title, tuple(tiles)))
    return Gallery(
        f"weights_{list(evidence.methods).index(method)}",
        f"Weight in training: {method}",
        "Training samples by their mean weight; 1 is the weight of plain training. Samples that stay heavy "
        "are hard or wrongly labelled.",
        tuple(strips),
    )


def _average(runs: Sequence[Scored]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows, classes and mean probabilities of all test samples of ``runs``."""
    index = np.concatenate([run.test.index for run in runs])
    row, first, place = np.unique(index, return_index=True, return_inverse=True)
    target = np.concatenate([run.test.target for run in runs])[first]
    total = np.zeros((len(row), runs[0].test.logits.shape[1]))
    np.add.at(total, place, np.concatenate([run.test.probability for run in runs]))
    return row, target, total / np.bincount(place)[:, None]


def _address(image: NDArray[np.uint8]) -> str:
    """A picture (C, H, W) as a ``data:`` address."""
    shown = image[0] if len(image) == 1 else np.moveaxis(image[:3], 0, -1)
    picture = Image.fromarray(shown)
    picture.thumbnail((_LARGEST, _LARGEST))
    kind = "png" if max(picture.size) <= _PNG_UP_TO else "jpeg"
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
