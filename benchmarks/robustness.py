"""Damaged and hostile inputs: how many are read, refused or not taken well, in what time and memory."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import zipfile
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the mutations, which the tests share

from _bench import machine, save
from tests.data.fuzz import KINDS, attempt, fuzz, peak_memory

from steelyard import InputError
from steelyard.data import read
from steelyard.studies.config import read_study, study

LIMIT = 60  # seconds


def pixels(place: Path) -> Path:
    """Two classes, in one an image of 13,000 x 13,000."""
    for name, size in (("a", 64), ("b", 13_000)):
        (place / name).mkdir()
        Image.new("RGB", (size, size)).save(place / name / "1.png")
    return place


def inflating(place: Path) -> Path:
    """Four MB that inflate to four GiB."""
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4194304, 1024), }".ljust(117) + "\n"
    with zipfile.ZipFile(place / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("X.npy", "w", force_zip64=True) as stream:
            stream.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
            for _ in range(4096):
                stream.write(bytes(2**20))
        file.writestr("y.npy", b"")
    return place / "a.npz"


def claiming(place: Path) -> Path:
    """A header that claims 10**12 numbers."""
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + "\n"
    with zipfile.ZipFile(place / "a.npz", "w") as file:
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
        file.writestr("X.npy", content)
        file.writestr("y.npy", content)
    return place / "a.npz"


def laughs(place: Path) -> Path:
    """YAML whose aliases stand for 10**9 words."""
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (place / "a.yaml").write_text("\n".join(lines))
    return place / "a.yaml"


BOMBS = {
    "13,000 x 13,000 pixels": (pixels, read),
    "4 GiB of zeros in 4 MB": (inflating, read),
    "a header of 10**12": (claiming, read),
    "YAML of 10**9 words": (laughs, lambda path: study(read_study(path))),
}


def of_kind(kind: str, inputs: int, seed: int, answer: Any) -> None:
    """Send what became of damaged inputs of one kind; in a process of its own, for its memory."""
    before, counted, longest = peak_memory(), Counter[str](), 0.0
    with TemporaryDirectory() as place:
        for number, outcome in fuzz(kind, Path(place), inputs, seed, LIMIT):
            taken = isinstance(outcome.error, InputError)
            counted["read" if outcome.error is None else "refused" if taken else "failed"] += 1
            longest = max(longest, outcome.seconds)
            if outcome.error is not None and not taken:
                print(f"{kind}, input {number}: {outcome.error!r}", file=sys.stderr)
    answer.put({**counted, "seconds": longest, "mb": (peak_memory() - before) / 2**20})


def of_bomb(name: str, _inputs: int, _seed: int, answer: Any) -> None:
    """Send what became of one hostile input."""
    make, read_it = BOMBS[name]
    with TemporaryDirectory() as place:
        writer = multiprocessing.get_context("spawn").Process(target=make, args=(Path(place),))
        writer.start()  # elsewhere: making it takes memory as well
        writer.join()
        made = {pixels: "", inflating: "a.npz", claiming: "a.npz", laughs: "a.yaml"}[make]
        before = peak_memory()
        outcome = attempt(read_it, Path(place, made), LIMIT)
        key = "refused" if isinstance(outcome.error, InputError) else "failed"
        answer.put({key: 1, "seconds": outcome.seconds, "mb": (peak_memory() - before) / 2**20})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true")
    asked = parser.parse_args()
    context, found = multiprocessing.get_context("spawn"), {}
    print(f"{'input':24} {'read':>6} {'refused':>8} {'failed':>7} {'longest s':>10} {'more MB':>8}")
    for name in (*KINDS, *BOMBS):
        answer = context.SimpleQueue()
        work = of_kind if name in KINDS else of_bomb
        process = context.Process(target=work, args=(name, asked.inputs, asked.seed, answer))
        process.start()
        process.join()
        one = (
            answer.get()
            if process.exitcode == 0
            else {"failed": asked.inputs, "seconds": np.nan, "mb": np.nan}
        )
        found[name] = {"read": 0, "refused": 0, "failed": 0} | one
        counts = " ".join(
            f"{found[name][key]:{width}}" for key, width in (("read", 6), ("refused", 8), ("failed", 7))
        )
        print(f"{name:24} {counts} {one['seconds']:10.2f} {one['mb']:8.0f}", flush=True)
    if asked.save:
        save("robustness", machine() | {"inputs": asked.inputs, "seed": asked.seed, "found": found})
    sys.exit(any(one["failed"] for one in found.values()))


if __name__ == "__main__":
    main()
