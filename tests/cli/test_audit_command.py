"""`steelyard audit` on studies that were really trained."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from tests.cli.conftest import Run
from tests.studies.conftest import Silent

from steelyard.studies.compare import compare, read_once
from steelyard.studies.config import study
from steelyard.studies.samples import keep_samples

FLIPPED = 40


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, set[int]]:
    """600 digits of which 40 have a wrong label, and which."""
    generator = np.random.default_rng(0)
    images, y = load_digits(return_X_y=True)
    rows = generator.choice(600, FLIPPED, replace=False)
    y = y[:600].copy()
    y[rows] = (y[rows] + generator.integers(1, 10, FLIPPED)) % 10
    return images[:600], y, set(rows.tolist())


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_planted_errors_are_found(
    steelyard: Run, planted: tuple[np.ndarray, np.ndarray, set[int]], tmp_path: Path
) -> None:
    x, y, wrong = planted
    np.savez(tmp_path / "digits.npz", X=x.reshape(-1, 1, 8, 8).astype(np.uint8) * 15, y=y)
    out = tmp_path / "study"
    values = {
        "data": {"source": str(tmp_path / "digits.npz"), "val_fraction": 0},
        "methods": ["ce", "low"],
        "model": "mlp(hidden=[32])",
        "training": {"epochs": 20, "batch_size": 32},
    }
    store = compare(study(values | {"seeds": 1, "folds": 2}), out, Silent())
    keep_samples(store, np.array([3, 5]))
    for options in (
        (),
        ("--by", "margin"),
        ("--by", "loss"),
        ("--by", "weight"),
        ("--method", "low", "--per-class"),
    ):
        code, said, error = steelyard("audit", out, *options, "--top", 12)
        assert (code, error) == (0, "")
        assert "audit.html" in said
        found = read(out / "audit.csv")
        assert sorted(int(row["index"]) for row in found) == list(range(600))  # two folds train on all
        first = [int(row["index"]) in wrong for row in found[:FLIPPED]]
        assert np.mean(first) > 0.75, options
        assert all(int(row["given_label"]) == y[int(row["index"])] for row in found)
        flagged = {int(row["index"]) for row in found if row["is_label_issue"] == "True"}
        assert len(flagged & wrong) / FLIPPED > 0.85
    page = (out / "audit.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") >= 12
    kept = store.samples()
    assert kept is not None
    assert {3, 5} < set(kept["index"].tolist())  # what another page shows is still there
    np.testing.assert_array_equal(kept["image"][:, 0], 15 * x[kept["index"]].reshape(-1, 8, 8))


def test_a_table_is_audited_without_its_data_too(steelyard: Run, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    with (tmp_path / "fraud.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["amount", "shop", "label"])
        writer.writerows(
            [f"{generator.normal(4 * (i % 3 == 0)):.3f}", f"shop{i % 2}", "yn"[i % 3 > 0]] for i in range(90)
        )
    out = tmp_path / "study"
    words = ("--target", "label", "--methods", "ce", "--seeds", 1, "--epochs", 2, "--quiet", "--out", out)
    code, _, said = steelyard("compare", tmp_path / "fraud.csv", *words)
    assert code == 0, said
    code, _, said = steelyard("audit", out)
    assert (code, said) == (0, "")
    page = (out / "audit.html").read_text(encoding="utf-8")
    assert ">shop</button>" in page
    assert ">shop1</td>" in page
    (tmp_path / "fraud.csv").unlink()
    read_once.cache_clear()
    (out / "values.npz").unlink()
    with pytest.warns(UserWarning, match=r"lacks samples, the data cannot be read: .*fraud\.csv"):
        assert steelyard("audit", out)[0] == 0
    assert ">shop</button>" not in (out / "audit.html").read_text(encoding="utf-8")


def test_a_table_of_numbers_alone_is_audited(steelyard: Run, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    target = generator.random(400) < 0.3
    rows = np.c_[generator.normal(2 * target), generator.normal(size=400), target].round(4)
    source = tmp_path / "numbers.csv"
    np.savetxt(
        source, rows, delimiter=",", header="amount,age,label", comments="", fmt=["%.4f", "%.4f", "%d"]
    )
    out = tmp_path / "study"
    words = ("--target", "label", "--methods", "ce", "--seeds", 1, "--epochs", 1, "--quiet", "--out", out)
    code, _, said = steelyard("compare", source, *words)
    assert code == 0, said
    code, _, said = steelyard("audit", out, "--top", 20)
    assert (code, said) == (0, "")
    first = read(out / "audit.csv")[0]
    page = (out / "audit.html").read_text(encoding="utf-8")
    assert f">{rows[int(first['index'])][0]:.6g}</td>" in page
    assert ">amount</button>" in page


def test_rare_classes_that_are_not_learned_are_not_accused(steelyard: Run, tmp_path: Path) -> None:
    out = tmp_path / "study"
    values = {
        "data": {"source": "digits", "imbalance": "step(ratio=20)"},
        "methods": ["ce"],
        "model": "mlp(hidden=[32])",
        "training": {"epochs": 3, "batch_size": 64},
    }
    compare(study(values | {"seeds": 1, "folds": 2}), out, Silent())
    code, said, error = steelyard("audit", out)
    assert (code, error) == (0, "")
    assert "not judged" in said
    found = read(out / "audit.csv")
    rare = [row for row in found if row["is_judged"] == "False"]
    wrong = [row for row in found if row["given_class"] != row["predicted_class"]]
    assert len(rare) > 20
    assert len(wrong) > len(rare) / 2  # whom the model contradicts: mostly the rare
    assert sum(row["is_label_issue"] == "True" for row in found) < 0.05 * len(found)
    assert not any(row["is_label_issue"] == "True" for row in rare)
    assert all(row["label_quality"] == "" for row in rare)


def test_an_unfinished_study_shows_what_is_there(steelyard: Run, tmp_path: Path) -> None:
    out = tmp_path / "study"
    values = {"data": {"source": "digits"}, "methods": ["ce", "focal"], "model": "mlp(hidden=[8])"}
    store = compare(study(values | {"seeds": 2, "training": {"epochs": 1}}), out, Silent())
    (out / "results.csv").unlink()
    shutil.rmtree(store.runs()[-1].folder)  # as if stopped before the last run, of focal
    code, said, error = steelyard("report", out)
    assert (code, error) == (0, "")
    assert "ce" in said
    seeds = [(row["method"], row["seed"]) for row in read(out / "results.csv") if row["metric"] == "accuracy"]
    assert {("ce", "1"), ("focal", "0")} < set(seeds)
    assert ("focal", "1") not in seeds
    code, said, error = steelyard("audit", out, "--method", "focal")
    assert (code, error) == (0, "")
    assert "in 1 of 2 runs of focal" in (out / "audit.html").read_text(encoding="utf-8")


def test_mistakes_are_one_line(steelyard: Run, tmp_path: Path) -> None:
    for words, message in (
        ((tmp_path,), "holds no study"),
        ((tmp_path / "nowhere",), "holds no study"),
        ((tmp_path, "--top", 0), "greater than or equal to 1"),
    ):
        code, _, said = steelyard("audit", *words)
        assert code == 2
        assert said.startswith("steelyard: ")
        assert said.count("\n") == 1
        assert message in said
