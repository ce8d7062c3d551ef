from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

QUICK = ("--epochs", 1, "--model", "mlp(hidden=[8])", "--seeds", 1, "--quiet")


def test_a_search_says_what_it_chose_and_compares_it(steelyard: Run, tmp_path: Path) -> None:
    out = tmp_path / "tuning"
    words = ("--methods", "low(lam=[0.1, 1])", "--staged", "--then-compare", *QUICK)
    code, said, _ = steelyard("tune", "digits", *words, "--out", out)
    assert code == 0
    found = json.loads((out / "tuning.json").read_text(encoding="utf-8"))
    assert found["chosen"]["ce"] == "ce"
    assert found["chosen"]["low(lam=[0.1, 1])"] in said
    assert f"steelyard compare {out}/chosen.yaml" in " ".join(said.split())
    assert (out / "comparison" / "report.html").exists()
    code, again, _ = steelyard("report", out)
    assert code == 0
    assert "Chosen on validation samples" in again
    code, said, _ = steelyard("report", out, "--json")
    assert json.loads(said) == found


def test_mistakes_are_one_line(steelyard: Run, tmp_path: Path) -> None:
    for words, message in (
        (("--staged", "--trials", 3), "leave --trials out"),
        (("--search", "epochs=[1, 2]"), "unknown setting to search 'epochs'"),
        (("--trials", 0), "trials must be a whole number"),
    ):
        code, _, error = steelyard("tune", "digits", *words, *QUICK, "--out", tmp_path / "out")
        assert code == 2
        assert message in error
        assert error.count("\n") == 1
