"""Text files of columns (``.csv``): from bytes, in whatever encoding, to cells of text."""

from __future__ import annotations

import codecs
import csv as rows_of_text
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from pyarrow import csv

from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAMELESS = re.compile(r"\s*|Unnamed: \d+|__index_level_\d+__")  # the row index that pandas writes along
MISSING = (*csv.ConvertOptions().null_values, "?")  # marks of a missing value, in any column
_BLOCK = 2**24  # bytes read at once; a row must fit in
_SOME = 2**16  # bytes that show whether a file is text of two bytes a sign


class RawTable(NamedTuple):
    """Columns as a file has them: of text, or of the types that the file gives."""

    names: list[str]
    columns: list[pa.ChunkedArray]
    delimiter: str | None  # None of a file that needs none
    notes: tuple[str, ...]


def read_delimited(path: Path, encoding: str | None = None) -> RawTable:
    """Every cell of the file at ``path`` as text, null where it is empty or one of ``MISSING``.

    Args:
        path: comma, semicolon, tab or bar separate its columns, which the first line names.
        encoding: one of Python's names; default is UTF-8, UTF-16 or, with a note, Windows-1252.

    Raises:
        InputError: if the file is not text in that encoding, or its rows differ in length.
    """
    found, notes = (encoding, ()) if encoding else _encoding(path)
    try:
        delimiter, names, above = _head(path, found)
        places = [str(place) for place in range(len(names))]
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(
                encoding=found, column_names=places, skip_rows_after_names=above, block_size=_BLOCK
            ),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()),
                null_values=MISSING,
                strings_can_be_null=True,
            ),
        )
    except LookupError:
        raise InputError(
            f"unknown encoding {encoding!r}; give --encoding as utf-8, utf-16, cp1252, latin-1, ..."
        ) from None
    except UnicodeError as error:
        raise InputError(f"{path} is not text in {found} ({error}); give another --encoding.") from None
    except (pa.ArrowException, OSError, rows_of_text.Error) as error:
        raise InputError(f"cannot read the table {path}: {' '.join(str(error).split())}") from None
    stripped = [name.strip() for name in names]
    padded = [repr(name) for name, bare in zip(names, stripped, strict=True) if name != bare and bare]
    if padded:
        more = f" and {len(padded) - 3} more" if len(padded) > 3 else ""
        notes = (*notes, f"names of columns stripped of blanks: {', '.join(padded[:3])}{more}")
    return RawTable(stripped, table.columns, delimiter, notes)


def check_names(path: Path, names: Sequence[str]) -> None:
    """Require that no name stands twice.

    Raises:
        InputError: if one does; columns without a name may.
    """
    twice = [name for name, number in Counter(names).items() if number > 1 and not NAMELESS.fullmatch(name)]
    if twice:
        number = list(names).count(twice[0])
        raise InputError(f"{path}: the column {twice[0]!r} is there {number} times; rename one.")


def _encoding(path: Path) -> tuple[str, tuple[str, ...]]:
    """The encoding of the file at ``path``, and a note where it is not sure."""
    with path.open("rb") as file:
        head = file.read(_SOME)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16", ()
        low, high = head[::2].count(0), head[1::2].count(0)  # of plain signs one of two bytes is zero
        if low + high > len(head) / 4 and not min(low, high):
            return ("utf-16-le" if high else "utf-16-be"), (f"{path.name}: read as UTF-16",)
        if low + high:
            raise InputError(f"cannot read the table {path}: it holds zero bytes, so it is no text.")
        for encoding in ("utf-8", "cp1252"):
            file.seek(0)
            decoder = codecs.getincrementaldecoder(encoding)()
            try:
                while part := file.read(2**20):
                    decoder.decode(part)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
            break
        else:
            encoding = "latin-1"
    if encoding == "utf-8":
        return encoding, ()
    called = {"cp1252": "Windows-1252", "latin-1": "Latin-1"}[encoding]
    return encoding, (
        f"{path.name}: read as {called}, for it is not UTF-8; if that is wrong, save it as UTF-8",
    )


def _head(path: Path, encoding: str) -> tuple[str, list[str], int]:
    """The sign between columns, their names, and the rows down to these, empty ones included."""
    with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as file:
        line = next((line for line in file if line.strip()), "")
        bare = re.sub(r'"[^"]*"', "", line)
        delimiter = max(",;\t|", key=bare.count)
        file.seek(0)
        for number, names in enumerate(rows_of_text.reader(file, delimiter=delimiter), start=1):
            if names:
                return delimiter, names, number
    raise InputError(f"cannot read the table {path}: it is empty.")
