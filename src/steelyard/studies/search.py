"""How a search goes: it yields words, is sent what each reached on validation, and returns the word it chose.

A search draws on nothing but the figures that it is sent. So the same command, given again after an
interruption, asks for the same words, whose trainings are there already, and goes on from where it was.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from steelyard._checks import InputError
from steelyard.studies.spaces import (
    STAGES,
    Between,
    default_point,
    rounded,
    taken_apart,
    with_values,
)
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from steelyard.recipe import Recipe
    from steelyard.studies.spaces import Point, Space, Stage

Search: TypeAlias = Generator[list[Word], list[float], Word]
"""Yields words, is sent their values (-inf: the training failed), returns the chosen word."""

_ATTEMPTS = 50  # to find a point that was not tried yet; then the space is held to be exhausted


def by_model(word: Word, of_recipe: Space, recipe: Recipe, trials: int, seed: int) -> Search:
    """At most ``trials`` words: the defaults, then what Optuna's tree-structured Parzen estimator proposes.

    Fewer only where the ranges hold fewer points. More trials begin with the same words.

    References:
        Bergstra, Bardenet, Bengio, Kégl, "Algorithms for hyper-parameter optimization", NIPS 2011. Akiba,
        Sano, Yanase, Ohta, Koyama, "Optuna: a next-generation hyperparameter optimization framework", KDD
        2019.
    """
    optuna = load_optuna()
    plain, space = whole_space(word, of_recipe)
    tried: dict[str, tuple[Point, float]] = {}
    point: Point | None = default_point(plain, space, recipe)
    for _ in range(trials):
        if point is None:
            point = _proposed(optuna, plain, space, list(tried.values()), _seeds(seed, word, len(tried)))
        if point is None or str(with_values(plain, point)) in tried:
            break
        wanted = with_values(plain, point)
        (value,) = yield [wanted]
        tried[str(wanted)] = (point, value)
        point = None
    return Word.parse(_best({name: value for name, (_, value) in tried.items()}))


def by_stages(word: Word, of_recipe: Space) -> Search:
    """One small grid after the other; each keeps the best point of those before.

    First come the settings of the training, then the stages of the loss within ``word``, which is trained by
    itself for them, then those of ``word``: one for each range that it names, in their order; where it names
    none those of :data:`steelyard.studies.spaces.STAGES`, or one for each declared range.
    """
    inner = word.params.get("loss")
    if isinstance(inner, str | Word) and _stages(Word.of(inner)):
        loss = yield from by_stages(Word.of(inner), {})
        word = Word(word.name, {**word.params, "loss": loss})
    plain, _ = whole_space(word, {})
    for stage in (*_each(of_recipe, word), *_stages(word)):
        words = {str(one): one for one in (with_values(plain, point) for point in stage)}
        values = yield list(words.values())
        plain = words[_best(dict(zip(words, values, strict=True)))]
    if plain == word:  # nothing to search: its one training is the figure of its defaults
        yield [plain]
    return plain


def whole_space(word: Word, of_recipe: Space) -> tuple[Word, Space]:
    """``word`` without ranges, and its ranges with those of the training that it does not set itself."""
    plain, space = taken_apart(word)
    return plain, space | {name: one for name, one in of_recipe.items() if name not in word.params}


def _stages(word: Word) -> tuple[Stage, ...]:
    """The stages of ``word`` itself, without those of its loss."""
    _, space = taken_apart(word)
    own = {name: one for name, one in space.items() if "." not in name}
    declared = STAGES.get(word.name)
    if declared is None or any(name in word.params for name in own):
        return _each(own, word)
    free = [
        tuple({name: value for name, value in point.items() if name in own} for point in stage)
        for stage in declared
    ]
    return tuple(stage for stage in free if any(stage))


def _each(space: Space, word: Word) -> tuple[Stage, ...]:
    """One stage for each range of ``space``, but for what ``word`` gives a value."""
    plain, _ = taken_apart(word)
    return tuple(
        tuple({name: value} for value in one.grid) for name, one in space.items() if name not in plain.params
    )


def _best(values: dict[str, float]) -> str:
    """The word of the largest value, the first of equals; one whose training failed only where all did."""
    return max(values, key=lambda name: values[name])


def _proposed(
    optuna: ModuleType, plain: Word, space: Space, tried: Sequence[tuple[Point, float]], seeds: Sequence[int]
) -> Point | None:
    """A point that was not tried; None where none is found."""
    known = {str(with_values(plain, point)) for point, _ in tried}
    distributions = {name: _distribution(optuna, one) for name, one in space.items()}
    for seed in seeds if space else ():
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        study.add_trials([_told(optuna, space, distributions, *one) for one in tried])
        drawn = study.ask(distributions).params
        point = {name: _value(one, drawn[name]) for name, one in space.items()}
        if str(with_values(plain, point)) not in known:
            return point
    return None


def _distribution(optuna: ModuleType, one: Any) -> Any:
    if isinstance(one, Between):
        return optuna.distributions.FloatDistribution(one.low, one.high, log=one.log)
    return optuna.distributions.CategoricalDistribution(list(range(len(one.values))))


def _value(one: Any, drawn: Any) -> Any:
    return min(max(rounded(drawn), one.low), one.high) if isinstance(one, Between) else one.values[drawn]


def _told(optuna: ModuleType, space: Space, distributions: Any, point: Point, value: float) -> Any:
    """A finished trial as Optuna keeps it; a failed one counts as pruned, which is worse than any value."""
    params = {
        name: point[name] if isinstance(one, Between) else one.values.index(point[name])
        for name, one in space.items()
    }
    state = optuna.trial.TrialState
    if not math.isfinite(value):
        return optuna.trial.create_trial(state=state.PRUNED, params=params, distributions=distributions)
    return optuna.trial.create_trial(
        state=state.COMPLETE, params=params, distributions=distributions, value=value
    )


def _seeds(seed: int, word: Word, number: int) -> list[int]:
    """Seeds of the sampler for trial ``number`` of ``word``, fixed by these three: so a search can go on."""
    sequence = np.random.SeedSequence([seed, number, *str(word).encode()])
    return [int(one) for one in sequence.generate_state(_ATTEMPTS)]


def load_optuna() -> ModuleType:
    """Optuna, without its messages.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import optuna  # noqa: PLC0415 - an extra, which only a search needs
    except ImportError:
        raise InputError(
            "this search needs Optuna, which is not there: pip install 'steelyard[tune]', or give --staged."
        ) from None
    logging.getLogger("optuna").setLevel(logging.WARNING)
    return optuna
