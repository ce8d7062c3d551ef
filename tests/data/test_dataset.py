"""The record that readers give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steelyard._checks import InputError
from steelyard.data import Dataset, Table

IMAGES = torch.arange(6 * 4, dtype=torch.uint8).view(6, 1, 2, 2)
TARGET = torch.tensor([0, 1, 2, 2, 1, 2])


def toy(**changes: object) -> Dataset:
    fields: dict[str, object] = {"x": IMAGES, "target": TARGET, "classes": ("a", "b", "c")}
    return Dataset("toy", **fields | changes)


def test_counts_are_of_all_or_of_rows() -> None:
    assert toy().counts().tolist() == [1, 2, 3]
    assert toy().counts(np.array([1, 2, 2])).tolist() == [0, 1, 2]


def test_what_is_unsaid_is_filled_in() -> None:
    data = toy()
    assert data.part.tolist() == [""] * 6
    assert list(data.sample) == ["0", "1", "2", "3", "4", "5"]
    assert data.is_image
    assert not toy(x=Table(np.zeros((6, 1)), ("x",))).is_image


def test_selected_classes_are_relabelled_in_the_order_asked_for() -> None:
    part = np.array(["train", "train", "val", "train", "val", ""])
    data = toy(group=np.array([9, 8, 7, 7, 8, 9]), part=part, sample=list("uvwxyz"))
    chosen = data.select_classes(["c", "b"])
    kept = [1, 2, 3, 4, 5]
    assert chosen.classes == ("c", "b")
    assert chosen.target.tolist() == [1, 0, 0, 1, 0]
    assert torch.equal(chosen.x, IMAGES[kept])
    assert chosen.group.tolist() == [8, 7, 7, 8, 9]
    assert chosen.part.tolist() == part[kept].tolist()
    assert list(chosen.sample) == list("vwxyz")


def test_tables_are_selected_with_both_kinds_of_columns() -> None:
    texts = np.array([[text] for text in "pqrstu"], dtype=object)
    table = Table(np.arange(6.0)[:, None], ("number",), texts, ("text",))
    chosen = toy(x=table).select_classes(["b", "c"]).x
    assert chosen.numeric[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert chosen.categorical[:, 0].tolist() == list("qrstu")


def test_rows_of_a_table_of_numbers_alone_have_as_many_empty_texts() -> None:
    part = Table(np.arange(6.0)[:, None], ("x",)).take(np.array([4, 1]))
    assert part.numeric.tolist() == [[4.0], [1.0]]
    assert part.categorical.shape == (2, 0)


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown class 'bb'. Did you mean 'b'"):
        toy().select_classes(["a", "bb"])
    with pytest.raises(InputError, match="expected each class once, got a, a"):
        toy().select_classes(["a", "a"])
    with pytest.raises(InputError, match="at least two classes, got only a"):
        toy().select_classes(["a"])
    with pytest.raises(InputError, match="differ in length"):
        toy(x=IMAGES[:5])
    with pytest.raises(InputError, match="labels differ between val and train: 'a', 'b' only in val"):
        toy(part=np.array(["val", "val", "train", "test", "val", "val"])).check_classes()
