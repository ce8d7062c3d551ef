from pathlib import Path

import numpy as np
from tests.studies.conftest import Silent, asked

from steelyard.studies.compare import compare
from steelyard.studies.predict import predict_on


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
