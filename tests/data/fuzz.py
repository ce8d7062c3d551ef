"""Damaged copies of small, sound inputs of every kind that readers take, and how readers take them.

The same for the same seed. ``benchmarks/robustness.py`` tries more than the tests do.
"""

from __future__ import annotations

import resource
import shutil
import signal
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from steelyard.data import Dataset, fit_encoding, read
from steelyard.studies.config import read_study, study

RNG = np.random.default_rng(0)
HOSTILE = (
    b"\0",
    b"\xff\xfe",
    b"\xff" * 8,
    b"%n",
    b"1e309",
    b"-1",
    b"9" * 30,
    b"NaN",
    b'"',
    b"\r",
    b"\n\n",
    b"*a",
    b"[{",
)
Reader = Callable[[Path], object]


def images(folder: Path) -> Path:
    """Two classes in several formats."""
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for suffix in ("png", "jpg", "gif", "tif", "bmp", "webp"):
            pixels = RNG.integers(0, 256, (9, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"1.{suffix}")
    return folder


def deep_images(folder: Path) -> Path:
    """Two classes of 16 bits."""
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for suffix in ("png", "tif"):
            Image.fromarray(RNG.integers(0, 4096, (9, 8)).astype(np.uint16)).save(
                folder / name / f"1.{suffix}"
            )
    return folder


def celeba(folder: Path) -> Path:
    """Four images and their lists."""
    folder.mkdir()
    for n in range(4):
        Image.fromarray(RNG.integers(0, 256, (5, 5, 3)).astype(np.uint8)).save(folder / f"{n}.png")
    rows = "".join(f"{n}.png {1 - 2 * (n % 2):2d} {1 - 2 * (n // 2):2d}\n" for n in range(4))
    (folder / "list_attr_celeba.txt").write_text(f"4\nHat Beard\n{rows}")
    (folder / "list_eval_partition.txt").write_text("".join(f"{n}.png {n % 3}\n" for n in range(4)))
    return folder


def npz(folder: Path) -> Path:
    """X, y, classes, group and split."""
    folder.mkdir()
    arrays = {"X": RNG.normal(size=(8, 3)), "y": np.arange(8) % 2, "classes": ["no", "yes"]}
    arrays |= {"group": np.arange(8) // 2, "split": ["train"] * 4 + ["test"] * 4}
    np.savez_compressed(folder / "a.npz", **arrays)
    return folder / "a.npz"


def arrays(folder: Path) -> Path:
    """X, y and classes as files of their own, to be packed once they are damaged."""
    folder.mkdir()
    for name, array in {
        "X": RNG.normal(size=(8, 3)),
        "y": np.arange(8) % 2,
        "classes": ["no", "yes"],
    }.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def read_packed(folder: Path) -> Dataset:
    """The arrays in ``folder``, packed so that their checksums are right."""
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        for path in folder.glob("*.npy"):
            file.write(path, path.name)
    return read(folder / "a.npz")


def csv(folder: Path) -> Path:
    """Numbers, texts, gaps, a date and a class."""
    folder.mkdir()
    rows = [f"{n},{n / 7:.3f},{'red' if n % 3 else ''},2024-01-{n + 1:02d},{'ab'[n % 2]}" for n in range(25)]
    (folder / "a.csv").write_text("\n".join(["id,size,colour,day,label", *rows]))
    return folder / "a.csv"


def list_of_images(folder: Path) -> Path:
    """A table of paths beside the images."""
    images(folder)
    rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(folder.glob("*/*"))]
    (folder / "a.csv").write_text("\n".join(["path,label", *rows]))
    return folder / "a.csv"


def columns(folder: Path) -> Path:
    """The table again, as Parquet."""
    folder.mkdir()
    table = {"size": RNG.normal(size=20), "colour": ["red", None] * 10, "label": ["a", "b"] * 10}
    parquet.write_table(pa.table(table), folder / "a.parquet")
    return folder / "a.parquet"


def yaml(folder: Path) -> Path:
    """A study."""
    folder.mkdir()
    text = "data: {source: digits, classes: ['3', '5']}\nmethods: [ce, low(lam=0.1)]\n"
    text += "training:\n  epochs: 3\n  lr: 1e-3\nseeds: 2\ncritical: ['5']\n"
    (folder / "a.yaml").write_text(text)
    return folder / "a.yaml"


KINDS: dict[str, tuple[Callable[[Path], Path], Reader]] = {
    "images": (images, read),
    "images, skipping": (images, lambda path: read(path, skip_unreadable=True)),
    "deep images": (deep_images, read),
    "celeba": (celeba, read),
    "npz": (npz, read),
    "arrays": (arrays, read_packed),
    "csv": (csv, lambda path: read(path, target="label")),
    "list": (list_of_images, lambda path: read(path, target="label", skip_unreadable=True)),
    "parquet": (columns, lambda path: read(path, target="label")),
    "yaml": (yaml, lambda path: study(read_study(path))),
}


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` with some bits flipped, a piece cut out, doubled, set to one value or put in."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(len(changed) + 1))
        stop = min(len(changed), start + int(rng.geometric(0.05)))
        match int(rng.choice(6, p=[0.3, 0.15, 0.15, 0.15, 0.2, 0.05])):
            case 0:
                for place in rng.integers(len(changed), size=int(rng.integers(1, 9))) if changed else ():
                    changed[place] ^= 1 << int(rng.integers(8))
            case 1:
                del changed[start:stop]
            case 2:
                changed[start:start] = changed[start:stop]
            case 3:
                changed[start:stop] = bytes([int(rng.choice([0, 1, 127, 255]))]) * (stop - start)
            case 4:
                changed[start:start] = HOSTILE[int(rng.integers(len(HOSTILE)))]
            case 5:
                del changed[start:]
    return bytes(changed)


def damage(source: Path, sound: Path, place: Path, rng: np.random.Generator) -> Path:
    """A copy of ``source``, which lies in or is the folder ``sound``, at ``place``, with one file damaged."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(sound, place)
    files = [place / source.relative_to(sound)] if source.is_file() else sorted(place.rglob("*.*"))
    files = [path for path in files if path.is_file()]
    path = files[int(rng.integers(len(files)))]
    path.write_bytes(mutated(path.read_bytes(), rng))
    return place / source.relative_to(sound)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one damaged input."""

    error: Exception | None
    seconds: float


def attempt(read_it: Reader, path: Path, limit: int) -> Outcome:
    """Read ``path`` and encode what came; longer than ``limit`` seconds is a TimeoutError."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {limit} seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    begun, error = time.perf_counter(), None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_it(path)
            if isinstance(found, Dataset):
                fit_encoding(found, np.arange(len(found))).inputs(found)
    except Exception as raised:  # noqa: BLE001 - all kinds are looked at
        error = raised
    finally:
        signal.alarm(0)
    return Outcome(error, time.perf_counter() - begun)


def fuzz(kind: str, place: Path, inputs: int, seed: int, limit: int = 10) -> Iterator[tuple[int, Outcome]]:
    """Outcomes of so many damaged ``inputs`` of a kind, and their numbers."""
    make, read_it = KINDS[kind]
    source = make(place / "sound")
    for number in range(inputs):
        rng = np.random.default_rng([seed, number])
        yield number, attempt(read_it, damage(source, place / "sound", place / "damaged", rng), limit)


def peak_memory() -> int:
    """The most that this process has held so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
