"""`steelyard report` over several studies."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Run


@pytest.fixture
def studies(steelyard: Run, tmp_path: Path) -> list[Path]:
    """The folders of one comparison on each of two tables."""
    found = []
    for seed, name in enumerate(("fraud", "churn")):
        generator = np.random.default_rng(seed)
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["x", "label"])
            writer.writerows([f"{generator.normal(i % 4 == 0):.3f}", "yn"[i % 4 > 0]] for i in range(80))
        found.append(tmp_path / f"{name}-study")
        words = ("--target", "label", "--methods", "ce,focal", "--seeds", 1, "--epochs", 1, "--quiet")
        code, _, said = steelyard("compare", tmp_path / f"{name}.csv", *words, "--out", found[-1])
        assert code == 0, said
    return found


def test_several_studies_are_ranked(
    steelyard: Run, studies: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = {path: path.read_bytes() for one in studies for path in one.rglob("*") if path.is_file()}
    code, said, _ = steelyard("report", *studies)
    assert code == 0
    assert "2 methods over 2 data sets" in said
    assert all(name in said for name in ("fraud", "churn", "ce", "focal"))
    assert "steelyard-ranks/report.html" in said
    assert {
        path: path.read_bytes() for path in kept
    } == kept  # nothing was trained, the pages are as they were
    for link in ("../fraud-study/report.html", "../churn-study/report.html"):
        assert f'href="{link}"' in (tmp_path / "steelyard-ranks" / "report.html").read_text()
    code, said, _ = steelyard("report", *studies, "--out", "ranks", "--json")
    assert code == 0
    summary = json.loads(said)
    assert summary == json.loads((tmp_path / "ranks" / "summary.json").read_text())
    assert sorted(one["method"] for one in summary["methods"]) == ["ce", "focal"]
    assert [one["name"] for one in summary["data_sets"]] == ["fraud", "churn"]


def test_mistakes_are_one_line(steelyard: Run, studies: list[Path], tmp_path: Path) -> None:
    for words, message in (
        ([studies[0], studies[0]], "the same data set"),
        ([studies[0], tmp_path], "holds no study"),
        ([*studies, "--out", studies[1]], "give --out another folder"),
        ([studies[0], "--out", tmp_path / "ranks"], "give more than one folder"),
    ):
        code, _, said = steelyard("report", *words)
        assert code == 2
        assert said.startswith("steelyard: ")
        assert said.count("\n") == 1
        assert message in said
    assert not (tmp_path / "ranks").exists()
