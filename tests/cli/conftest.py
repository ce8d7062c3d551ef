import sys
from collections.abc import Callable

import pytest

from steelyard.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def steelyard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process; returns exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["steelyard", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        code = stop.value.code
        printed = capsys.readouterr()
        return (0 if code is None else int(code)), printed.out, printed.err

    return run
