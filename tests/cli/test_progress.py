"""The bars, drawn into a text."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from steelyard.cli.progress import TrialWatcher, Watcher
from steelyard.studies.config import Study

ASKED = Study(data={"source": "digits"}, methods=["ce", "focal"], seeds=1, training={"epochs": 4})


@pytest.mark.parametrize("kind", [Watcher, TrialWatcher])
def test_the_bar_is_full_when_all_runs_are_at_their_last_epoch(kind: type[Watcher]) -> None:
    runs = ASKED.runs()
    with kind(Console(file=io.StringIO(), force_terminal=True), ASKED) as watcher:
        watcher.start(runs[:1], 0)
        (bar,) = watcher.bars.tasks
        watcher.epoch(runs[0], {"epoch": 2.0})
        assert bar.percentage == 50
        watcher.epoch(runs[0], {"epoch": 4.0})
        assert bar.percentage == 100


def test_it_says_why_more_is_trained_than_was_asked_for() -> None:
    asked = ASKED.model_copy(update={"added": {"ce": "the plain baseline", "bce": "first phase of alm"}})
    runs, text = asked.runs(), io.StringIO()
    with Watcher(Console(file=text, width=20), asked) as watcher:
        watcher.start(runs, 0)
        watcher.start(runs[1:], 1)  # of which none was added
    assert text.getvalue().count("\nBeside the methods asked for: ce, the plain baseline\n") == 1
    assert "bce" not in text.getvalue()


def test_the_bar_of_a_search_grows_by_every_round() -> None:
    runs = ASKED.runs()
    with TrialWatcher(Console(file=io.StringIO(), force_terminal=True), ASKED) as watcher:
        watcher.start(runs[:1], 0)
        watcher.start(runs[1:], 1)
        assert watcher.bars.tasks[0].total == 2
