"""Tables: ``.csv`` and ``.parquet``, written here by the standard library and pyarrow."""

from __future__ import annotations

import csv
import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from steelyard._checks import InputError
from steelyard.data import Dataset, Table, fit_encoding, read
from steelyard.data.columns import Schema

if TYPE_CHECKING:
    from pathlib import Path

Columns = dict[str, list[Any]]
PATIENTS: Columns = {
    "age": [31, 54, None, 47, 62, 29],
    "dose": [0.5, 1.25, 2.0, None, 0.25, 3.0],
    "smokes": [True, False, None, True, False, True],
    "site": ["arm", "leg", None, "arm", "arm", "back"],
    "clinic": ["x", "y", "x", "x", "y", "y"],
    "ill": ["no", "yes", "no", "no", "yes", "no"],
}


def write(folder: Path, columns: Columns, kind: str = "csv", delimiter: str = ",") -> str:
    path = folder / f"patients.{kind}"
    if kind == "parquet":
        parquet.write_table(pa.table(columns), path)
        return str(path)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(["" if v is None else v for v in row] for row in zip(*columns.values(), strict=True))
    return str(path)


def table_of(data: Dataset) -> Table:
    assert isinstance(data.x, Table)
    return data.x


@pytest.mark.parametrize(("kind", "delimiter"), [("csv", ","), ("csv", ";"), ("csv", "\t"), ("parquet", "")])
def test_columns_are_read_as_written(tmp_path: Path, kind: str, delimiter: str) -> None:
    data = read(write(tmp_path, PATIENTS, kind, delimiter), target="ill")
    table = table_of(data)
    assert data.name == "patients"
    assert data.classes == ("no", "yes")
    assert data.target.tolist() == [0, 1, 0, 0, 1, 0]
    assert table.numeric_names == ("age", "dose", "smokes")
    assert table.categorical_names == ("site", "clinic")
    expected = [[math.nan if v is None else float(v) for v in PATIENTS[name]] for name in table.numeric_names]
    np.testing.assert_array_equal(table.numeric, np.array(expected).T)
    assert table.categorical.T.tolist() == [PATIENTS["site"], PATIENTS["clinic"]]
    assert data.notes == (
        "column age: 1 of 6 values missing, filled with the training median",
        "column dose: 1 of 6 values missing, filled with the training median",
        "column smokes: 1 of 6 values missing, filled with the training median",
        "column site: 1 of 6 values missing, kept as a category of their own",
    )


def test_groups_leave_the_features(tmp_path: Path) -> None:
    data = read(write(tmp_path, PATIENTS), target="ill", group="clinic")
    assert data.group.tolist() == [0, 1, 0, 0, 1, 1]
    assert table_of(data).categorical_names == ("site",)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_useless_columns_are_dropped_and_said(tmp_path: Path, name: str) -> None:
    rows = 30
    columns = {
        name: list(range(rows)),
        "hollow": [None] * rows,
        "key": [f"k{row}" for row in range(rows)],
        "no": list(range(rows)),
        "x": [row % 7 for row in range(rows)],
        "y": [row % 2 for row in range(rows)],
    }
    data = read(write(tmp_path, columns), target="y")
    assert table_of(data).numeric_names == ("x",)
    assert table_of(data).categorical_names == ()
    assert data.notes == (
        f"column {name or '(no name)'}: dropped, it has no name",
        "column hollow: dropped, all its values are missing",
        "column key: dropped, 30 different texts in 30 rows, like an identifier; --keep key keeps it",
        "column no: dropped, 30 different whole numbers in 30 rows, like an identifier; --keep no keeps it",
    )


def test_an_identifier_is_kept_if_asked(tmp_path: Path) -> None:
    columns = {"key": [f"k{row}" for row in range(30)], "id": list(range(30)), "y": [0, 1] * 15}
    path = write(tmp_path, columns)
    table = table_of(read(path, target="y", keep=["key", "id"]))
    assert (table.categorical_names, table.numeric_names) == (("key",), ("id",))
    with pytest.raises(InputError, match=r"unknown column to keep 'idd'. Did you mean 'id'"):
        read(path, target="y", keep=["idd"])
    with pytest.raises(InputError, match="--keep has no meaning for digits"):
        read("digits", keep=["id"])


