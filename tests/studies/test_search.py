"""Ranges, spaces and the way a search goes: no training here."""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from torch import nn

from steelyard import InputError, catalog
from steelyard.models import Classifier
from steelyard.recipe import Recipe
from steelyard.studies.search import by_model, by_stages
from steelyard.studies.spaces import (
    SPACES,
    STAGES,
    Between,
    Choice,
    as_range,
    default_point,
    of_recipe,
    taken_apart,
    with_values,
)
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Callable

    from steelyard.studies.search import Search

RECIPE = Recipe(lr=0.01)


def followed(search: Search, value: Callable[[Word], float]) -> tuple[list[str], str]:
    """The words that ``search`` asks for where they have these values, and the one that it returns."""
    asked: list[str] = []
    words = next(search)
    while True:
        asked += map(str, words)
        try:
            words = search.send([value(word) for word in words])
        except StopIteration as end:
            return asked, str(end.value)


def lam_near(target: float) -> Callable[[Word], float]:
    return lambda word: -abs(np.log10(word.params["lam"]) - np.log10(target))


def facts() -> catalog.Facts:
    """With a model of its own: some methods exchange its head."""
    model = Classifier(nn.Dropout(0.5), nn.Linear(4, 2))
    return catalog.Facts(class_counts=[60, 6], num_samples=66, model=model, critical=[1])


@pytest.mark.parametrize("name", SPACES)
def test_declared_ranges_hold_the_default_and_what_the_method_takes(name: str) -> None:
    plain, space = taken_apart(Word(name))
    assert set(space) <= set(inspect.signature(catalog.METHODS[name]).parameters)
    point = default_point(plain, space, RECIPE)
    assert point is not None
    for parameter, where in space.items():
        for end in where.grid:
            catalog.method(with_values(plain, point | {parameter: end}), facts())


def test_whoever_has_no_declared_range_has_nothing_to_search() -> None:
    for name in catalog.METHODS.keys() - SPACES.keys():
        shown = catalog.parameters(catalog.METHODS[name])
        assert {part.partition("=")[0] for part in shown.split(", ") if part} <= {"loss", "lr_factor"}, name


@pytest.mark.parametrize("name", STAGES)
def test_declared_stages_are_of_the_declared_space(name: str) -> None:
    for stage in STAGES[name]:
        for point in stage:
            assert all(value in SPACES[name][parameter] for parameter, value in point.items())


def test_a_word_that_names_ranges_is_searched_there_alone() -> None:
    word = Word.parse("alm(mu=[0.1, 0.3], rho=2, loss=focal(gamma=uniform(low=0, high=3)))")
    plain, space = taken_apart(word)
    assert str(plain) == "alm(rho=2, loss=focal)"
    assert space == {"mu": Choice((0.1, 0.3)), "loss.gamma": Between(0, 3)}
    assert set(taken_apart(Word.parse("alm(rho=2, loss=focal)"))[1]) == {"mu", "delta", "loss.gamma"}
    assert taken_apart(Word.parse("ce"))[1] == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("low(lam=log(low=0, high=1))", "expected a range with 0 < low < high, got log"),
        ("low(lam=uniform(low=2, high=1))", "expected a range with low < high, got uniform"),
        ("low(lam=uniform(low=a, high=1))", "expected a range"),
        ("low(lam=log(from=1, to=2))", r"expected log\(low=.., high=..\), got log\(from=1, to=2\)"),
        ("low(lam=[])", "expected at least one value"),
    ],
)
def test_ranges_that_cannot_be_used_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        taken_apart(Word.parse(text))


def test_settings_of_the_training_are_searched_too() -> None:
    assert of_recipe("lr, momentum=[0.5, 0.9]", RECIPE) == {
        "lr": Between(0.001, 0.1, log=True),
        "momentum": Choice((0.5, 0.9)),
    }
    assert of_recipe("", RECIPE) == {}
    with pytest.raises(InputError, match="unknown setting to search 'epochs'"):
        of_recipe("epochs=[1, 2]", RECIPE)
    with pytest.raises(InputError, match="expected a range for clip"):
        of_recipe("clip", RECIPE)
    with pytest.raises(InputError, match="expected a range for clip"):
        of_recipe("clip=5", RECIPE)
    assert as_range(5) is None


def test_the_model_begins_with_the_defaults_and_finds_the_best() -> None:
    search = by_model(Word("low"), {}, RECIPE, trials=40, seed=0)
    words, chosen = followed(search, lam_near(3.0))
    assert words[0] == "low(lam=0.1)"
    assert len(words) == len(set(words)) == 40
    lams = [Word.parse(word).params["lam"] for word in words]
    assert all(1e-3 <= lam <= 10 for lam in lams)
    assert chosen == f"low(lam={min(lams, key=lambda lam: abs(np.log10(lam / 3)))})"
    random_distance, guided = (
        np.abs(np.log10(np.array(part) / 3)).mean() for part in (lams[1:11], lams[20:])
    )
    assert guided < random_distance / 2


