import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.cli.conftest import Run

from steelyard.cli.options import asked_study


@pytest.fixture
def fraud(tmp_path: Path) -> Path:
    """A table with a number, a category and missing values; class `fraud` is rare."""
    generator = np.random.default_rng(0)
    with (tmp_path / "fraud.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["amount", "country", "label"])
        for i in range(160):
            bad = i % 8 == 0
            amount = "" if i % 20 == 3 else f"{generator.normal(3.0 if bad else 0.0):.4f}"
            writer.writerow([amount, generator.choice(["fr", "de"]), "fraud" if bad else "fine"])
    return tmp_path / "fraud.csv"


QUICK = ("--epochs", 3, "--model", "mlp(hidden=[8])", "--lr", 0.03, "--quiet")


def test_compare_trains_predicts_and_writes_the_page(steelyard: Run, fraud: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("compare", fraud, "--target", "label", "--methods", "focal,low(lam=0.1)", "--seeds", 2, *QUICK)
    code, said, _ = steelyard(*words, "--critical", "fraud", "--at-tpr", 0.9, "--out", out)
    assert code == 0
    assert "report.html" in said
    results = (out / "results.csv").read_text()
    assert results.startswith("method,seed,fold,split,metric,value")
    assert {row["method"] for row in csv.DictReader(results.splitlines())} >= {"ce", "focal", "low(lam=0.1)"}
    page = (out / "report.html").read_text()
    assert "low(lam=0.1)" in page
    assert "missing" in page  # what was done about missing values is said
    code, said, _ = steelyard(*words, "--critical", "fraud", "--at-tpr", 0.9, "--out", out, "--json")
    assert code == 0
    assert json.loads(said) == json.loads((out / "summary.json").read_text())
    before = (out / "report.html").read_bytes()
    assert steelyard("report", out)[0] == 0
    assert (out / "report.html").read_bytes() == before


def test_what_was_done_to_the_data_is_said_on_stderr(steelyard: Run, fraud: Path, tmp_path: Path) -> None:
    words = ("train", fraud, "--target", "label", *QUICK, "--out", tmp_path / "model")
    note = "steelyard: note: column amount: 8 of 160 values missing, filled with the training median\n"
    code, said, noted = steelyard(*words)
    assert (code, noted) == (0, note)
    assert "note" not in said
    new = tmp_path / "new.csv"
    new.write_text("amount,country\nunknown,fr\n1,it\n")
    code, _, noted = steelyard("predict", tmp_path / "model", new, "--out", tmp_path / "p.csv")
    assert code == 0
    amount, country = noted.splitlines()
    assert amount == "steelyard: note: column amount: 1 cell of 2 read as missing: 'unknown' (row 2)"
    assert country.startswith("steelyard: note: column country: categories that training had not")


def test_classes_may_hold_commas_and_apostrophes(steelyard: Run, tmp_path: Path) -> None:
    labels = ["Nevus, benign", "Paget's disease", "Bowen's disease", "Nevus, benign"]
    rows = "".join(f'{n % 7},"{labels[n % 4]}"\n' for n in range(80))
    (tmp_path / "t.csv").write_text("x,label\n" + rows)
    words = ("train", tmp_path / "t.csv", "--target", "label", *QUICK)
    for critical, named in (
        ("Nevus, benign", ["Nevus, benign"]),
        ("Bowen's disease,Paget's disease", ["Bowen's disease", "Paget's disease"]),
    ):
        out = tmp_path / critical[:5]
        assert steelyard(*words, "--critical", critical, "--out", out)[0] == 0
        asked = yaml.safe_load((out / "study.yaml").read_text())
        assert asked["critical"] == named
        again = ("predict", out, tmp_path / "t.csv")
        assert steelyard(*again, "--out", tmp_path / "p.csv")[0] == 0
        assert steelyard(*again, "--critical", critical, "--out", tmp_path / "q.csv")[0] == 0
        assert (tmp_path / "p.csv").read_text() == (tmp_path / "q.csv").read_text()


def test_report_needs_no_torch(steelyard: Run, fraud: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert steelyard("compare", fraud, "--target", "label", "--seeds", 1, *QUICK, "--out", out)[0] == 0
    code = f"""
import sys
sys.argv = ["steelyard", "report", {str(out)!r}]
from steelyard.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_train_then_predict_and_evaluate(steelyard: Run, fraud: Path, tmp_path: Path) -> None:
    model, table = tmp_path / "model", tmp_path / "predicted.csv"
    words = ("train", fraud, "--target", "label", "--method", "balanced-ce", *QUICK, "--critical", "fraud")
    code, said, _ = steelyard(*words, "--at-tpr", 0.9, "--out", model, "--json")
    assert code == 0
    assert set(json.loads(said)) >= {"balanced_accuracy", "auc", "recall[fraud]", "sensitivity"}
    lines = fraud.read_text().splitlines()
    unlabelled = tmp_path / "new.csv"
    unlabelled.write_text("\n".join(line.rpartition(",")[0] for line in lines))
    assert steelyard("predict", model, unlabelled, "--out", table)[0] == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 160
    for row in rows:
        p = {name: float(row[f"p[{name}]"]) for name in ("fine", "fraud")}
        assert sum(p.values()) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == max(p, key=lambda name: p[name])
        odds = np.log(p["fraud"] / p["fine"])
        assert float(row["critical_score"]) == pytest.approx(odds, abs=1e-3)
    alarms = [float(row["critical_score"]) for row in rows if row["critical"] == "1"]
    silent = [float(row["critical_score"]) for row in rows if row["critical"] == "0"]
    assert min(alarms) > max(silent)
    code, said, _ = steelyard("evaluate", model, fraud, "--json", "--anyway")
    assert code == 0
    truth = [line.rpartition(",")[2] for line in lines[1:]]
    correct = np.mean([row["predicted"] == label for row, label in zip(rows, truth, strict=True)])
    assert json.loads(said)["accuracy"] == pytest.approx(correct)


def test_a_folder_of_images_of_which_one_is_damaged(steelyard: Run, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = (level + generator.integers(-30, 30, (16, 12, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "photos" / "dark" / "bad.png").write_bytes(b"no image")
    words = (
        "compare",
        tmp_path / "photos",
        "--image-size",
        12,
        "--methods",
        "ce",
        "--seeds",
        1,
        "--epochs",
        2,
    )
    code, _, said = steelyard(*words, "--quiet", "--out", tmp_path / "out")
    assert code == 2
    assert "bad.png" in said
    assert "--skip-unreadable" in said
    assert said.count("\n") == 1
    code, _, _ = steelyard(
        *words, "--quiet", "--skip-unreadable", "--augment", "flip", "--out", tmp_path / "out"
    )
    assert code == 0
    assert "bad.png" in json.dumps(json.loads((tmp_path / "out" / "facts.json").read_text())["notes"])


def test_a_model_of_images_takes_new_ones_of_any_size(steelyard: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name, level in (("dark", 40), ("light", 200)):
        (photos / name).mkdir(parents=True)
        for i in range(12):
            Image.new("RGB", (12, 12), (level, level + i, level - i)).save(photos / name / f"{i}.png")
            Image.new("L", (30, 40), level).save(photos / name / f"new{i}.tif")
    model, table = tmp_path / "model", tmp_path / "p.csv"
    words = ("--model", "small-cnn(width=4)", "--epochs", 20, "--quiet", "--image-size", 12)
    assert steelyard("train", photos, *words, "--out", model)[0] == 0
    for path in photos.glob("*/*.png"):
        path.unlink()  # what is left is grey, and larger
    (photos / "dark" / "bad.png").write_bytes(b"no image")
    for verb, further in (("evaluate", ("--json", "--anyway")), ("predict", ("--out", table))):
        code, _, said = steelyard(verb, model, photos, *further)
        assert (code, "bad.png" in said, "--skip-unreadable" in said) == (2, True, True)
        assert steelyard(verb, model, photos, *further, "--skip-unreadable")[0] == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 24
    assert all(row["sample"].startswith(row["predicted"]) for row in rows)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "nowhere"], "nowhere: no such file or folder"),
        (["compare", "{fraud}"], "target"),
        (["compare", "{fraud}", "--target", "lable"], "Did you mean 'label'?"),
        (["compare", "{fraud}", "--target", "label", "--methods", "lowe"], "Did you mean 'low'?"),
        (["compare", "{fraud}", "--target", "label", "--critical", "fraude"], "Did you mean 'fraud'?"),
        (["compare", "{fraud}", "--target", "label", "--epochs", "many"], "Invalid value for '--epochs'"),
        (["compare", "{fraud}", "--target", "label", "--folds", "50"], "folds"),
        (["compare", "{fraud}", "--target", "label", "--device", "tpu"], "unknown device 'tpu'"),
        (["compare", "digits", "--image-size", "big"], "expected --image-size as 64"),
        (["compare", "digits", "--epoch", "3"], "No such option: --epoch"),
        (["compaer"], "No such command 'compaer'"),
        (["report", "{folder}"], "holds no study"),
        (["predict", "{folder}", "digits"], "to hold one trained model, found none"),
        (["datasets", "fetch", "imagenet"], "unknown"),
        (["reproduce", "alm-folder"], "give --data FOLDER and --critical CLASS"),
        (["reproduce", "alm-folder", "--data", "nowhere", "--critical", "x"], "nowhere: no such file"),
        (["compare", "digits", "--methods", "alm(pretrain=2)", "--critical", "8"], "pretrain=true"),
        (["compare", "digits", "--ensemble", "1"], "greater than or equal to 2"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    steelyard: Run, fraud: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    filled = [word.format(fraud=fraud, folder=tmp_path) for word in words]
    out = ["--out", str(tmp_path / "out")] if words[0] == "compare" else []
    code, _, said = steelyard(*filled, *out)
    assert code == 2
    assert said.startswith("steelyard: ")
    assert said.count("\n") == 1
    assert message in said


def test_the_folder_of_another_study_is_refused(steelyard: Run, fraud: Path, tmp_path: Path) -> None:
    words = (
        "compare",
        fraud,
        "--target",
        "label",
        "--methods",
        "ce",
        "--seeds",
        1,
        "--out",
        tmp_path / "out",
    )
    assert steelyard(*words, *QUICK)[0] == 0
    code, _, said = steelyard(*words, *QUICK, "--lr", 0.5)
    assert code == 2
    assert "holds another study (training.lr was 0.03, is 0.5)" in said


def test_compare_brings_the_controls_of_phases_and_shows_ensembles(
    steelyard: Run, fraud: Path, tmp_path: Path
) -> None:
    words = ["compare", fraud, "--target", "label", "--critical", "fraud", "--methods", "alm", "--seeds", 1]
    words += ["--ensemble", 2, "--epochs", 2, "--out", tmp_path / "out", "--json"]
    code, printed, told = steelyard(*words)
    assert code == 0, told
    summary = json.loads(printed)
    trained = [row["method"] for row in summary["methods"] if row["trained"]]
    assert trained == ["ce", "trained-on(loss=ce)", "alm"]
    assert {(one["method"], one["other"]) for one in summary["ensembles"]} >= {
        ("alm", "ce"),
        ("alm", "trained-on(loss=ce)"),
    }
    assert "member 1" in told
    why = "control of alm: its first phase for as many epochs"
    assert f"\nBeside the methods asked for: ce, the plain baseline; trained-on(loss=ce), {why}\n" in told
    again = ["compare", tmp_path / "out" / "study.yaml", "--methods", "ce,alm", "--out", tmp_path / "out"]
    code, _, told = steelyard(*again, "--quiet")
    assert code == 0, told
    facts = json.loads((tmp_path / "out" / "facts.json").read_text())
    assert facts["added"] == {"trained-on(loss=ce)": why}, "ce is asked for now"


@pytest.mark.parametrize(
    "words", [["train"], ["train", "--patience", 2], ["compare", "--methods", "ce,alm"], ["tune", "--staged"]]
)
def test_a_validation_part_without_the_critical_class_is_refused(
    steelyard: Run, tmp_path: Path, words: list[object]
) -> None:
    generator, lines = np.random.default_rng(0), ["a,label,split"]
    for part, bad in ("train", 10), ("val", 0), ("test", 5):
        labels = ["bad"] * bad + ["good"] * 20
        lines += [f"{generator.normal(label == 'bad'):.3f},{label},{part}" for label in labels]
    (tmp_path / "lacks.csv").write_text("\n".join(lines), encoding="utf-8")
    verb, *more = words
    out = tmp_path / "out"
    target = ["--target", "label", "--critical", "bad"]
    code, _, told = steelyard(verb, tmp_path / "lacks.csv", *target, *more, *QUICK, "--out", out)
    assert code == 2
    assert (
        "of the 20 samples of the validation part none is critical ('bad'), the training part has 10" in told
    )
    assert told.count("\n") == 1
    assert not out.exists()


def test_methods_and_datasets_are_listed(steelyard: Run) -> None:
    code, said, _ = steelyard("methods")
    assert code == 0
    assert all(word in said for word in ("ce", "low", "ldam", "lam=0.1", "resnet18", "loss=ce", "loss=bce"))
    code, said, _ = steelyard("datasets")
    assert code == 0
    assert "fashion-mnist" in said


def test_without_words_it_helps_and_version_is_told(steelyard: Run) -> None:
    code, said, _ = steelyard()
    assert code == 0
    assert "compare" in said
    assert steelyard("--version")[1].startswith("steelyard 0.")


def test_an_interruption_is_one_line(steelyard: Run, fraud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("steelyard.studies.compare.compare", interrupted)
    code, _, said = steelyard("compare", fraud, "--target", "label", "--quiet")
    assert code == 130
    assert said == "steelyard: interrupted; what is finished is kept, and the same command goes on.\n"


def test_keep_names_columns_or_an_epoch() -> None:
    asked = asked_study("t.csv", {"keep": "id,'a, b'"})
    assert (asked.data.keep, asked.training.keep) == (("id", "a, b"), "last")
    asked = asked_study("t.csv", {"keep": "best"})
    assert (asked.data.keep, asked.training.keep) == ((), "best")
