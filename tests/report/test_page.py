"""The page as a file: whole, self-contained, escaped, the same every time."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from steelyard import report
from steelyard.report import evidence
from steelyard.report.plots import plots
from steelyard.report.summarise import summarise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from steelyard.report.figure import Plot
    from steelyard.studies.store import Store

    Build = Callable[..., Store]


class Reader(HTMLParser):
    """Elements, their attributes and all text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(store: Store) -> str:
    report.write(store)
    return (store.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    return Reader(page)


def test_names_from_outside_are_text(page: str, read: Reader) -> None:
    assert len(read.every("script")) == 1
    assert "<script>alert" not in page
    own = r'<b class="sign">|<b>(Over|Run by|guaranteed|plain)'
    assert "<b>" not in re.sub(own, "", page)
    assert "<script>alert(1)</script>" in read.text
    assert "price $x_1$ & more" in read.text
    assert "lesion_<b>" in read.text
    assert any(
        "<script>alert(1)</script>" in (one["aria-label"] or "") for one in read.every("div") if "role" in one
    )


def test_nothing_is_fetched(page: str, read: Reader) -> None:
    for tag, attributes in read.elements:
        for name in ("src", "href", "action", "poster", "data", "xlink:href"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:")) or (
                tag == "a" and re.fullmatch(r"plots/\w+\.csv", address)
            )
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    policy = next(one["content"] for one in read.every("meta") if "http-equiv" in one) or ""
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


def test_every_picture_has_words_and_data(store: Store, read: Reader) -> None:
    drawn = [plot for each in plots(*both(store)).values() for plot in each]
    labels = [one["aria-label"] for one in read.every("div") if one.get("role") == "img"]
    assert labels == [f"{plot.title}. {plot.finding}" for plot in in_page_order(drawn, labels)]
    assert all(one.get("alt") for one in read.every("img"))
    for plot in drawn:
        with (store.folder / "plots" / f"{plot.name}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert tuple(rows[0]) == plot.columns
        assert len(rows) == len(plot.rows) + 1 > 1


def both(store: Store) -> tuple[evidence.Evidence, report.Summary]:
    found = evidence.read(store)
    return found, summarise(found)


def in_page_order(drawn: list[Plot], labels: list[str | None]) -> list[Plot]:
    return sorted(drawn, key=lambda plot: labels.index(f"{plot.title}. {plot.finding}"))


def test_ids_are_unique_and_references_resolve(page: str, read: Reader) -> None:
    ids = [attributes["id"] for _, attributes in read.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([\w-]+)', page)) <= set(ids)


def test_drawings_follow_the_theme(page: str) -> None:
    drawings = "".join(re.findall(r'<svg viewBox="0 0 [^"]*" aria-hidden.*?</svg>', page, re.DOTALL))
    assert "currentColor" in drawings
    assert "var(--s0)" in drawings
    assert not re.findall(r"(?:fill|stroke): ?#[0-9a-f]{6}", drawings)
    assert "font-family" not in drawings


def test_the_same_store_gives_the_same_bytes(store: Store, page: str) -> None:
    before = {path: path.read_bytes() for path in sorted(store.folder.glob("plots/*"))}
    summary = (store.folder / "summary.json").read_bytes()
    report.write(store)
    assert (store.folder / "report.html").read_text(encoding="utf-8") == page
    assert {path: path.read_bytes() for path in sorted(store.folder.glob("plots/*"))} == before
    assert (store.folder / "summary.json").read_bytes() == summary
    assert len(page) < 1_500_000


def test_the_page_needs_no_torch(store: Store) -> None:
    code = (
        "import sys; from pathlib import Path; from steelyard import report; "
        "from steelyard.studies.store import Store; report.write(Store(Path(sys.argv[1]))); "
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(store.folder)], check=True)


def test_without_a_critical_class_there_is_no_operating_point(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", critical=(), failed=(), pictures=False)
    report.write(store)
    read = Reader((store.folder / "report.html").read_text(encoding="utf-8"))
    assert "Operating point" not in read.text
    assert "Surely wrong" not in read.text
    assert not (store.folder / "plots" / "roc.csv").exists()


def test_a_study_whose_runs_all_failed_still_gets_a_page(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", methods=("ce",), seeds=2, failed=(("ce", 0), ("ce", 1)))
    summary = report.write(store)
    assert summary.leader is None
    text = Reader((store.folder / "report.html").read_text(encoding="utf-8")).text
    assert "No run has finished" in text
    assert text.count("loss is nan after epoch 3") == 2


def test_many_classes_folds_and_one_that_is_absent(build: Build, tmp_path: Path) -> None:
    sizes = [0 if c == 7 else 3 + c for c in range(40)]
    names = tuple(f"class number {c} 日本語" for c in range(40))
    counts = {
        part: [max(s, 1) for s in sizes] if part == "train" else sizes for part in ("train", "val", "test")
    }
    store = build(
        tmp_path / "out",
        methods=("ce", "focal"),
        seeds=1,
        folds=2,
        critical=(names[5],),
        counts=counts,
        failed=(),
        pictures=False,
        classes=names,
    )
    summary = report.write(store)
    absent = summary.classes[7]
    assert all(np.isnan(one.value) for one in absent.recall)
    page = (store.folder / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" in page  # a large confusion matrix is drawn as pixels
    assert "The 24 rarest of 40 classes are drawn" in page
    assert len(page) < 1_000_000


def test_without_validation_samples_there_is_no_threshold(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", validation=False, failed=(), seeds=2, pictures=False)
    summary = report.write(store)
    assert "No threshold was chosen on held-out samples" in " ".join(summary.details)
    assert not {"sensitivity", "false_alarm_rate"} & {one.key for one in summary.measures}
    read = Reader((store.folder / "report.html").read_text(encoding="utf-8"))
    labels = " ".join(one["aria-label"] or "" for one in read.every("div") if one.get("role") == "img")
    assert "ROC curve for mel" in labels
    assert "Larger marks" not in labels
    assert "nan" not in labels
    assert "val_loss" not in {path.stem for path in store.folder.glob("plots/*.csv")}
    headings = " ".join(read.text.split("All classes in numbers")[1].split("nv")[0].split())
    assert headings.startswith("Class traintestce")
    assert "stop earlier" not in read.text


def test_with_folds_every_row_is_tested_once(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", folds=3, seeds=1, failed=(), grouped=False, pictures=False)
    summary = report.write(store)
    tested = np.concatenate([one.predictions("test").index for one in store.runs()[::3]])
    assert len(np.unique(tested)) == len(tested) == 900
    assert (summary.same_test, summary.units, summary.positives) == (False, 900, 72)
    assert all(row.runs == 3 for row in summary.methods)
    recall = summary.classes[1].recall[0]
    low, high = stats.binomtest(round(72 * recall.value), 72).proportion_ci(method="wilson")
    assert (recall.low, recall.high) == pytest.approx((low, high))
    text = Reader((store.folder / "report.html").read_text(encoding="utf-8")).text
    assert re.search(r"1 seed . 3 folds", text)
    assert "300 test samples in the first fold of 4 classes" in text
    assert "Runs have test samples of their own" in text


def test_groups_are_drawn_whole_and_said_to_be(build: Build, tmp_path: Path) -> None:
    options = {"methods": ("ce", "focal"), "seeds": 1, "failed": (), "pictures": False}
    grouped, plain = (
        build(tmp_path / "grouped", **options),
        build(tmp_path / "plain", grouped=False, **options),
    )
    assert (report.write(grouped).units, report.write(plain).units) == (150, 300)
    texts = [
        Reader((one.folder / "report.html").read_text(encoding="utf-8")).text for one in (grouped, plain)
    ]
    assert ["150 groups of test samples" in text for text in texts] == [True, False]
    assert ["which samples of one group are not" in text for text in texts] == [True, False]
    assert "each test group of the class once" in texts[0]
    assert "each test sample of the class once" in texts[1]


def test_one_run_per_method_claims_no_spread(build: Build, tmp_path: Path) -> None:
    store = build(tmp_path / "out", seeds=1, failed=(), pictures=False)
    summary = report.write(store)
    assert "One run shows no difference" in summary.headline
    assert "without an interval" in summary.headline
    read = Reader((store.folder / "report.html").read_text(encoding="utf-8"))
    labels = [one["aria-label"] or "" for one in read.every("div") if one.get("role") == "img"]
    assert not any("±" in label or "nan" in label for label in labels)
    table = read.text.split("Read down the first column")[1].split("What the columns mean")[0]
    assert "±" not in table
