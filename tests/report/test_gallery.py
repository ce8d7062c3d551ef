"""Which pictures the page shows."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from steelyard import report
from steelyard.report import evidence, gallery

if TYPE_CHECKING:
    from steelyard.studies.store import Store


def test_wanted_rows_are_those_of_the_galleries(store: Store) -> None:
    every = gallery.galleries(evidence.read(store))
    shown = {t.row for one in every for s in (*one.strips, *one.by_class) for t in s.tiles}
    rows = report.wanted(store)
    assert rows.dtype == np.int64
    assert rows.tolist() == sorted(shown)


def test_surely_wrong_samples_by_brute_force(store: Store) -> None:
    read = evidence.read(store)
    name = read.chosen or ""
    (wrong,) = [one for one in gallery.galleries(read) if one.name == "wrong"]
    assert wrong.title == f"Surely wrong: {name}"
    runs = read.judged[name]
    total: dict[int, np.ndarray] = {}
    votes: dict[int, list[int]] = {}
    target: dict[int, int] = {}
    for run in runs:
        each = zip(
            run.test.index.tolist(), run.test.target.tolist(), run.test.probability, run.decision, strict=True
        )
        for i, t, probability, decided in each:
            total[i] = total.get(i, 0) + probability / len(runs)
            votes.setdefault(i, []).append(int(decided))
            target[i] = t
    said = {i: max(each, key=lambda c: (each.count(c), total[i][c])) for i, each in votes.items()}
    mel = {i: total[i][said[i]] for i in total if target[i] == 1 and said[i] != 1}
    best = sorted(mel, key=lambda i: -mel[i])[: gallery.PER_CLASS]
    (strip,) = [one for one in wrong.strips if one.title == "mel"] or [gallery.Strip("mel", ())]
    assert [tile.row for tile in strip.tiles] == best


def test_disagreements_are_right_for_the_named_method_alone(store: Store) -> None:
    read = evidence.read(store)
    (one,) = [found for found in gallery.galleries(read) if found.name == "disagreements"]
    row, target, _, ours = gallery._average(read.judged[read.chosen or ""])
    theirs = gallery._average(read.methods["ce"])[3]
    for strip, winner, loser in zip(one.strips, (ours, theirs), (theirs, ours), strict=True):
        for tile in strip.tiles:
            place = row.tolist().index(tile.row)
            assert winner[place] == target[place] != loser[place]


def test_heaviest_and_lightest(store: Store) -> None:
    (one,) = [found for found in gallery.galleries(evidence.read(store)) if found.name.startswith("weights")]
    runs = [run.weights() for run in store.runs() if str(run.run.method) == "low(lam=0.1)"]
    mean = np.mean([weights["mean"] for weights in runs if weights is not None], axis=0)
    heavy, light = one.strips
    assert [tile.row for tile in heavy.tiles] == np.argsort(-mean)[: gallery.PER_ROW].tolist()
    assert {tile.row for tile in light.tiles} == set(np.argsort(mean)[: gallery.PER_ROW].tolist())


def test_small_pictures_are_kept_exactly_and_large_ones_shrink() -> None:
    small = np.random.default_rng(0).integers(0, 255, (1, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(gallery._address(small)), small[0])
    large = np.zeros((3, 300, 200), dtype=np.uint8)
    assert decoded(gallery._address(large)).shape == (128, 85, 3)


def decoded(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1]))))
