"""predict and evaluate by their commands."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

QUICK = ("--epochs", 2, "--model", "mlp(hidden=[8])", "--lr", 0.03, "--quiet")


def faults(path: Path, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    bad = np.arange(200) % 4 == 0
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["heat", "noise", "label"])
        writer.writerows(
            [f"{generator.normal(2 * b):.5f}", f"{generator.normal():.5f}", "bad" if b else "ok"] for b in bad
        )
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return faults(tmp_path / "old.csv", 0)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return faults(tmp_path / "new.csv", 1)


def test_a_model_for_all_samples_is_trained_judged_and_used(
    steelyard: Run, old: Path, new: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "model", tmp_path / "p.csv"
    words = ("train", old, "--target", "label", "--critical", "bad", "--test-fraction", 0, *QUICK)
    code, said, told = steelyard(*words, "--val-fraction", 0.4, "--at-tpr", 0.8, "--out", model, "--json")
    assert code == 0, told
    assert "the figures are of the validation samples" in told
    assert json.loads(said)["auc"] > 0.5
    code, said, told = steelyard("evaluate", model, new)
    assert code == 0, told
    assert "200 samples, 50 of them critical" in said
    assert "With 95 % confidence at least 80 %" in " ".join(said.split())
    code, said, told = steelyard("evaluate", model, model, new, "--json")
    assert code == 0, told
    one, two = json.loads(said)
    assert one == two
    assert one["samples"] == 200
    assert one["intervals"]["sensitivity"][0] < one["sensitivity"]
    code, said, told = steelyard("predict", model, new, "--out", out, "--adjust", "temperature")
    assert code == 0, told
    assert "With 95 % confidence at least 80 %" in said
    rows = {(row["threshold"] != "", row["promise"], row["positives"]) for row in read(out)}
    assert rows == {(True, "80 % of new critical samples with 95 % confidence", "20")}
    code, said, told = steelyard("predict", model, new, "--out", out, "--at-tpr", 0.99)
    assert code == 0
    assert "no sensitivity is promised: 20 critical samples are held out" in told
    assert {row["promise"] for row in read(out)} == {"none"}


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_a_comparison_is_confirmed_by_one_command(
    steelyard: Run, old: Path, new: Path, tmp_path: Path
) -> None:
    study, out = tmp_path / "study", tmp_path / "out"
    words = ("compare", old, "--target", "label", "--critical", "bad", "--methods", "ce,focal", "--seeds", 2)
    assert steelyard(*words, *QUICK, "--out", study)[0] == 0
    code, said, told = steelyard("evaluate", study, new, "--out", out, "--json")
    assert code == 0, told
    summary = json.loads(said, parse_constant=pytest.fail)
    assert summary["chosen"]["method"] == json.loads((study / "summary.json").read_text())["chosen"]["method"]
    assert {row["method"] for row in summary["methods"]} >= {"ce", "focal", "ce, ensemble of 2"}
    assert summary["comparisons"]
    code, said, _ = steelyard("evaluate", study, new, "--out", out)  # again, in the same folder
    assert code == 0
    assert "200 samples, 50 of them critical" in said
    before = (out / "report.html").read_bytes()
    assert steelyard("report", out)[0] == 0
    assert (out / "report.html").read_bytes() == before
    for refused, message in (
        (("evaluate", study, old, "--out", tmp_path / "o"), "of 200 samples are those of training or valid"),
        (("evaluate", study, new, "--adjust", "temperature"), "--adjust is for models"),
        (("evaluate", study, study, new), "expected"),
        (("evaluate", study, new, "--part", "test", "--out", tmp_path / "o"), "got no parts"),
        (("compare", old, "--target", "label", "--test-fraction", 0), "a comparison needs test samples"),
        (("predict", next(study.glob("runs/*")), new, "--at-tpr", 95), "at_tpr"),
        (("predict", next(study.glob("runs/*")), new, "--adjust", "temp"), "Did you mean 'temperature'"),
    ):
        code, _, told = steelyard(*refused)
        assert code == 2
        assert message in told
        assert told.count("\n") == 1
