"""Sample weights on the page: what is drawn of them, and which pictures stand beside it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from steelyard import report
from steelyard.report import evidence, gallery, weights
from steelyard.report.figure import Look
from steelyard.studies.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOW = "low(lam=0.1)"
LOOKS = {name: Look(place) for place, name in enumerate(("ce", "balanced-ce", LOW))}


def of_low(store: Store) -> list[dict[str, Any]]:
    every = [run.weights() for run in store.runs() if str(run.run.method) == LOW]
    return [one for one in every if one is not None]


def changed(store: Store, folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Store:
    """A copy of the study with other recorded weights."""
    shutil.copytree(store.folder, folder)
    for path in folder.glob("runs/*/weights.npz"):
        with np.load(path) as file:
            kept = change(dict(file))
        np.savez(path, **kept)
    return Store(folder)


def test_classes_are_averaged_over_runs_with_their_spread(store: Store) -> None:
    per_class, _ = weights.plots(evidence.read(store), LOOKS)
    runs = of_low(store)
    assert len(runs) == 3
    for method, epoch, name, mean, sd in per_class.rows:
        of_runs = [run["class_mean"][epoch - 1][evidence.read(store).classes.index(name)] for run in runs]
        assert method == LOW
        assert mean == pytest.approx(np.mean(of_runs))
        assert sd == pytest.approx(np.std(of_runs))
        assert sd > 0
    assert len(per_class.rows) == 6 * 4
    assert "1 is the weight of plain training." in per_class.finding


def test_the_spread_of_the_weights_is_that_of_the_runs(store: Store) -> None:
    _, spread = weights.plots(evidence.read(store), LOOKS)
    assert spread.columns[3:] == tuple(f"percentile_{share}" for share in (5, 25, 50, 75, 95, 100))
    for row in spread.rows:
        of_runs = [[run["share_zero"][row[1] - 1], *run["percentile"][row[1] - 1]] for run in of_low(store)]
        np.testing.assert_allclose(row[2:], np.mean(of_runs, axis=0))
    last = spread.rows[-1]
    assert f"between {last[4]:.2f} and {last[6]:.2f}" in spread.finding
    assert f"the largest is {last[8]:.3g}; 60 % are 0." in spread.finding


def test_a_study_of_before_has_a_page_without_the_spread(store: Store, tmp_path: Path) -> None:
    new = ("share_zero", "percent", "percentile")
    old = changed(store, tmp_path / "old", lambda w: {k: v for k, v in w.items() if k not in new})
    assert [one.name for one in weights.plots(evidence.read(old), LOOKS)] == ["class_weights_2"]
    report.write(old)
    page = (old.folder / "report.html").read_text(encoding="utf-8")
    assert "Mean weight per class" in page
    assert "Spread of the weights" not in page


def test_a_class_that_was_not_drawn_in_an_epoch_is_left_out_of_its_mean(store: Store, tmp_path: Path) -> None:
    def without(kept: dict[str, Any]) -> dict[str, Any]:
        kept["class_mean"][2, 1] = np.nan
        return kept

    per_class, _ = weights.plots(evidence.read(changed(store, tmp_path / "gap", without)), LOOKS)
    gap = [row[3] for row in per_class.rows if row[1] == 3]
    assert np.isnan(gap).tolist() == [False, True, False, False]


def test_where_samples_are_drawn_draws_are_told_instead_of_weights(store: Store, tmp_path: Path) -> None:
    draws = np.random.default_rng(0).integers(1, 30, 1000)

    def drawn(kept: dict[str, Any]) -> dict[str, Any]:
        return kept | {"count": draws, "mean": 6 / draws}

    read = evidence.read(changed(store, tmp_path / "drawn", drawn))
    per_class, _ = weights.plots(read, LOOKS)
    assert "A weight is that of one draw" in per_class.finding
    assert "In the last epoch a draw of " in per_class.finding
    assert "plain training" not in per_class.finding
    (one,) = [found for found in gallery.galleries(read) if found.name.startswith("weights")]
    assert one.title == f"Draws in training: {LOW}"
    assert [strip.title for strip in one.strips] == ["Most drawn", "Least drawn"]
    index = of_low(store)[0]["index"]
    most = {int(index[i]) for i in np.flatnonzero(draws == draws.max())}
    assert one.strips[0].tiles[0].row in most
    assert f"{draws.max() / 6:.2f} draws an epoch" in one.strips[0].tiles[0].text


def test_of_equal_classes_none_is_named_the_heaviest(store: Store, tmp_path: Path) -> None:
    same = changed(store, tmp_path / "same", lambda w: w | {"class_mean": np.ones_like(w["class_mean"])})
    per_class, _ = weights.plots(evidence.read(same), LOOKS)
    assert per_class.finding.startswith(
        "In the last epoch a sample of every class weighs 1.00 ± 0.00 on average."
    )


def test_every_class_has_its_heaviest_and_lightest_samples(store: Store) -> None:
    read = evidence.read(store)
    (one,) = [found for found in gallery.galleries(read) if found.name.startswith("weights")]
    runs = of_low(store)
    mean = np.mean([run["mean"] for run in runs], axis=0)
    titles = [strip.title for strip in one.by_class]
    assert titles[:2] == ["mel: heaviest", "mel: lightest"], "the rarest class comes first"
    assert len(titles) == 2 * 4
    mel = np.flatnonzero(runs[0]["target"] == 1)
    heavy, light = one.by_class[:2]
    assert [tile.row for tile in heavy.tiles] == mel[np.argsort(-mean[mel])][: gallery.PER_CLASS].tolist()
    assert [tile.row for tile in light.tiles] == mel[np.argsort(mean[mel])][: gallery.PER_CLASS].tolist()


def test_of_few_samples_none_is_both_heavy_and_light(build: Callable[..., Store], tmp_path: Path) -> None:
    counts = {"train": [40, 3, 1, 9], "val": [8, 2, 2, 2], "test": [12, 4, 4, 4]}
    read = evidence.read(build(tmp_path / "few", counts=counts))
    (one,) = [found for found in gallery.galleries(read) if found.name.startswith("weights")]
    sizes = [len(strip.tiles) for strip in one.by_class]
    assert sizes == [1, 0, 2, 1, 5, 4, 6, 6]
    rows = [tile.row for strip in one.by_class for tile in strip.tiles]
    assert len(set(rows)) == len(rows)


def test_only_strips_whose_pictures_are_there_are_shown(store: Store) -> None:
    (one,) = [found for found in gallery.galleries(evidence.read(store)) if found.name.startswith("weights")]
    rows = {tile.row for tile in one.by_class[3].tiles}
    few = one.among(rows)
    assert [strip.title for strip in few.by_class] == [one.by_class[3].title]
    assert few.strips == ()
    assert one.among(rows - {one.by_class[3].tiles[0].row}).by_class == ()
    assert one.among(range(10_000)) == one
