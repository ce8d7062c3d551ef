"""What every benchmark shares: two callables in turn, the machine, and the committed figures."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard._files import write_text

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")


def alternate(a: Callable[[], object], b: Callable[[], object], repeats: int) -> dict[str, Any]:
    """Median seconds of each and median ratio ``a / b``, after one call of each that does not count.

    The two take turns, so that a machine that slows down slows both.
    """
    seconds: list[tuple[float, float]] = [(_seconds(a), _seconds(b)) for _ in range(repeats + 1)][1:]
    return {
        "a_seconds": statistics.median(first for first, _ in seconds),
        "b_seconds": statistics.median(second for _, second in seconds),
        "ratio": statistics.median(first / second for first, second in seconds),
        "repeats": repeats,
    }


def machine() -> dict[str, Any]:
    """Where and when a figure was taken."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def save(name: str, payload: dict[str, Any]) -> None:
    """Write ``benchmarks/results/NAME.json``."""
    write_text(RESULTS / f"{name}.json", json.dumps(payload, indent=2) + "\n")


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _processor() -> str:
    """The processor's name; Linux keeps it where platform does not look."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
