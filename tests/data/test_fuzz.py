"""Damaged inputs of every kind are read or refused in one line, in bounded time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.data.fuzz import KINDS, attempt, fuzz, mutated, peak_memory

from steelyard._checks import InputError

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = 55  # of each kind


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    make, read_it = KINDS[kind]
    assert attempt(read_it, make(tmp_path / "whole"), limit=10).error is None
    before = peak_memory()
    for number, outcome in fuzz(kind, tmp_path, INPUTS, seed=0):
        assert outcome.error is None or isinstance(outcome.error, InputError), f"input {number}"
        assert "\n" not in str(outcome.error)
        assert len(str(outcome.error)) < 2000
    assert peak_memory() - before < 2**30


def test_damage_is_done_and_is_the_same_for_a_seed() -> None:
    content = bytes(range(256))
    found = [mutated(content, np.random.default_rng(seed)) for seed in range(50)]
    assert sum(one != content for one in found) > 45
    assert found == [mutated(content, np.random.default_rng(seed)) for seed in range(50)]


def test_a_hang_and_a_traceback_would_be_found(tmp_path: Path) -> None:
    def endless(_: Path) -> None:
        while True:
            pass

    assert isinstance(attempt(endless, tmp_path, limit=1).error, TimeoutError)
    assert isinstance(attempt(lambda _: {}[0], tmp_path, limit=1).error, KeyError)
