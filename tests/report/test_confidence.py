from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steelyard.records import Predictions
from steelyard.report import confidence
from steelyard.report.figure import Look

C = 12
ABOVE = [c // 4 for c in range(C)]


def run(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, C, 90)
    logits = 2 * rng.normal(size=(90, C)) + 2 * np.eye(C)[target]
    return SimpleNamespace(test=Predictions(logits, target, np.arange(90)))


def evidence(*, classes: int = C, superclass: list[int] | None = None, **methods: list[Any]) -> Any:
    facts = {"superclass": superclass or []}
    return SimpleNamespace(classes=[f"c{n}" for n in range(classes)], facts=facts, finished=methods)


def looks(found: Any) -> dict[str, Look]:
    return {name: Look(place) for place, name in enumerate(found.finished)}


def rows(found: Any) -> dict[str, dict[tuple[str, float], float]]:
    drawn = confidence.plots(found, looks(found))
    assert all(plot.svg.startswith("<svg") and plot.finding for plot in drawn)
    return {plot.name: {(m, x): y for m, x, y, _ in plot.rows} for plot in drawn}


def test_every_curve_is_its_definition_averaged_over_runs() -> None:
    runs = [run(0), run(1)]
    found = rows(evidence(superclass=ABOVE, ours=runs, theirs=[run(2)]))
    tests = [one.test for one in runs]
    own = [p.probability[np.arange(90), p.target] for p in tests]
    top = [p.probability.max(1) for p in tests]
    for k in (1, 3, C):
        place = [(p.probability > o[:, None]).sum(1) for p, o in zip(tests, own, strict=True)]
        assert found["top_k"]["ours", k] == pytest.approx(100 * np.mean([(n < k).mean() for n in place]))
    for a in (0.0, 0.05, 0.1):
        near = [(t - o <= a).mean() for t, o in zip(top, own, strict=True)]
        assert found["close_enough"]["ours", a] == pytest.approx(100 * np.mean(near))
        grouped = [p.probability.reshape(90, 3, 4).sum(2) for p in tests]
        near = [
            (g.max(1) - g[np.arange(90), p.target // 4] <= a).mean()
            for g, p in zip(grouped, tests, strict=True)
        ]
        assert found["close_enough_superclass"]["ours", a] == pytest.approx(100 * np.mean(near))
    bins = found["max_probability"]
    assert sum(y for (m, _), y in bins.items() if m == "theirs") == pytest.approx(100)
    high = 100 * np.mean([(t >= 0.9).mean() for t in top])
    assert sum(y for (m, x), y in bins.items() if m == "ours" and x > 0.9) == pytest.approx(high)
    wrong = [(o - t)[p.decision != p.target] for p, o, t in zip(tests, own, top, strict=True)]
    far = 100 * np.mean([(w < -0.5).mean() for w in wrong])
    found_far = sum(y for (m, x), y in found["missing_probability"].items() if m == "ours" and x < -0.5)
    assert found_far == pytest.approx(far)
    assert 0 < far < 100


def test_few_classes_and_unknown_superclasses_draw_nothing() -> None:
    few = evidence(classes=9, ours=[run(0)])
    assert confidence.plots(few, looks(few)) == []
    assert "close_enough_superclass" not in rows(evidence(ours=[run(0)]))
