from __future__ import annotations

import subprocess
import sys

import pytest

import steelyard


def test_import_is_quick_because_it_loads_no_torch() -> None:
    code = "import sys, steelyard; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_loads_on_first_use() -> None:
    assert set(steelyard.__all__) <= set(dir(steelyard))
    for name in steelyard.__all__:
        assert getattr(steelyard, name) is not None
    assert steelyard.LOW is steelyard.objective.LOW


def test_unknown_names_are_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'steelyard' has no attribute 'Low'"):
        steelyard.Low  # noqa: B018 - the access is the test
