"""Text files in the encodings and with the separators that spreadsheets write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steelyard._checks import InputError
from steelyard.data.delimited import read_delimited

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "maß;ort\n1;Köln\n2;Zürich\n"
COLUMNS = {"maß": ["1", "2"], "ort": ["Köln", "Zürich"]}


def written(folder: Path, content: bytes) -> Path:
    (folder / "t.csv").write_bytes(content)
    return folder / "t.csv"


def columns(path: Path, encoding: str | None = None) -> dict[str, list[str | None]]:
    raw = read_delimited(path, encoding)
    return {name: column.to_pylist() for name, column in zip(raw.names, raw.columns, strict=True)}


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", ""),
        ("utf-16-le", "t.csv: read as UTF-16"),
        ("utf-16-be", "t.csv: read as UTF-16"),
        ("cp1252", "t.csv: read as Windows-1252, for it is not UTF-8; if that is wrong, save it as UTF-8"),
    ],
)
def test_usual_encodings_are_told_by_their_bytes(tmp_path: Path, encoding: str, note: str) -> None:
    path = written(tmp_path, TEXT.encode(encoding))
    assert columns(path) == COLUMNS
    assert "".join(read_delimited(path).notes) == note


def test_bytes_that_windows_leaves_out_are_latin(tmp_path: Path) -> None:
    path = written(tmp_path, b"a,b\n\x81,\xe9\n")
    assert columns(path) == {"a": ["\x81"], "b": ["é"]}
    assert read_delimited(path).notes[0].startswith("t.csv: read as Latin-1, for it is not UTF-8")


def test_an_encoding_that_is_given_wins(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT.encode("mac-roman"))
    assert columns(path, "mac-roman") == COLUMNS
    assert columns(path) != COLUMNS
    assert read_delimited(path, "mac-roman").notes == ()
    with pytest.raises(InputError, match=r"t.csv is not text in utf-8 .*; give another --encoding"):
        read_delimited(path, "utf-8")
    for unknown in ("utf-88", "base64"):
        with pytest.raises(InputError, match=f"unknown encoding '{unknown}'"):
            read_delimited(path, unknown)


def test_a_mistake_far_down_is_found(tmp_path: Path) -> None:
    rows = "a,b\n" + "1,2\n" * 400_000
    path = written(tmp_path, rows.encode() + "é,2\n".encode("cp1252"))
    assert columns(path)["a"][-1] == "é"


@pytest.mark.parametrize("content", [b"\x00\x01\x02\x00\x00\xff" * 50, b"PK\x03\x04\x14\x00\x08" * 40])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"cannot read the table .*t.csv: it holds zero bytes"):
        read_delimited(written(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "names", "rows"),
    [
        ("a\tb\n1\t2\n", ["a", "b"], 1),
        ("a|b\n1|2\n", ["a", "b"], 1),
        ('"x, y, z";b\n1;2\n', ["x, y, z", "b"], 1),
        ("\n\na,b\n1,2\n", ["a", "b"], 1),
        ('"two\nlines",b\n1,2\n3,4', ["two\nlines", "b"], 2),
        ("one\n1\n2\n", ["one"], 2),
        ("a;b\r\n1,5;2\r\n", ["a", "b"], 1),
    ],
)
def test_names_stand_in_the_first_line(tmp_path: Path, text: str, names: list[str], rows: int) -> None:
    raw = read_delimited(written(tmp_path, text.encode()))
    assert raw.names == names
    assert {len(column) for column in raw.columns} == {rows}


def test_a_row_may_be_long(tmp_path: Path) -> None:
    names = [f"column{n}" for n in range(20_000)]
    text = ",".join(names) + "\n" + ("," * 19_999 + "\n") * 3
    raw = read_delimited(written(tmp_path, text.encode()))
    assert raw.names == names
    assert raw.columns[-1].null_count == 3


@pytest.mark.parametrize("content", ["", "\n\n", "a,b\n1,2,3\n"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"cannot read the table .*t.csv: "):
        read_delimited(written(tmp_path, content.encode()))
