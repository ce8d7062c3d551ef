from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.studies.conftest import Silent, asked

from steelyard import InputError
from steelyard.data import Encoding, shades_of_grey
from steelyard.studies import config
from steelyard.studies.compare import compare
from steelyard.studies.predict import predict_on, write_predictions
from steelyard.studies.store import read_rows


def test_a_stored_model_predicts_on_the_scale_that_its_objective_learned(table: Path, tmp_path: Path) -> None:
    methods = ["single-scale(lr_factor=300)", "two-scale(eta=0.1, lr_factor=300)", "two-scale-separation"]
    store = compare(asked(table, methods=methods, seeds=1), tmp_path / "out", Silent())
    for stored in store.runs():
        again, _, _ = predict_on(stored, str(table), labelled=True, device="cpu")
        test = stored.predictions("test")
        np.testing.assert_allclose(again.logits[test.index], test.logits, rtol=1e-4, atol=1e-5)
        history = stored.history()
        if "scale_1" in history[-1]:
            assert abs(history[-1]["scale_1"] / history[-1]["weight_norm"] - 1) > 0.01


def test_a_stored_model_predicts_for_critical_classes(table: Path, tmp_path: Path) -> None:
    store = compare(asked(table, methods=["bce", "alm"], seeds=1), tmp_path / "out", Silent())
    for stored in store.runs():
        again, _, _ = predict_on(stored, str(table), labelled=True, device="cpu")
        test = stored.predictions("test")
        np.testing.assert_allclose(again.logits[test.index], test.logits, rtol=1e-4, atol=1e-5)
        told = {"mu", "multiplier", "violation"} <= set(stored.history()[-1])
        assert told == (stored.run.method.name == "alm")


def test_a_model_of_changed_colours_changes_those_of_new_images_too(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 120, (60, 3, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "lesions.npz", X=x, y=np.arange(60) % 2)
    bluer = x.copy()
    bluer[:, 2] *= 2
    np.savez(tmp_path / "bluer.npz", X=bluer)
    study = config.study(
        {
            "data": {"source": str(tmp_path / "lesions.npz"), "colour": "shades-of-grey"},
            "model": "small-cnn(width=4)",
            "methods": ["ce"],
            "training": {"epochs": 1},
            "seeds": 1,
        }
    )
    (stored,) = compare(study, tmp_path / "out", Silent()).runs()
    here, _, _ = predict_on(stored, str(tmp_path / "lesions.npz"), labelled=True, device="cpu")
    there, _, _ = predict_on(stored, str(tmp_path / "bluer.npz"), labelled=False, device="cpu")
    test = stored.predictions("test")
    np.testing.assert_allclose(here.logits[test.index], test.logits, rtol=1e-4, atol=1e-5)
    kept = torch.load(stored.folder / "model.pt", weights_only=True)
    plain = replace(Encoding.from_json(kept["encoding"]), colour=None)
    torch.save(kept | {"encoding": plain.to_json()}, stored.folder / "model.pt")
    np.savez(tmp_path / "changed.npz", X=shades_of_grey(torch.from_numpy(bluer)).numpy())
    by_hand, _, _ = predict_on(stored, str(tmp_path / "changed.npz"), labelled=False, device="cpu")
    unchanged, _, _ = predict_on(stored, str(tmp_path / "bluer.npz"), labelled=False, device="cpu")
    np.testing.assert_allclose(by_hand.logits, there.logits, rtol=1e-4, atol=1e-5)
    assert np.abs(unchanged.logits - there.logits).max() > 0.01


def test_predictions_tell_their_uncertainty(table: Path, tmp_path: Path) -> None:
    methods = ["ce", "umm", "additive", "sphereface"]
    store = compare(asked(table, methods=methods, seeds=1), tmp_path / "out", Silent())
    for stored in store.runs():
        again, _, _ = predict_on(stored, str(table), labelled=True, device="cpu")
        test = stored.predictions("test")
        np.testing.assert_allclose(again.logits[test.index], test.logits, rtol=1e-4, atol=1e-5)
        tables = []
        for _ in range(2):
            write_predictions(stored.folder, str(table), tmp_path / "p.csv", uncertainty=True, device="cpu")
            tables.append(read_rows(tmp_path / "p.csv"))
        assert tables[0] == tables[1]
        found = {name: np.array([float(row[name]) for row in tables[0]]) for name in
                 ("variance", "entropy", "mutual_information")}  # fmt: skip
        assert all(((values >= 0) & (values < np.log(3) + 1e-6)).all() for values in found.values())
        assert (found["mutual_information"] <= found["entropy"] + 1e-6).all()
        assert found["variance"].std() > 0


def test_a_model_without_dropout_has_no_uncertainty_to_tell(table: Path, tmp_path: Path) -> None:
    store = compare(asked(table, model="mlp", methods=["ce"], seeds=1), tmp_path / "out", Silent())
    (stored,) = store.runs()
    with pytest.raises(InputError, match="needs a model with dropout"):
        write_predictions(stored.folder, str(table), tmp_path / "p.csv", uncertainty=True, device="cpu")


def test_columns_and_classes_keep_the_meaning_that_training_gave_them(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    grades, values = generator.choice(list("1123X"), 60), generator.normal(size=60).round(3)
    rows = [
        (f"{values[n]:.3f}".replace(".", ","), grades[n], "10A" if n < 5 else f"0{n % 2}") for n in range(60)
    ]
    (tmp_path / "t.csv").write_text("\n".join(map(";".join, [("x", "grade", "y"), *rows])))
    words = {"data": {"source": str(tmp_path / "t.csv"), "target": "y"}, "methods": ["ce"], "seeds": 1}
    study = config.study(words | {"model": "mlp(hidden=[4])", "training": {"epochs": 1}})
    (stored,) = compare(study, tmp_path / "out", Silent()).runs()
    all_rows, _, classes = predict_on(stored, str(tmp_path / "t.csv"), labelled=True, device="cpu")
    assert classes == ["00", "01", "10A"]
    some = [n for n in range(5, 60) if n % 2 and grades[n] != "X"]  # numbers alone, of one class
    points = [(f"{values[n]}", grades[n], "01") for n in some] + [("unknown", "4", "1")]
    (tmp_path / "new.csv").write_text("\n".join(map(",".join, [("x", "grade", "y"), *points])))
    found, dataset, _ = predict_on(stored, str(tmp_path / "new.csv"), labelled=True, device="cpu")
    np.testing.assert_allclose(found.logits[:-1], all_rows.logits[some], rtol=1e-5, atol=1e-6)
    assert found.target.tolist() == [1] * len(found.target)
    assert dataset.notes == (
        f"{tmp_path / 'new.csv'}, column y: '1' taken for the class '01'",
        f"column x: 1 cell of {len(points)} read as missing: 'unknown' (row {len(points) + 1})",
        "column grade: categories that training had not, read as none of those it had: '4' (1)",
        "no sample of '00', '10A': figures that need one are NaN",
    )