def test_more_trials_begin_with_the_same_words_and_another_seed_does_not() -> None:
    few, many, other = (
        followed(by_model(Word("low"), {}, RECIPE, trials, seed), lam_near(1.0))[0]
        for trials, seed in ((8, 0), (14, 0), (8, 1))
    )
    assert many[:8] == few
    assert other[0] == few[0]
    assert not set(other[1:]) & set(few[1:])


def test_a_small_space_is_tried_whole_and_nothing_twice() -> None:
    word = Word.parse("focal(gamma=[0, 1, 2])")
    words, chosen = followed(by_model(word, {}, RECIPE, 20, 0), lambda word: -word.params["gamma"])
    assert sorted(words) == ["focal(gamma=0)", "focal(gamma=1)", "focal(gamma=2)"]
    assert words[0] == "focal(gamma=2)"
    assert chosen == "focal(gamma=0)"
    assert followed(by_model(Word("ce"), {}, RECIPE, 20, 0), lambda _: 0.5) == (["ce"], "ce")


def test_a_method_without_parameters_has_its_trials_in_the_learning_rate() -> None:
    words, _ = followed(by_model(Word("ce"), of_recipe("lr", RECIPE), RECIPE, 9, 0), lambda _: 0.5)
    assert words[0] == "ce(lr=0.01)"
    assert len(set(words)) == 9
    fixed, _ = followed(by_model(Word.parse("ce(lr=1)"), of_recipe("lr", RECIPE), RECIPE, 9, 0), lambda _: 0)
    assert fixed == ["ce(lr=1)"]


def test_failed_trials_are_avoided_and_not_chosen() -> None:
    def value(word: Word) -> float:
        return -np.inf if word.params["lam"] > 0.05 else 0.5

    words, chosen = followed(by_model(Word("low"), {}, RECIPE, 40, 0), value)
    lams = np.array([Word.parse(word).params["lam"] for word in words])
    assert Word.parse(chosen).params["lam"] <= 0.05
    assert (lams[20:] > 0.05).mean() < 0.3  # by chance it would be 0.58


def test_the_stages_are_those_of_the_paper() -> None:
    def value(word: Word) -> float:
        if word.name == "symmetric-margin":
            return -abs(word.params["margin"] - 0.5)
        return -abs(word.params["mu"] - 0.3) - abs(word.params["rho"] - 2) - word.params.get("delta", 1)

    words, chosen = followed(by_stages(Word.parse("alm(loss=symmetric-margin)"), {}), value)
    assert words[:4] == [f"symmetric-margin(margin={m})" for m in (0.1, 0.5, 2, 4)]
    base = "alm(loss=symmetric-margin(margin=0.5), mu="
    grid = ("0.2, rho=3)", "0.2, rho=4)", "0.3, rho=2)", "0.3, rho=3)", "0.3, rho=4)")
    assert words[4:9] == [base + point for point in grid]
    assert words[9:] == [f"{base}0.3, rho=2, delta={delta})" for delta in (1, 1.5, 2)]
    assert chosen == f"{base}0.3, rho=2, delta=1)"


def test_stages_of_what_a_word_names_and_of_any_other_method() -> None:
    def first(word: str, also: str = "") -> list[str]:
        return followed(by_stages(Word.parse(word), of_recipe(also, RECIPE)), lambda _: 0.0)[0]

    assert first("alm(delta=[1, 2], mu=[0.1, 0.2])") == [
        "alm(delta=1)",
        "alm(delta=2)",
        "alm(delta=1, mu=0.1)",
        "alm(delta=1, mu=0.2)",
    ]
    assert first("alm(mu=0.3)")[:3] == ["alm(mu=0.3, rho=3)", "alm(mu=0.3, rho=4)", "alm(mu=0.3, rho=2)"]
    assert first("low") == [f"low(lam={lam})" for lam in (0.001, 0.01, 0.1, 1.0, 10.0)]
    assert first("ce") == ["ce"]
    assert first("ce", "lr=[0.1, 1]") == ["ce(lr=0.1)", "ce(lr=1)"]
    assert first("exponentiated(loss=balanced-bce)")[-1] == "exponentiated(loss=balanced-bce(beta=0.99))"
    assert first("low(loss=[ce, focal])") == ["low(loss=ce)", "low(loss=focal)"]


def test_grids_go_from_end_to_end() -> None:
    for one in (Between(0.5, 5), Between(1e-3, 10, log=True)):
        assert (one.grid[0], one.grid[-1], len(one.grid)) == (one.low, one.high, 5)
        assert all(a < b for a, b in pairwise(one.grid))
