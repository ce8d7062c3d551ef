"""Pictures worth a look: sure and wrong, right for one method only, heaviest and lightest in training."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from steelyard.report import evidence as reading
from steelyard.report import weights

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence, Scored
    from steelyard.studies.store import Store

PER_CLASS = 6
PER_ROW = 8
MOST_CLASSES = 12  # the rarest
_LARGEST = 128  # pixels of a picture's longer side in the page
_PNG_UP_TO = 48  # smaller pictures are kept exactly, larger ones would make the page heavy
_ABOUT_WEIGHTS = (
    "Training samples by their mean weight; 1 is the weight of plain training. Samples that stay heavy are "
    "hard or wrongly labelled."
)
_ABOUT_DRAWS = (
    "Training samples by how often they were drawn; plain training takes each once an epoch. What is drawn "
    "more often weighs less each time, so that on average all count for the same: here draws, not weights, "
    "tell what is hard or wrongly labelled."
)


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
    by_class: tuple[Strip, ...] = ()  # behind a click

    def among(self, rows: Container[int]) -> Gallery:
        """The strips that can be shown whole where only the pictures of ``rows`` are there."""

        def shown(strips: tuple[Strip, ...]) -> tuple[Strip, ...]:
            return tuple(s for s in strips if s.tiles and all(tile.row in rows for tile in s.tiles))

        return replace(self, strips=shown(self.strips), by_class=shown(self.by_class))


def wanted(store: Store) -> NDArray[np.int64]:
    """Rows of the data set whose pictures the page will show, rising; needs runs and results only."""
    strips = [strip for one in galleries(reading.read(store)) for strip in (*one.strips, *one.by_class)]
    rows = {tile.row for strip in strips for tile in strip.tiles}
    return np.array(sorted(rows), dtype=np.int64)


def galleries(evidence: Evidence) -> list[Gallery]:
    """Every gallery that the runs can fill."""
    best = evidence.chosen or evidence.leader
    if best is None or evidence.multilabel:  # they show one true and one decided class of a sample
        return []
    found = [_sure_and_wrong(evidence, best)]
    if evidence.baseline in evidence.finished and best != evidence.baseline:
        found.append(_disagreements(evidence, best))
    found += [_weights(evidence, name, runs) for name, runs in evidence.finished.items()]
    return [one for one in found if any(strip.tiles for strip in one.strips)]


def pictures(store: Store) -> dict[int, tuple[str, str]]:
    """Name and ``data:`` address of every stored picture, by row of the data set."""
    stored = store.samples()
    if stored is None:
        return {}
    each = zip(stored["index"].tolist(), stored["name"].tolist(), stored["image"], strict=True)
    return {row: (str(name), _address(image)) for row, name, image in each}


def _sure_and_wrong(evidence: Evidence, method: str) -> Gallery:
    row, target, probability, decided = _average(evidence.judged[method])
    sure = probability[np.arange(len(row)), decided]
    strips = []
    for c in _rarest(evidence):
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
    ours, theirs = (_average(evidence.judged[name]) for name in (method, evidence.baseline))
    row, mine, other = np.intersect1d(ours[0], theirs[0], return_indices=True)
    target, change = ours[1][mine], ours[2][mine] - theirs[2][other]
    a, b = ours[3][mine], theirs[3][other]
    strips = []
    for sign, better, worse, winner, loser in (
        (1, a, b, method, evidence.baseline),
        (-1, b, a, evidence.baseline, method),
    ):
        gain = sign * change[np.arange(len(target)), target]
        apart = np.flatnonzero((better == target) & (worse != target))
        chosen = apart[np.argsort(-gain[apart], kind="stable")][:PER_ROW]
        tiles = [
            Tile(
                int(row[i]),
                f"{evidence.classes[target[i]]}; the other says {evidence.classes[worse[i]]}",
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
    stored = weights.of_runs(runs)
    drawn = weights.drawn(stored)
    much, little = ("Most drawn", "Least drawn") if drawn else ("Heaviest", "Lightest")
    strips, by_class = [], []
    if stored:
        row, target, value = _per_sample(stored, drawn=drawn)
        order = np.argsort(-value, kind="stable")

        def strip(title: str, chosen: NDArray[np.int64]) -> Strip:
            texts = [f"{value[i]:.2f} draws an epoch" if drawn else f"weight {value[i]:.2f}" for i in chosen]
            names = [evidence.classes[target[i]] for i in chosen]
            each = zip(row[chosen].tolist(), names, texts, strict=True)
            return Strip(title, tuple(Tile(i, f"{name}, {text}") for i, name, text in each))

        strips = [strip(much, order[:PER_ROW]), strip(little, order[::-1][:PER_ROW])]
        for c in _rarest(evidence):
            mine = order[target[order] == c]
            top = mine[: min(PER_CLASS, -(-len(mine) // 2))]  # no sample on both sides
            rest = mine[len(top) :][::-1][:PER_CLASS]
            name = evidence.classes[c]
            by_class += [strip(f"{name}: {much.lower()}", top), strip(f"{name}: {little.lower()}", rest)]
    return Gallery(
        f"weights_{list(evidence.methods).index(method)}",
        f"{'Draws' if drawn else 'Weight'} in training: {method}",
        _ABOUT_DRAWS if drawn else _ABOUT_WEIGHTS,
        tuple(strips),
        tuple(by_class),
    )


def _per_sample(
    stored: weights.Stored, *, drawn: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows and classes of the training samples, and over runs their mean weight, or draws an epoch."""
    index = np.concatenate([one["index"] for one in stored])
    row, first, place = np.unique(index, return_index=True, return_inverse=True)
    target = np.concatenate([one["target"] for one in stored])[first]
    each = [one["count"] / len(one["class_mean"]) if drawn else one["mean"] for one in stored]
    return row, target, np.bincount(place, np.concatenate(each)) / np.bincount(place)


def _rarest(evidence: Evidence) -> list[int]:
    """Numbers of the classes that are shown one by one, the rarest first."""
    sizes = evidence.facts["counts"]["train"]
    return sorted(range(len(evidence.classes)), key=lambda c: sizes[c])[:MOST_CLASSES]


def _average(
    runs: Sequence[Scored],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Rows, classes, mean probabilities and commonest decisions of all test samples of ``runs``."""
    index = np.concatenate([run.test.index for run in runs])
    row, first, place = np.unique(index, return_index=True, return_inverse=True)
    target = np.concatenate([run.test.target for run in runs])[first]
    total = np.zeros((len(row), runs[0].test.logits.shape[1]))
    votes = np.zeros(total.shape)
    np.add.at(total, place, np.concatenate([run.test.probability for run in runs]))
    np.add.at(votes, (place, np.concatenate([run.decision for run in runs])), 1)
    probability = total / np.bincount(place)[:, None]
    decided = (votes + 0.5 * probability).argmax(axis=1)  # of equal votes the more probable class
    return row, target, probability, decided


def _address(image: NDArray[np.uint8]) -> str:
    """A picture (C, H, W) as a ``data:`` address."""
    shown = image[0] if len(image) == 1 else np.moveaxis(image[:3], 0, -1)
    picture = Image.fromarray(shown)
    picture.thumbnail((_LARGEST, _LARGEST))
    kind = "png" if max(picture.size) <= _PNG_UP_TO else "jpeg"
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
