"""Samples are known by their content: the same ones wherever they lie, others never."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from steelyard.data import Dataset, Table, content_hashes, read

NUMBERS = st.lists(st.sampled_from([0.0, -0.0, 1.5, np.nan, 1e300, -2.0]), min_size=2, max_size=2)
TEXTS = st.lists(st.sampled_from([None, "a", "b", "nan"]), min_size=2, max_size=2)


def table(numbers: list[list[float]], texts: list[list[str | None]]) -> Dataset:
    x = Table(np.array(numbers), ("n0", "n1"), np.array(texts, dtype=object), ("t0", "t1"))
    return Dataset("toy", x, torch.full((len(numbers),), -1), ())


@given(rows=st.lists(st.tuples(NUMBERS, TEXTS), min_size=1, max_size=12))
def test_rows_of_a_table_have_one_hash_where_their_values_are_equal(
    rows: list[tuple[list[float], list[str | None]]],
) -> None:
    data = table([numbers for numbers, _ in rows], [texts for _, texts in rows])
    found = content_hashes(data, "toy.csv")
    seen = [
        tuple("gap" if np.isnan(v) else v + 0.0 for v in numbers) + tuple(texts) for numbers, texts in rows
    ]
    assert len(set(found.tolist())) == len(set(seen))
    for one, value in zip(found, seen, strict=True):
        assert [other == one for other in found] == [other == value for other in seen]


def test_the_place_of_a_row_or_a_column_says_nothing() -> None:
    data = table([[1.0, 2.0], [3.0, np.nan]], [["a", None], ["b", "c"]])
    found = content_hashes(data, "toy.csv")
    back = content_hashes(table([[3.0, np.nan], [1.0, 2.0]], [["b", "c"], ["a", None]]), "other.csv")
    np.testing.assert_array_equal(back, found[::-1])
    x = data.x
    assert isinstance(x, Table)
    turned = replace(
        x,
        numeric=x.numeric[:, ::-1],
        numeric_names=("n1", "n0"),
        categorical=x.categorical[:, ::-1],
        categorical_names=("t1", "t0"),
    )
    np.testing.assert_array_equal(content_hashes(replace(data, x=turned), "toy.csv"), found)
    more = replace(x, numeric=np.c_[x.numeric, [7.0, 8.0]], numeric_names=("n0", "n1", "extra"))
    columns = ["t1", "n0", "n1", "t0"]
    np.testing.assert_array_equal(content_hashes(replace(data, x=more), "t", columns=columns), found)
    np.testing.assert_array_equal(content_hashes(data, "toy.csv", np.array([1])), found[1:])


@pytest.mark.parametrize("memory_limit", [0, 2**30])
def test_images_of_a_folder_have_the_hash_of_their_file(tmp_path: Path, memory_limit: int) -> None:
    generator = np.random.default_rng(0)
    for name in ("a/0", "a/1", "b/0"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (8, 8), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "b" / "same.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())
    data = read(str(tmp_path), memory_limit=memory_limit)
    found = dict(zip(data.sample, content_hashes(data, str(tmp_path)).tolist(), strict=True))
    assert found["a/0.png"] == found["b/same.png"]
    assert len(set(found.values())) == 3
    other = content_hashes(read(str(tmp_path), memory_limit=2**30 - memory_limit), str(tmp_path))
    assert list(found.values()) == other.tolist()
    listed = tmp_path / "list.csv"
    listed.write_text("path,label\n" + "".join(f"{name},{name[0]}\n" for name in found))
    images = read(str(listed), target="label", memory_limit=memory_limit)
    assert list(found.values()) == content_hashes(images, str(listed)).tolist()
