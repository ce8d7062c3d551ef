from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def on_two_ranks(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., tuple[Any, list[Any]]]:
    """A script beside the test, as a module, and the JSON that it prints on each of two ranks."""

    def run(name: str, *arguments: str) -> tuple[Any, list[Any]]:
        script = request.path.with_name(name)
        local = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, script]
        ranks = [
            subprocess.Popen(
                [*command, str(rank), tmp_path / "store", *arguments], stdout=subprocess.PIPE, env=local
            )
            for rank in range(2)
        ]
        found = [json.loads(rank.communicate(timeout=120)[0]) for rank in ranks]
        assert [rank.returncode for rank in ranks] == [0, 0]
        spec = importlib.util.spec_from_file_location(script.stem, script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module, found

    return run