def test_whose_the_rows_are_is_offered_as_group(tmp_path: Path) -> None:
    columns = {"Patient ID": [row // 2 for row in range(60)], "x": [row % 5 for row in range(60)]}
    path = write(tmp_path, columns | {"y": [0, 1] * 30})
    data = read(path, target="y")
    assert table_of(data).numeric_names == ("x",)
    (note,) = data.notes
    assert note.startswith(
        "column Patient ID: dropped, 30 different values in 60 rows, like an identifier that"
    )
    assert "--group 'Patient ID' keeps its rows on one side" in note
    assert read(path, target="y", group="Patient ID").notes == ()


def test_few_rows_are_no_proof_of_an_identifier(tmp_path: Path) -> None:
    columns = {"site": ["arm", "leg", "back"], "y": [0, 1, 1]}
    assert table_of(read(write(tmp_path, columns), target="y")).categorical_names == ("site",)


def test_a_split_column_gives_the_parts(tmp_path: Path) -> None:
    parts = ["train", "Test", "valid", "train", "test", None]
    data = read(write(tmp_path, PATIENTS | {"split": parts, "ill": [1, 1, 1, 0, 0, 0]}), target="ill")
    assert data.part.tolist() == ["train", "test", "val", "train", "test", ""]
    assert "split" not in table_of(data).categorical_names


def test_a_split_column_of_other_values_is_a_feature(tmp_path: Path) -> None:
    columns = PATIENTS | {"split": ["even", "odd", "even", "odd", "odd", "odd"]}
    assert "split" in table_of(read(write(tmp_path, columns), target="ill")).categorical_names


@pytest.mark.parametrize(
    ("labels", "classes", "target"),
    [
        ([3, 1, 3, 10, 1, 1], ("1", "3", "10"), [1, 0, 1, 2, 0, 0]),
        ([3.0, 1.0, 3.0, 10.0, 1.0, 1.0], ("1", "3", "10"), [1, 0, 1, 2, 0, 0]),
        ([True, False, True, True, False, True], ("False", "True"), [1, 0, 1, 1, 0, 1]),
        (["b", "a", "b", "b", "a", "b"], ("a", "b"), [1, 0, 1, 1, 0, 1]),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_classes_are_numbers_or_texts(
    tmp_path: Path, kind: str, labels: list[Any], classes: tuple[str, ...], target: list[int]
) -> None:
    data = read(write(tmp_path, PATIENTS | {"ill": labels}, kind), target="ill")
    assert (data.classes, data.target.tolist()) == (classes, target)


def test_dates_are_days_and_dictionaries_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    days = [dt.date(1970, 1, 2), dt.date(2000, 1, 1), None]
    stamps = [dt.datetime(1970, 1, 1, 12), None, dt.datetime(1970, 1, 3)]  # noqa: DTZ001  as in a file
    sites = pa.array(["arm", "leg", "arm"]).dictionary_encode()
    parquet.write_table(pa.table({"day": days, "stamp": stamps, "site": sites, "y": [0, 1, 1]}), path)
    table = table_of(read(str(path), target="y"))
    np.testing.assert_array_equal(table.numeric, [[1, 0.5], [10957, math.nan], [math.nan, 2]])
    assert table.categorical[:, 0].tolist() == ["arm", "leg", "arm"]


def test_without_labels_nothing_is_dropped(tmp_path: Path) -> None:
    columns = {name: values[:1] for name, values in PATIENTS.items()} | {"hollow": [None]}
    data = read(write(tmp_path, columns), target="ill", labelled=False)
    assert (data.classes, data.target.tolist(), data.notes) == ((), [-1], ())
    assert table_of(data).categorical_names == ("site", "clinic", "hollow")
    del columns["ill"]
    assert len(read(write(tmp_path, columns), labelled=False)) == 1


def test_files_of_spreadsheets_are_read(tmp_path: Path) -> None:
    path = tmp_path / "sheet.CSV"
    path.write_text('size;note;y\n?;"two\nlines";0\n2;?;1\n\n', encoding="utf-8-sig")
    table = table_of(read(str(path), target="y"))
    np.testing.assert_array_equal(table.numeric, [[math.nan], [2]])
    assert table.categorical.tolist() == [["two\nlines"], [None]]
    assert table.numeric_names == ("size",)


def test_a_column_at_fault_is_named(tmp_path: Path) -> None:
    def message(columns: Columns, **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            read(write(tmp_path, columns), **options)
        return str(caught.value)

    assert "expected --target COLUMN, one of age, dose, smokes, site, clinic, ill" in message(PATIENTS)
    assert "unknown target column 'il'. Did you mean 'ill'?" in message(PATIENTS, target="il")
    assert "unknown group column 'clinics'. Did you mean 'clinic'?" in message(
        PATIENTS, target="ill", group="clinics"
    )
    assert "1 of 6 samples have no group" in message(PATIENTS, target="ill", group="site")
    assert "1 of 6 samples have no class; fill them in" in message(PATIENTS, target="site")
    assert "expected classes (whole numbers or texts), got 0.5" in message(
        PATIENTS | {"dose": [0.5, 1, 2, 3, 4, 5]}, target="dose"
    )
    assert "only no" in message(PATIENTS | {"ill": ["no"] * 6}, target="ill")
    infinite = PATIENTS | {"dose": [1.0, 2.0, math.inf, -math.inf, 0.0, 0.0]}
    assert "column dose: expected finite numbers, got 2 infinite ones, the first in row 4" in message(
        infinite, target="ill"
    )
    assert "expected train, val or test, got 'tset'" in message(
        PATIENTS | {"split": ["train", "tset"] * 3}, target="ill"
    )
    assert "labels differ between test and train: 'yes' only in test" in message(
        PATIENTS | {"split": ["train", "test"] * 2 + ["test", "test"]}, target="ill"
    )
    assert "expected columns besides the target" in message({"ill": [0, 1]}, target="ill")
    assert "--image-size has no meaning for" in message(PATIENTS, target="ill", image_size=8)


def test_a_file_at_fault_is_named(tmp_path: Path) -> None:
    def message(content: str, name: str = "t.csv", **options: Any) -> str:
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=name) as caught:
            read(str(tmp_path / name), target="y", **options)
        return str(caught.value)

    assert "cannot read the table" in message("")
    assert "cannot read the table" in message("a,y\n1,2,3\n")
    assert "cannot read the table" in message("no parquet", "t.parquet")
    assert "expected rows below the column names" in message("a,y\n")
    assert "the column 'a' is there 2 times" in message("a,a,y\n1,2,3\n")
    assert "expected a folder of class folders or a file of type .csv, .parquet, .npz, got .xls" in message(
        "", "t.xls"
    )
    parquet.write_table(pa.table({"a": [[1], [2]], "y": [0, 1]}), tmp_path / "t.parquet")
    with pytest.raises(
        InputError, match="column a: expected numbers, truth values, dates or texts, got list"
    ):
        read(str(tmp_path / "t.parquet"), target="y")
    with pytest.raises(InputError, match=r"nowhere: no such file or folder, and no built-in name .*digits"):
        read(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="--target, --image-size has no meaning for digits"):
        read("digits", target="y", image_size=3)


def csv_file(folder: Path, rows: str, name: str = "t.csv", encoding: str = "utf-8") -> str:
    (folder / name).write_bytes(rows.encode(encoding))
    return str(folder / name)


def test_decimal_commas_give_what_points_give(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 3)).round(3)
    values[:, 2] = (values[:, 2] * 1e6).round()
    lines = [[*(f"{value:,.3f}" for value in row[:2]), f"{row[2]:,.0f}"] for row in values]
    rows = [";".join([*line, "ab"[n % 2]]) for n, line in enumerate(lines)]
    text = "x;y;z;label\n" + "\n".join(rows)
    points = read(csv_file(tmp_path, text.replace(",", ""), "points.csv"), target="label")
    commas = read(csv_file(tmp_path, text.translate(str.maketrans(",.", ".,")), "commas.csv"), target="label")
    np.testing.assert_array_equal(table_of(commas).numeric, values)
    np.testing.assert_array_equal(table_of(points).numeric, values)
    assert points.notes == ()
    assert commas.notes == (
        "column x: numbers with a decimal comma",
        "column y: numbers with a decimal comma",
        "column z: thousands separators taken out",
    )


def test_what_many_columns_have_in_common_is_said_once(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(7)]
    text = ";".join([*names, "y"]) + "\n" + "0,5;" * 7 + "1\n" + "1,5;" * 7 + "0\n"
    data = read(csv_file(tmp_path, text), target="y")
    assert data.notes == ("columns c0, c1, c2, c3, c4 and 2 more: numbers with a decimal comma",)


def test_blanks_around_names_and_labels_are_taken_off(tmp_path: Path) -> None:
    data = read(csv_file(tmp_path, "a, b ,label\n1,x,bad\n2,x ,bad \n3,z,good\n"), target="label")
    assert data.classes == ("bad", "good")
    assert data.target.tolist() == [0, 0, 1]
    assert table_of(data).categorical.tolist() == [["x"], ["x"], ["z"]]
    assert data.notes == (
        "names of columns stripped of blanks: ' b '",
        "column label: 1 cell stripped of blanks",
        "column b: 1 cell stripped of blanks",
    )


def test_texts_that_a_file_calls_texts_stay_texts_if_they_are_few(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    many = [f"{n},5" for n in range(30)]
    few = ["1", "2", "3"] * 10
    parquet.write_table(pa.table({"few": few, "many": many, "y": [0, 1] * 15}), path)
    table = table_of(read(str(path), target="y"))
    assert table.categorical[:, 0].tolist() == few
    assert table.numeric[:, 0].tolist() == [n + 0.5 for n in range(30)]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["01", "02", "10A", "01"], ("01", "02", "10A")),
        (["01", "02", "01", "02"], ("01", "02")),
        (["2", "10", "10", "2.0"], ("2", "10")),
        (["true", "FALSE", "true", "false"], ("False", "True")),
        (["1", "x", "1", "x"], ("1", "x")),
    ],
)
def test_classes_keep_their_names(tmp_path: Path, labels: list[str], classes: tuple[str, ...]) -> None:
    rows = "".join(f"{n},{label}\n" for n, label in enumerate(labels))
    assert read(csv_file(tmp_path, "a,y\n" + rows), target="y").classes == classes


def schema_of(data: Dataset) -> Schema:
    return fit_encoding(data, np.arange(len(data))).schema


def test_new_data_is_read_as_the_training_data_was(tmp_path: Path) -> None:
    rows = "".join(f"{n / 8},{'123X'[n % 4]},{10000 + n % 3:05},{'ab'[n % 2]}\n" for n in range(40))
    rows = rows.replace("10002", "01002")
    train = read(csv_file(tmp_path, "x,grade,zip,y\n" + rows), target="y")
    new = csv_file(tmp_path, "zip;grade;x;extra\n01002;1;0,5;?\n10000;2;1,5;?\n10000;9;2,5;?\n", "new.csv")
    table = read(new, labelled=False, schema=schema_of(train))
    assert table_of(table).numeric.tolist() == [[0.5], [1.5], [2.5]]
    assert table_of(table).categorical.tolist() == [["1", "01002"], ["2", "10000"], ["9", "10000"]]
    assert table.notes == (
        "column x: numbers with a decimal comma",
        "column grade: categories that training had not, read as none of those it had: '9' (1)",
    )
    encoding = fit_encoding(train, np.arange(40))
    assert encoding.inputs(table)[2].tolist()[1:5] == [0, 0, 0, 0]  # the unknown grade


def test_new_classes_are_those_of_training(tmp_path: Path) -> None:
    train = read(csv_file(tmp_path, "a,y\n1,01\n2,02\n3,10A\n"), target="y")
    one = read(csv_file(tmp_path, "a,y\n1,02\n2,02\n", "new.csv"), target="y", schema=schema_of(train))
    assert (one.classes, one.target.tolist()) == (("01", "02", "10A"), [1, 1])
    assert one.notes == ("no sample of '01', '10A': figures that need one are NaN",)
    with pytest.raises(InputError, match=r"unknown class in .*new.csv, column y: '2'"):
        read(
            csv_file(tmp_path, "a,y\n1,02\n2,2\n", "new.csv"), target="y", schema=Schema(("02", "2.0", "2."))
        )


@pytest.mark.parametrize(("old", "new"), [(("0", "1"), ("False", "True")), (("False", "True"), ("0", "1"))])
def test_truth_values_and_bits_are_the_same_classes(
    tmp_path: Path, old: tuple[str, str], new: tuple[str, str]
) -> None:
    rows = "".join(f"{n},{new[n % 2]}\n" for n in range(4))
    data = read(csv_file(tmp_path, "a,y\n" + rows), target="y", schema=Schema(old))
    assert (data.classes, data.target.tolist()) == (old, [0, 1, 0, 1])
    assert [note.split("column y: ")[1] for note in data.notes] == [
        f"{one!r} taken for the class {other!r}" for one, other in zip(new, old, strict=True)
    ]


def test_one_class_is_enough_for_a_model_and_not_for_training(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "a,y\n1,no\n2,no\n")
    with pytest.raises(InputError, match="at least two classes, got only no"):
        read(path, target="y")
    assert read(path, target="y", schema=Schema(("no", "yes"))).target.tolist() == [0, 0]


def test_an_encoding_is_for_tables_of_text(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "ö,y\n1,a\n2,b\n", encoding="mac-roman")
    assert table_of(read(path, target="y", encoding="mac-roman")).numeric_names == ("ö",)
    with pytest.raises(InputError, match="--encoding has no meaning for digits"):
        read("digits", encoding="utf-8")


def test_notes_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="steelyard"):
        data = read(csv_file(tmp_path, "a,y\n1,0\n,1\n"), target="y")
    assert data.notes
    assert tuple(record.getMessage() for record in caplog.records) == data.notes
