"""Refits in a comparison, features as data, pairs of images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from tests.studies.conftest import Silent, asked

from steelyard import InputError, catalog, report
from steelyard._features import last_linear
from steelyard.data import read, read_pairs
from steelyard.studies.compare import compare
from steelyard.studies.features import verify, write_features
from steelyard.studies.predict import open_run, predict_on, restore
from steelyard.studies.run import split_of

if TYPE_CHECKING:
    from steelyard.studies.store import Store


@pytest.fixture
def study(table: Path, tmp_path: Path) -> Store:
    return compare(asked(table, methods=["ce", "refit"], seeds=1), tmp_path / "study", Silent())


def test_every_refit_is_a_row_of_the_comparison_and_a_model_like_any_other(
    table: Path, tmp_path: Path
) -> None:
    methods = ["ce", *catalog.REFITS]
    study = compare(asked(table, methods=methods, seeds=1), tmp_path / "study", Silent())
    assert [stored.failure for stored in study.runs()] == [None] * 9
    plain, *refits = study.runs()
    kept = torch.load(plain.folder / "model.pt", weights_only=True)["model"]
    for stored in refits:
        own = torch.load(stored.folder / "model.pt", weights_only=True)["model"]
        changed = {name for name in own if not torch.equal(own[name], kept[name])}
        assert changed == {"head.weight", "head.bias"}  # the same plain training below
        again, _, _ = predict_on(stored, str(table), labelled=True, device="cpu")
        test = stored.predictions("test")
        np.testing.assert_allclose(again.logits[test.index], test.logits, rtol=1e-4, atol=1e-4)
    assert {row["method"] for row in study.results()} >= set(catalog.REFITS)


def test_a_refit_starts_from_the_plain_run_or_trains_the_same_itself(table: Path, tmp_path: Path) -> None:
    with_plain = compare(asked(table, methods=["ce", "smote"]), tmp_path / "one", Silent())
    alone = compare(asked(table, methods=["smote"]), tmp_path / "two", Silent())
    smote = [stored for stored in with_plain.runs() if stored.run.method.name == "smote"]
    for ours, other in zip(smote, alone.runs(), strict=True):
        for part in ("val", "test"):
            np.testing.assert_array_equal(ours.predictions(part).logits, other.predictions(part).logits)
        plain = [row | {"seconds": 0} for row in other.history()]
        assert [row | {"seconds": 0} for row in ours.history()] == plain
    plain_run, refit_run = with_plain.runs()[0], smote[0]
    assert [row["seconds"] for row in refit_run.history()] == [row["seconds"] for row in plain_run.history()]
    assert refit_run.facts()["seconds"] > plain_run.facts()["seconds"]
    seen = [
        {one.row: (one.margin, one.loss) for one in report.audit(*of).ranking}
        for of in ((with_plain,), (alone, "smote"))
    ]
    assert seen[0] == seen[1]  # in training; what is held out is judged after the refit
    with pytest.raises(InputError, match="took over the training of another"):  # each is kept once
        report.audit(with_plain, "smote")


def test_a_refit_takes_over_the_plain_run_of_its_own_settings(table: Path, tmp_path: Path) -> None:
    methods = ["ce", "ce(lr=0.1)", "refit(lr=0.1)"]
    _, plain, refit = compare(asked(table, methods=methods, seeds=1), tmp_path / "study", Silent()).runs()
    assert refit.history() == plain.history()
    assert refit.history()[0]["lr"] > 0.05


def test_a_resampled_model_is_used_without_the_library_but_none_is_trained(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stored,) = compare(asked(table, methods=["smote"], seeds=1), tmp_path / "there", Silent()).runs()
    monkeypatch.setitem(sys.modules, "imblearn", None)
    again, _, _ = predict_on(stored, str(table), labelled=True, device="cpu")
    test = stored.predictions("test")
    np.testing.assert_allclose(again.logits[test.index], test.logits, rtol=1e-4, atol=1e-4)
    listener = Silent()
    with pytest.raises(InputError, match=r"SMOTE needs imbalanced-learn; pip install steelyard\[resample\]"):
        compare(asked(table, methods=["ce", "smote"]), tmp_path / "none", listener)
    assert listener.trained == []  # said before hours of training


def test_a_refit_finds_its_plain_run_whatever_the_order_of_the_settings(table: Path, tmp_path: Path) -> None:
    methods = ["ce(lr=0.1, clip=1)", "refit(clip=1, lr=0.1)"]
    plain, refit = compare(asked(table, methods=methods, seeds=1), tmp_path / "study", Silent()).runs()
    assert refit.history() == plain.history()  # seconds too: nothing was trained again


def test_features_are_what_the_head_reads_and_can_be_compared_on(
    study: Store, table: Path, tmp_path: Path
) -> None:
    plain = study.runs()[0]
    assert write_features(plain.folder, str(table), tmp_path / "f.npz", target=None, device="cpu") == 120
    with np.load(tmp_path / "f.npz") as file:
        arrays = dict(file)
    assert arrays["X"].dtype == np.float32
    model = restore(plain, "cpu").model
    layer = last_linear(model)
    logits = torch.from_numpy(arrays["X"]) @ layer.weight.T + layer.bias
    test = plain.predictions("test")
    place = np.searchsorted(arrays["index"], test.index)
    np.testing.assert_allclose(logits.detach()[place], test.logits, atol=1e-4)
    rows = split_of(study.study, read(str(table)), plain.run)
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(arrays["index"][arrays["split"] == part], getattr(rows, part))
    data = read(str(tmp_path / "f.npz"))
    assert data.classes == read(str(table)).classes
    np.testing.assert_array_equal(data.part, arrays["split"])
    again = compare(
        asked(tmp_path / "f.npz", model="mlp(hidden=[])", methods=["ce", "smote"], seeds=1),
        tmp_path / "again",
        Silent(),
    )
    assert [stored.failure for stored in again.runs()] == [None, None]


def test_held_out_features_are_of_what_the_model_has_not_learnt_from(
    study: Store, table: Path, tmp_path: Path
) -> None:
    place, whole, part = study.runs()[0].folder, tmp_path / "whole.npz", tmp_path / "part.npz"
    rows = split_of(study.study, read(str(table)), study.runs()[0].run)
    write_features(place, str(table), whole, device="cpu")
    count = write_features(place, str(table), part, held_out=True, device="cpu")
    assert count == len(rows.val) + len(rows.test)
    with np.load(whole) as f, np.load(part) as g:
        np.testing.assert_array_equal(g["index"][g["split"] == "train"], rows.val)
        np.testing.assert_array_equal(g["index"][g["split"] == "test"], rows.test)
        assert "val" not in g["split"]
        np.testing.assert_allclose(g["X"], f["X"][np.isin(f["index"], g["index"])], atol=1e-6)


def test_held_out_features_need_rows_that_the_model_has_not_learnt_from(
    study: Store, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f.npz"
    with pytest.raises(InputError, match=r"--held-out is for the data that .*blobs\.npz, got digits"):
        write_features(study.runs()[0].folder, "digits", out, held_out=True, device="cpu")
    data = {"source": str(table), "val_fraction": 0}
    bare = compare(asked(table, data=data, methods=["ce"], seeds=1), tmp_path / "bare", Silent())
    with pytest.raises(InputError, match="it has none; train it with a val_fraction above 0"):
        write_features(bare.runs()[0].folder, str(table), out, held_out=True, device="cpu")
    assert not out.exists()


def test_the_control_is_logistic_regression_on_the_features(
    study: Store, table: Path, tmp_path: Path
) -> None:
    write_features(study.runs()[0].folder, str(table), tmp_path / "f.npz", target=None, device="cpu")
    with np.load(tmp_path / "f.npz") as f:
        x, y, part, index = f["X"], f["y"], f["split"], f["index"]
    mean, deviation = x[part == "train"].mean(0), x[part == "train"].std(0)
    z = (x - mean) / np.where(deviation > 0, deviation, 1)
    fitted = LogisticRegression(max_iter=1000).fit(z[part == "train"], y[part == "train"])
    test = next(s for s in study.runs() if s.run.method.name == "refit").predictions("test")
    expected = fitted.predict_proba(z[np.searchsorted(index, test.index)])
    np.testing.assert_allclose(test.probability, expected, atol=1e-3)


def test_features_of_other_data_with_classes_of_its_own(study: Store, tmp_path: Path) -> None:
    X = np.random.default_rng(1).normal(size=(6, 4))
    np.savez(tmp_path / "other.npz", X=X, y=np.array(list("aabbcc")), group=[1, 1, 2, 2, 3, 3])
    place = study.runs()[0].folder
    write_features(place, str(tmp_path / "other.npz"), tmp_path / "f.npz", target=None, device="cpu")
    with np.load(tmp_path / "f.npz") as f:
        assert f["y"].tolist() == [0, 0, 1, 1, 2, 2]
        assert f["classes"].tolist() == ["a", "b", "c"]
        assert f["group"].tolist() == [0, 0, 1, 1, 2, 2]
        assert "split" not in f
    with pytest.raises(InputError, match=r"expected --out as an \.npz file, got features\.csv"):
        write_features(place, str(tmp_path / "other.npz"), Path("features.csv"), target=None, device="cpu")


def test_a_refit_that_cannot_learn_is_a_failed_run(table: Path, tmp_path: Path) -> None:
    methods = ["ce", "neighbourhood-cleaning(neighbours=500)", "refit"]
    store = compare(asked(table, methods=methods, seeds=1), tmp_path / "study", Silent())
    plain, failed, fine = store.runs()
    assert plain.failure is None
    assert fine.failure is None
    assert failed.failure is not None
    assert failed.failure.startswith("NeighbourhoodCleaning cannot resample these features: ")
    assert not (failed.folder / "model.pt").exists()


def test_a_model_whose_last_layer_has_no_bias_is_refused_before_training(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat_net.py").write_text(
        "import torch\ndef make(shape, n):\n    return torch.nn.Linear(shape[0], n, bias=False)\n"
    )
    with pytest.raises(InputError, match="smote learns the last linear layer anew with a bias"):
        compare(asked(table, model="flat_net:make", methods=["smote"]), tmp_path / "study", Silent())


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Grey pictures of four people: each one's shade and a little noise."""
    generator = np.random.default_rng(0)
    for person, shade in (("Ada", 30), ("Bea", 90), ("Cyd", 150), ("Dot", 210)):
        (tmp_path / "people" / person).mkdir(parents=True)
        for n in range(1, 7):
            noise = generator.integers(-8, 9, size=(8, 8))
            picture = np.full((8, 8), shade) + noise
            picture[: shade // 30] //= 2  # so that people differ in direction too
            path = tmp_path / "people" / person / f"{person}_{n:04d}.png"
            Image.fromarray(picture.astype(np.uint8)).save(path)
    return tmp_path / "people"


def pair_lines(folds: int) -> list[str]:
    lines = []
    for fold in range(folds):
        lines += [f"{name} {fold + 1} {fold + 2}" for name in ("Ada", "Cyd")]
        lines += [f"Ada {fold + 1} Dot {fold + 2}", f"Bea {fold + 1} Cyd {fold + 1}"]
    return lines


def model_of(people: Path, tmp_path: Path) -> Path:
    values: dict[str, Any] = {"model": "mlp(hidden=[8])", "methods": ["ce"], "seeds": 1, "critical": []}
    training = {"epochs": 15, "batch_size": 8, "lr": 0.02}
    store = compare(asked(people, training=training, **values), tmp_path / "study", Silent())
    return store.folder


def test_pairs_are_judged_by_the_cosine_of_their_features(people: Path, tmp_path: Path) -> None:
    model = model_of(people, tmp_path)
    (tmp_path / "pairs.txt").write_text("\n".join(["5 2", *pair_lines(5)]))
    found = verify(model, str(people), tmp_path / "pairs.txt", device="cpu")
    assert found.pairs == 20
    assert len(found.accuracy.fold_accuracy) == 5
    assert found.accuracy.mean > 0.9
    dataset = read(str(people))
    place = {name.removesuffix(".png"): n for n, name in enumerate(dataset.sample)}
    write_features(model, str(people), tmp_path / "f.npz", target=None, device="cpu")
    with np.load(tmp_path / "f.npz") as f:
        x = f["X"].astype(np.float64)[np.argsort(f["index"])]
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    listed = read_pairs(tmp_path / "pairs.txt")
    cosine = [x[place[a]] @ x[place[b]] for a, b in zip(listed.first, listed.second, strict=True)]
    right = []
    for fold in range(5):
        own = np.arange(20) // 4 == fold
        cut = found.accuracy.fold_threshold[fold]
        right.append(((np.array(cosine) >= cut) == listed.same)[own].mean())
    np.testing.assert_allclose(found.accuracy.fold_accuracy, right)


def test_pairs_that_cannot_be_judged_are_refused(people: Path, tmp_path: Path) -> None:
    model = model_of(people, tmp_path)
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("Ada 1 9\nAda 1 Bea 1")
    with pytest.raises(InputError, match=r"names Ada/Ada_0009, but .* has no such image"):
        verify(model, str(people), pairs, device="cpu")
    with pytest.raises(InputError, match=r"digits: expected a folder of images"):
        verify(model, "digits", pairs, device="cpu")
    pairs.write_text("\n".join(pair_lines(2)))
    with pytest.raises(InputError, match="expected at least 10 pairs of each kind"):
        verify(model, str(people), pairs, device="cpu")
    assert open_run(model)[0].run.method.name == "ce"
