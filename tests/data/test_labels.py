"""Data with several labels per sample: what is read, selected, encoded and divided."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from steelyard._checks import InputError
from steelyard.data import Batches, Dataset, Encoding, ImageFiles, Table, fit_encoding, read, split

NAMES = ("5_o_Clock_Shadow", "Bald", "Young")
PARTS = [0, 0, 1, 2, 0, 2]
Array = np.ndarray


def write_celeba(folder: Path, place: str = "img_align_celeba", n: int = 6) -> Array:
    """A folder in CelebA's layout; image i is grey of brightness 40 i. Returns the labels (N, L)."""
    labels = np.random.default_rng(0).integers(2, size=(n, len(NAMES)))
    (folder / place).mkdir(parents=True, exist_ok=True)
    lines, parts = [str(n), " ".join(NAMES)], []
    for i, row in enumerate(labels):
        name = f"{i + 1:06d}.png"
        Image.new("RGB", (8, 10), (40 * i, 40 * i, 40 * i)).save(folder / place / name)
        lines.append(f"{name} " + " ".join(f"{2 * int(value) - 1:2d}" for value in row))
        parts.append(f"{name} {PARTS[i]}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "list_eval_partition.txt").write_text("\n".join(parts) + "\n", encoding="utf-8")
    return labels


@pytest.mark.parametrize("place", ["img_align_celeba", "."])
def test_the_layout_of_celeba_is_read(tmp_path: Path, place: str) -> None:
    labels = write_celeba(tmp_path / "faces", place)
    data = read(str(tmp_path / "faces"))
    assert data.multilabel
    assert data.name == "faces"
    assert data.classes == NAMES
    assert data.target.dtype == torch.int64
    np.testing.assert_array_equal(data.target, labels)
    np.testing.assert_array_equal(data.counts(), (labels == 1).sum(0))
    np.testing.assert_array_equal(data.counts(np.array([1, 3])), labels[[1, 3]].sum(0))
    assert data.part.tolist() == [("train", "val", "test")[part] for part in PARTS]
    assert isinstance(data.x, torch.Tensor)
    assert data.x.shape == (6, 3, 10, 8)
    assert data.x[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]
    assert Path(data.sample[2]) == Path(place) / "000003.png"
    divided = split(data, seed=0)
    assert [part.tolist() for part in (divided.train, divided.val, divided.test)] == [[0, 1, 4], [2], [3, 5]]


def test_large_folders_of_celeba_stay_files_and_sizes_are_as_asked(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    data = read(str(tmp_path), image_size=4, memory_limit=10)
    assert isinstance(data.x, ImageFiles)
    assert data.x.shape == (6, 3, 4, 4)
    assert "6 of 6 images resized to 4 x 4" in data.notes[0]


def test_unreadable_images_are_skipped_with_their_labels(tmp_path: Path) -> None:
    labels = write_celeba(tmp_path)
    (tmp_path / "img_align_celeba" / "000002.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"cannot read the image .*000002\.png"):
        read(str(tmp_path))
    data = read(str(tmp_path), skip_unreadable=True)
    np.testing.assert_array_equal(data.target, np.delete(labels, 1, axis=0))
    assert data.part.tolist() == ["train", "val", "test", "train", "test"]
    assert "1 of 6 images unreadable" in data.notes[0]


def test_without_a_partition_parts_are_drawn_and_without_labels_all_images_are_read(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / "list_eval_partition.txt").unlink()
    assert set(read(str(tmp_path)).part) == {""}
    bare = read(str(tmp_path), labelled=False)
    assert (len(bare), bare.classes, bare.multilabel) == (6, (), False)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("list_attr_celeba.txt", ("6\n", "7\n"), r"got '7' above 6 images"),
        ("list_attr_celeba.txt", ("000002.png", "000001.png"), r"each image once"),
        ("list_attr_celeba.txt", ("Bald ", ""), r"each of the 2 attributes of 000001\.png, got -?1 -?1 -?1"),
        ("list_attr_celeba.txt", (" 1", " 2"), r"the 3 attributes of 0+\d\.png, got .*2"),
        ("list_attr_celeba.txt", ("000002.png", "000009.png"), r"a line for each image, got none for 000009"),
        ("list_attr_celeba.txt", ("000002.png", "/etc/passwd"), "files in the folder, got '/etc/passwd'"),
        ("list_attr_celeba.txt", ("000002.png", "../2.png"), r"files in the folder, got '\.\./2\.png'"),
        ("list_attr_celeba.txt", ("Bald", "Young"), "a name of its own for each of the 3 labels"),
        ("list_eval_partition.txt", ("000001.png 0", "000001.png 3"), r"0 \(train\).*got '000001\.png 3'"),
        ("list_eval_partition.txt", ("000001.png 0\n", ""), r"a line for each image, got none for 000001"),
    ],
)
def test_lists_that_are_wrong_are_refused(
    tmp_path: Path, file: str, change: tuple[str, str], message: str
) -> None:
    write_celeba(tmp_path)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert change[0] in text
    (tmp_path / file).write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read(str(tmp_path))


def test_lists_that_are_no_text_are_refused(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    for name in ("list_eval_partition.txt", "list_attr_celeba.txt"):
        (tmp_path / name).write_bytes(b"\xff" + (tmp_path / name).read_bytes())
        with pytest.raises(InputError, match=f"{name}: expected text in UTF-8, got other bytes at 0"):
            read(str(tmp_path))
    (tmp_path / "list_attr_celeba.txt").unlink()
    os.mkfifo(tmp_path / "list_attr_celeba.txt")
    with pytest.raises(InputError, match="expected a file with a list, got a folder, a pipe"):
        read(str(tmp_path))


def test_options_without_meaning_for_celeba_are_refused(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    with pytest.raises(InputError, match=r"--group has no meaning for .* \(laid out as CelebA\)"):
        read(str(tmp_path), group="identity")


def saved(path: Path, **arrays: Array) -> str:
    np.savez(path / "some.npz", **arrays)
    return str(path / "some.npz")


def test_arrays_of_several_labels_are_read(tmp_path: Path) -> None:
    y = np.array([[1, 0], [0, 0], [1, 1]], dtype=np.uint8)
    data = read(saved(tmp_path, X=np.zeros((3, 4)), y=y, classes=np.array(["hat", "beard"])))
    assert (data.classes, data.target.tolist()) == (("hat", "beard"), y.tolist())
    assert read(saved(tmp_path, X=np.zeros((3, 4)), y=y.astype(float))).classes == ("label0", "label1")
    parts = {"train_images": np.zeros((3, 4, 4)), "train_labels": y, "test_images": np.zeros((2, 4, 4))}
    data = read(saved(tmp_path, **parts, test_labels=y[:2]))
    assert (data.target.tolist(), data.part.tolist()) == (
        [*y.tolist(), *y[:2].tolist()],
        ["train"] * 3 + ["test"] * 2,
    )
    assert read(saved(tmp_path, X=np.zeros((3, 4)), y=y), labelled=False).target.tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.array([[1, 2], [0, 0]])}, r"labels of 0 and 1 in its 2 columns"),
        ({"y": np.array([["a", "b"], ["b", "a"]])}, r"labels of 0 and 1 in its 2 columns"),
        ({"y": np.eye(2)}, r"exactly one 1, which is one class per sample; give class numbers"),
        ({"y": np.ones((2, 2)), "classes": np.array(["a"])}, r"name of its own for each of the 2 labels"),
        ({"y": np.ones((2, 2)), "classes": np.array(["a", "a"])}, r"name of its own for each of the 2"),
        ({"y": np.ones((2, 2, 2))}, r"expected y of shape \(2,\)"),
    ],
)
def test_arrays_that_are_no_labels_are_refused(
    tmp_path: Path, arrays: dict[str, Array], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(saved(tmp_path, X=np.zeros((2, 4)), **arrays))


def test_parts_must_agree_in_their_labels(tmp_path: Path) -> None:
    x, y = np.zeros((2, 4)), np.ones((2, 3))
    with pytest.raises(InputError, match=r"parts of y to agree in shape and kind, got \(2, 3\) .*\(2, 2\)"):
        read(saved(tmp_path, X_train=x, y_train=y, X_test=x, y_test=y[:, :2]))


def data_of(labels: Array, group: Array | None = None) -> Dataset:
    names = tuple(f"l{label}" for label in range(labels.shape[1]))
    return Dataset("toy", Table(np.zeros((len(labels), 1)), ("x",)), torch.as_tensor(labels), names, group)


def test_labels_are_selected_as_columns_with_all_samples() -> None:
    labels = np.random.default_rng(0).integers(2, size=(9, 4))
    chosen = data_of(labels).select_classes(["l2", "l0"])
    np.testing.assert_array_equal(chosen.target, labels[:, [2, 0]])
    assert chosen.classes == ("l2", "l0")


def test_targets_are_numbered_as_in_training() -> None:
    labels = np.random.default_rng(0).integers(2, size=(9, 4))
    data = data_of(labels)
    encoding = Encoding.from_json(fit_encoding(data.select_classes(["l2", "l0"]), np.arange(9)).to_json())
    np.testing.assert_array_equal(encoding.target(data), labels[:, [2, 0]])
    bare = Dataset("new", data.x, torch.full((9,), -1), ())
    assert encoding.target(bare).tolist() == [[-1, -1]] * 9
    with pytest.raises(InputError, match="unknown class 'l2'"):
        encoding.target(data.select_classes(["l1"]))
    one_class = Dataset("other", data.x, torch.arange(9) % 2, ("l2", "l0"))
    with pytest.raises(
        InputError, match=r"expected several labels per sample, as in training, got one class"
    ):
        encoding.target(one_class)
    with pytest.raises(
        InputError, match=r"expected one class per sample, as in training, got several labels"
    ):
        fit_encoding(one_class, np.arange(9)).target(data)
    inputs, target = encoding.inputs(data), encoding.target(data)
    batch = next(iter(Batches(inputs, target, np.array([3, 5]), encoding, batch_size=2)))
    np.testing.assert_array_equal(batch.target, labels[[3, 5]][:, [2, 0]])


label_tables = st.builds(
    lambda rates, n, seed: (np.random.default_rng(seed).random((n, len(rates))) < rates).astype(int),
    st.lists(st.floats(0.1, 0.9), min_size=2, max_size=6),
    st.integers(200, 300),
    st.integers(0, 2**32),
)


@settings(deadline=None, max_examples=30)
@given(labels=label_tables, seed=st.integers(0, 99), grouped=st.booleans())
def test_every_label_is_as_frequent_in_every_part(labels: Array, seed: int, grouped: bool) -> None:
    group = np.arange(len(labels)) // 2 if grouped else None
    data = data_of(labels, group)
    parts = split(data, seed=seed, val_fraction=0.2, test_fraction=0.25)
    together = np.concatenate([parts.train, parts.val, parts.test])
    assert np.array_equal(np.sort(together), np.arange(len(labels)))
    if group is not None:
        assert not set(group[parts.train]) & set(group[parts.test])
    off = [abs(data.counts(parts.test)[c] - 0.25 * number) for c, number in enumerate(data.counts())]
    assert max(off) <= (6 if grouped else 3)
    assert abs(len(parts.test) - 0.25 * len(labels)) <= (6 if grouped else 2)


def test_the_test_part_is_the_same_for_every_seed_and_folds_cover_all_once() -> None:
    data = data_of((np.random.default_rng(0).random((300, 4)) < [0.03, 0.5, 0.9, 0.2]).astype(int))
    assert np.array_equal(split(data, seed=0).test, split(data, seed=1).test)
    assert not np.array_equal(split(data, seed=0).val, split(data, seed=1).val)
    tests = [split(data, seed=0, fold=f, folds=3).test for f in range(3)]
    assert np.array_equal(np.sort(np.concatenate(tests)), np.arange(300))
    assert {int(data.counts(test)[0]) for test in tests} <= {2, 3, 4}


def test_a_label_that_too_few_have_or_lack_is_named() -> None:
    labels = np.random.default_rng(0).integers(2, size=(60, 3))
    labels[:, 1], labels[:2, 1] = 1, 0
    with pytest.raises(InputError, match=r"the class 'no l1' has 2 samples for .*at least 3, or leave the"):
        split(data_of(labels), seed=0)
    with pytest.raises(InputError, match="expected labels of 0 and 1"):
        data_of(labels + 1)
