"""Wall time of ``steelyard --help`` and of ``import steelyard``, whole processes. Goal: help in under 0.5 s.

Run ``python benchmarks/startup.py``, with ``--save`` to keep the figures.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from _bench import machine, save


def main() -> None:
    result = {
        "help_seconds": median_seconds("-m", "steelyard", "--help"),
        "import_seconds": median_seconds("-c", "import steelyard"),
        "python_alone_seconds": median_seconds("-c", "pass"),
    }
    print(f"steelyard --help: {result['help_seconds']:.2f} s (goal: under 0.5 s)")
    beyond = result["import_seconds"] - result["python_alone_seconds"]
    print(f"import steelyard: {beyond:.3f} s beyond Python's own")
    if "--save" in sys.argv:
        save("startup", {"claim": "steelyard --help takes under 0.5 s", **result, **machine()})


def median_seconds(*words: str, repeats: int = 9) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
