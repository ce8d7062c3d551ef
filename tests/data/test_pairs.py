"""Lists of pairs in the format of Labeled Faces in the Wild."""

from pathlib import Path

import pytest

from steelyard import InputError
from steelyard.data import read_pairs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pairs.txt"


def test_folds_and_pairs_of_view_2(path: Path) -> None:
    path.write_text("2\t1\nAda\t1\t4\nAda\t2\tBea_Lo\t3\n\nBea_Lo\t1\t12\nCyd\t1\tAda\t1\n")
    pairs = read_pairs(path)
    assert pairs.folds == 2
    assert pairs.same.tolist() == [1, 0, 1, 0]
    assert pairs.first == ("Ada/Ada_0001", "Ada/Ada_0002", "Bea_Lo/Bea_Lo_0001", "Cyd/Cyd_0001")
    assert pairs.second == ("Ada/Ada_0004", "Bea_Lo/Bea_Lo_0003", "Bea_Lo/Bea_Lo_0012", "Ada/Ada_0001")


@pytest.mark.parametrize("head", ["", "1100\n"])
def test_a_list_without_folds_stands_for_ten(path: Path, head: str) -> None:
    path.write_text(head + "Ada 1 4\nAda 2 Bea 3\n")
    pairs = read_pairs(path)
    assert (pairs.folds, len(pairs.first)) == (10, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected pairs, got none"),
        ("10 300\n", "expected pairs, got none"),
        ("1 1\nAda 1 two\n", "line 2: expected NAME 1 4 or NAME 2 OTHER 3, got 'Ada 1 two'"),
        ("Ada 1\n", "line 1: expected NAME"),
        ("Ada 1 Bea 2 3\n", "line 1: expected NAME"),
    ],
)
def test_other_lines_are_refused(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_pairs(path)


def test_a_missing_list_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs\.txt: no such file; expected a list of pairs"):
        read_pairs(path)
