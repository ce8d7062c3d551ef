"""The data sets with a name, from files written here byte by byte."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from steelyard._checks import InputError
from steelyard.data import data_root, download, fetch, read
from steelyard.data.download import Source

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    return tmp_path


def write_idx(folder: Path, *, packed: bool) -> dict[str, np.ndarray]:
    """An MNIST of twelve training and four test images of 3 x 5 pixels."""
    folder.mkdir()
    written = {}
    for part, number in (("train", 12), ("t10k", 4)):
        pixels = RNG.integers(0, 256, (number, 3, 5))
        labels = np.arange(number) % 4
        for stem, content in (
            (
                f"{part}-images-idx3-ubyte",
                struct.pack(f">4B3I{pixels.size}B", 0, 0, 8, 3, number, 3, 5, *pixels.flat),
            ),
            (f"{part}-labels-idx1-ubyte", struct.pack(f">4BI{number}B", 0, 0, 8, 1, number, *labels)),
        ):
            path = folder / (f"{stem}.gz" if packed else stem)
            path.write_bytes(gzip.compress(content) if packed else content)
        written[part], written[f"{part} labels"] = pixels, labels
    return written


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_files_are_read_as_written(root: Path, name: str, packed: bool) -> None:
    written = write_idx(root / name, packed=packed)
    data = read(name)
    assert data.x.shape == (16, 1, 3, 5)
    assert data.x.dtype == torch.uint8
    np.testing.assert_array_equal(data.x[:12, 0], written["train"])
    np.testing.assert_array_equal(data.x[12:, 0], written["t10k"])
    np.testing.assert_array_equal(data.target, [*written["train labels"], *written["t10k labels"]])
    assert data.part.tolist() == ["train"] * 12 + ["test"] * 4
    assert data.sample[12] == "test/0"
    assert data.classes[3] == {"mnist": "3", "fashion-mnist": "Dress"}[name]


def test_cifar10_is_read_as_written(root: Path) -> None:
    folder = root / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    records = {}
    for stem in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        records[stem] = RNG.integers(0, 256, (3, 3073)).astype(np.uint8)
        records[stem][:, 0] = [0, 1, 2]
        (folder / f"{stem}.bin").write_bytes(records[stem].tobytes())
    (folder / "batches.meta.txt").write_text("airplane\nautomobile\nbird\n\n")
    data = read("cifar10")
    assert data.x.shape == (18, 3, 32, 32)
    assert data.classes == ("airplane", "automobile", "bird")
    assert data.target.tolist() == [0, 1, 2] * 6
    record = records["data_batch_2"][1]
    assert data.x[4, 2, 7, 9] == record[1 + 2 * 1024 + 7 * 32 + 9]  # channel, row, column
    np.testing.assert_array_equal(data.x[15:].flatten(1), records["test_batch"][:, 1:])


def test_cifar100_takes_the_fine_labels(root: Path) -> None:
    folder = root / "cifar100" / "cifar-100-binary"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        record = np.zeros((2, 3074), dtype=np.uint8)
        record[:, :2] = [[9, 1], [7, 0]]
        (folder / f"{part}.bin").write_bytes(record.tobytes())
    (folder / "fine_label_names.txt").write_text("apple\naquarium_fish\n")
    data = read("cifar100")
    assert data.target.tolist() == [1, 0, 1, 0]
    assert data.classes == ("apple", "aquarium_fish")
    assert data.superclass == (7, 9)
    assert data.select_classes(["aquarium_fish", "apple"]).superclass == (9, 7)


def test_digits_lose_nothing() -> None:
    data = read("digits")
    np.testing.assert_array_equal(data.x[:, 0].numpy() / 15, load_digits().images)
    np.testing.assert_array_equal(data.target, load_digits().target)


def test_the_root_is_the_variable_or_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STEELYARD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "steelyard"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root() == tmp_path / ".cache" / "steelyard"


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_missing_files_are_named_with_the_mend(root: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"{root}.*is not there; run 'steelyard datasets fetch {name}'"):
        read(name)


@pytest.mark.parametrize(
    ("stem", "content", "reason"),
    [
        ("train-images-idx3-ubyte.gz", b"no gzip", "Not a gzipped file"),
        (
            "train-images-idx3-ubyte.gz",
            gzip.compress(b"\0\0\x08\x03" + bytes(12) + b"x"),
            "17 bytes do not make",
        ),
        ("train-labels-idx1-ubyte.gz", gzip.compress(b"\0\0\x0d\x01\0\0\0\0"), "do not make an IDX array"),
        (
            "train-labels-idx1-ubyte.gz",
            gzip.compress(struct.pack(">4BI1B", 0, 0, 8, 1, 1, 3)),
            "a label for each",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            gzip.compress(struct.pack(">4BI12B", 0, 0, 8, 1, 12, *[77] * 12)),
            "below 10",
        ),
    ],
)
def test_damaged_idx_files_are_refused(root: Path, stem: str, content: bytes, reason: str) -> None:
    write_idx(root / "mnist", packed=True)
    (root / "mnist" / stem).write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read("mnist")


def test_a_cut_off_cifar_file_is_refused(root: Path) -> None:
    folder = root / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "data_batch_1.bin").write_bytes(bytes(5000))
    with pytest.raises(InputError, match="5000 bytes are no whole number of records of 3073"):
        read("cifar10")


def offer(
    monkeypatch: pytest.MonkeyPatch, name: str, path: Path, unpacks_to: str = "", md5: str = ""
) -> None:
    """Make ``path`` the published file of ``name``."""
    md5 = md5 or hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(download, "SOURCES", {name: (Source(path.as_uri(), md5, unpacks_to),)})


def archive(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 3
            tar.addfile(entry, io.BytesIO(b"abc"))
    return path


def test_fetch_brings_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.gz").write_bytes(b"pixels")
    offer(monkeypatch, "mnist", tmp_path / "t.gz")
    folder = fetch("mnist", tmp_path / "root")
    assert (folder / "t.gz").read_bytes() == b"pixels"
    (tmp_path / "t.gz").unlink()
    assert fetch("mnist", tmp_path / "root") == folder


def test_fetch_unpacks_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "cifar10", archive(tmp_path / "c.tar.gz", ["inside/a.bin"]), "inside")
    folder = fetch("cifar10", tmp_path / "root")
    assert (folder / "inside" / "a.bin").read_bytes() == b"abc"
    assert [path.name for path in folder.iterdir()] == ["inside"]
    (tmp_path / "c.tar.gz").unlink()
    assert fetch("cifar10", tmp_path / "root") == folder


def test_fetch_leaves_nothing_of_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.gz").write_bytes(b"pixels")
    offer(monkeypatch, "mnist", tmp_path / "t.gz", md5="0" * 32)
    with pytest.raises(InputError, match="expected the MD5 sum 000"):
        fetch("mnist", tmp_path / "root")
    assert not list((tmp_path / "root" / "mnist").iterdir())


def test_fetch_refuses_an_archive_that_writes_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, "cifar10", archive(tmp_path / "c.tar.gz", ["../../evil"]), "inside")
    with pytest.raises(tarfile.OutsideDestinationError):
        fetch("cifar10", tmp_path / "root")
    assert not list((tmp_path / "root" / "cifar10").iterdir())
    assert not (tmp_path / "evil").exists()


def test_fetch_says_what_it_cannot_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SOURCES", {"mnist": (Source((tmp_path / "no.gz").as_uri(), ""),)})
    with pytest.raises(InputError, match=r"cannot download file:.*no.gz"):
        fetch("mnist", tmp_path)
    with pytest.raises(InputError, match="Did you mean 'mnist'"):
        fetch("mnits", tmp_path)


def test_every_published_source_has_a_checksum() -> None:
    sources = [source for group in download.SOURCES.values() for source in group]
    assert len(sources) == 10
    assert len({source.md5 for source in sources}) == 10
    assert all(len(bytes.fromhex(source.md5)) == 16 for source in sources)
