"""Methods ranked over several studies: numbers against SciPy and brute force, words, and the page."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steelyard import report
from steelyard._checks import InputError
from steelyard.report import evidence
from steelyard.report.ranks import Ranking, groups, rank
from steelyard.report.summary import Cell, Row, Summary, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from steelyard.studies.store import Store

    Build = Callable[..., Store]

SMALL = {"train": [20, 6, 8, 8], "val": [6, 4, 4, 4], "test": [10, 6, 6, 6]}

# Critical values of Nemenyi's test at 5 %, by number of methods: Demšar (2006), table 5(a).
DEMSAR = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}


@pytest.fixture(scope="module")
def summary(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    folder = tmp_path_factory.mktemp("plain") / "out"
    return summarise(
        evidence.read(build(folder, seeds=1, folds=None, critical=(), failed=(), pictures=False))
    )


@pytest.fixture
def ranked(summary: Summary, tmp_path: Path) -> Callable[..., Ranking]:
    """Ranks studies of which only the means of balanced accuracy, by method, are given."""

    def from_means(*means: Mapping[str, float], names: str = "abcdefghijklmnopq", **changes: Any) -> Ranking:
        studies = [
            (
                SimpleNamespace(folder=tmp_path / f"study {d}", study=SimpleNamespace(data=f"settings {d}")),
                dataclasses.replace(summary, name=names[d], methods=rows(found), **changes),
            )
            for d, found in enumerate(means)
        ]
        return rank(studies, tmp_path / "ranks")  # type: ignore[arg-type] # all that it asks of a store

    return from_means


def rows(means: Mapping[str, float]) -> tuple[Row, ...]:
    trained = [
        Row(name, True, 1, 0, {"balanced_accuracy": Cell(mean, math.nan, 1)}) for name, mean in means.items()
    ]
    return *trained, Row("ce + temperature", False, 1, 0, {"balanced_accuracy": Cell(1.0, math.nan, 1)})


def table(data_sets: int, methods: int, seed: int = 0) -> list[dict[str, float]]:
    values = np.random.default_rng(seed).integers(0, 6, (data_sets, methods)) / 10  # with ties
    return [{f"m{m}": float(value) for m, value in enumerate(row)} for row in values]


@pytest.mark.parametrize(("data_sets", "methods"), [(2, 3), (5, 4), (15, 7)])
def test_ranks_and_friedman_agree_with_scipy(
    ranked: Callable[..., Ranking], data_sets: int, methods: int
) -> None:
    means = table(data_sets, methods)
    found = ranked(*means)
    values = np.array([list(row.values()) for row in means])
    places = stats.rankdata(-values, axis=1)
    for m, one in enumerate(found.methods):
        assert [place.rank for place in one.places] == places[:, m].tolist()
        assert [place.value for place in one.places] == values[:, m].tolist()
        assert one.average_rank == pytest.approx(places[:, m].mean())
    friedman = stats.friedmanchisquare(*values.T)
    assert found.friedman_statistic == pytest.approx(friedman.statistic)
    assert found.friedman_p == pytest.approx(friedman.pvalue)
    assert found.least_p == pytest.approx(stats.chi2.sf(data_sets * (methods - 1), methods - 1))
    assert [one.average_rank for one in found.best_first] == sorted(places.mean(axis=0))


@pytest.mark.parametrize("methods", DEMSAR)
def test_the_critical_difference_is_demsars(ranked: Callable[..., Ranking], methods: int) -> None:
    expected = DEMSAR[methods] * math.sqrt(methods * (methods + 1) / (6 * 5))
    assert ranked(*table(5, methods)).critical_difference == pytest.approx(expected, rel=3e-4)


def test_where_fewer_is_better_the_lowest_comes_first(
    ranked: Callable[..., Ranking], summary: Summary
) -> None:
    deciding = dataclasses.replace(summary.deciding, better="lower")
    found = ranked({"a": 0.1, "b": 0.2}, {"a": 0.3, "b": 0.4}, measures=(deciding,))
    assert [one.average_rank for one in found.methods] == [1, 2]


@given(
    average=st.lists(st.integers(0, 12).map(lambda n: n / 4), min_size=2, max_size=7),
    width=st.integers(1, 9).map(lambda n: n / 4),
)
def test_groups_are_the_maximal_sets_of_methods_near_one_another(average: list[float], width: float) -> None:
    names = [f"m{n}" for n in range(len(average))]
    of = dict(zip(names, average, strict=True))
    near = [
        set(some)
        for size in range(2, len(names) + 1)
        for some in itertools.combinations(names, size)
        if all(abs(of[a] - of[b]) < width for a, b in itertools.combinations(some, 2))
    ]
    largest = [some for some in near if not any(some < other for other in near)]
    found = groups(of, width)
    assert sorted(map(sorted, found)) == sorted(map(sorted, largest))
    assert all([of[name] for name in group] == sorted(of[name] for name in group) for group in found)


def test_a_clear_winner_over_many_data_sets(ranked: Callable[..., Ranking]) -> None:
    found = ranked(*({"ce": 0.1 + d / 100, "focal": 0.2 + d / 100, "low": 0.9} for d in range(12)))
    assert found.headline == (
        "Over 12 data sets the methods differ (Friedman's test, p < 0.001). low has the best average rank, "
        "1.00, and is shown to differ from focal and ce."
    )
    assert found.groups == ()
    assert not any("too few" in text for text in found.details)


def test_few_data_sets_are_said_to_show_little(ranked: Callable[..., Ranking]) -> None:
    found = ranked({"ce": 0.1, "low": 0.2}, {"ce": 0.1, "low": 0.2})
    assert found.headline.startswith("Over 2 data sets the methods are not shown to differ")
    text = " ".join(found.details)
    assert "2 data sets are too few" in text
    assert "could not fall below p = 0.16" in text  # chi-square 2 with 1 degree of freedom
    # 1.960 * sqrt(2 * 3 / (6 * n)) <= 1 from n = 3.84 on
    assert "difference that 2 methods can have (1): no two can be told apart. That takes at least 4" in text


def test_equal_methods_and_shared_first_places(ranked: Callable[..., Ranking]) -> None:
    assert "equal average ranks" in ranked({"a": 0.5, "b": 0.5}, {"a": 0.4, "b": 0.4}).headline
    found = ranked(*({"a": 0.5, "b": 0.5, "c": 0.1} for _ in range(12)))
    assert "a and b have the best average rank, 1.50, and are shown to differ from c." in found.headline


def test_methods_that_are_not_everywhere_are_left_out_and_named(ranked: Callable[..., Ranking]) -> None:
    found = ranked({"a": 0.1, "b": 0.2, "c": math.nan}, {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4})
    assert [one.method for one in found.methods] == ["a", "b"]
    assert {one.method: one.lacks for one in found.left_out} == {"c": ("a",), "d": ("a",)}
    assert "c is left out: it has no figure for a." in found.details


def test_one_data_set_in_two_settings_is_no_two_data_sets(ranked: Callable[..., Ranking]) -> None:
    found = ranked({"a": 0.1, "b": 0.2}, {"a": 0.1, "b": 0.2}, names="dd")
    assert all(re.fullmatch(r"d \(.*study \d\)", one.name) for one in found.data_sets)
    assert any("d stands behind 2 of the data sets" in text for text in found.details)


def test_what_cannot_be_ranked_is_refused(build: Build, tmp_path: Path) -> None:
    def made(folder: str, **changes: Any) -> Store:
        return build(
            tmp_path / folder,
            **{"methods": ("ce", "focal"), "seeds": 1, "failed": (), "pictures": False, "counts": SMALL}
            | changes,
        )

    skin, fraud = made("skin"), made("fraud", name="fraud")
    with pytest.raises(InputError, match="the same data set, skin, in the same settings"):
        report.write_ranks([skin, made("again")], tmp_path / "ranks")
    with pytest.raises(InputError, match="different measures"):
        report.write_ranks([skin, made("plain", name="plain", critical=())], tmp_path / "ranks")
    with pytest.raises(InputError, match="the same sensitivity"):
        report.write_ranks([skin, made("sure", name="sure", at_tpr=0.9)], tmp_path / "ranks")
    with pytest.raises(InputError, match="at least 2 methods with a figure in every study, got ce"):
        report.write_ranks([skin, made("other", name="o", methods=("ce", "ldam"))], tmp_path / "ranks")
    with pytest.raises(InputError, match="holds a study"):
        report.write_ranks([skin, fraud], skin.folder)
    assert not (tmp_path / "ranks").exists()


class Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_its_links_and_its_data(build: Build, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    stores = [
        build(tmp_path / "deep" / name, name=source, methods=("ce", "low"), seeds=1, failed=(), counts=SMALL)
        for name, source in (("a b#1", evil), ("c", "digits"))
    ]
    kept = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    found = report.write_ranks(stores, tmp_path / "ranks")
    assert {path: path.read_bytes() for path in kept} == kept  # the studies are as they were
    page = (tmp_path / "ranks" / "report.html").read_text(encoding="utf-8")
    read = Links(page)
    assert page.count("<script") == 1
    assert evil in read.text
    assert "../deep/a%20b%231/report.html" in read.found
    for link in read.found:
        path = tmp_path / "ranks" / link.replace("%20", " ").replace("%23", "#")
        assert link.startswith("#") or path.is_file()
    assert json.loads((tmp_path / "ranks" / "summary.json").read_text()) == json.loads(found.as_json())
    with (tmp_path / "ranks" / "plots" / "critical_difference.csv").open(newline="") as file:
        data = list(csv.DictReader(file))
    assert {row["method"]: float(row["average_rank"]) for row in data} == {
        one.method: one.average_rank for one in found.methods
    }
    assert [row["group_1"] for row in data] == [str(row["method"] in found.groups[0]) for row in data]
