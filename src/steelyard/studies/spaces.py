"""What a search varies: ranges as people write them, and the declared ones of every method, in one table.

A range stands where a value would: ``low(lam=log(low=0.001, high=10))``, ``focal(gamma=[0.5, 1, 2])``,
``ldam(scale=uniform(low=1, high=20))``. A word that names a range is searched in the ranges that it names,
and there alone. Any other is searched in the declared ranges of the parameters that it gives no value.
Parameters of the loss within a word are addressed as ``loss.gamma``.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from steelyard import _checks as check
from steelyard import catalog
from steelyard._checks import InputError
from steelyard.recipe import OF_METHODS
from steelyard.words import Word, split, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steelyard.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Between:
    """The numbers from ``low`` to ``high``; with ``log`` every factor counts alike."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        numbers = all(isinstance(end, int | float) for end in (self.low, self.high))
        if not (numbers and -math.inf < self.low < self.high < math.inf and (self.low > 0 or not self.log)):
            least = "0 < low" if self.log else "low"
            raise InputError(f"expected a range with {least} < high, got {self}.")

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{'log' if self.log else 'uniform'}(low={self.low}, high={self.high})"

    @property
    def grid(self) -> tuple[float, ...]:
        """Five values from end to end.

        >>> Between(0.001, 10, log=True).grid
        (0.001, 0.01, 0.1, 1.0, 10.0)
        """
        places = np.geomspace(self.low, self.high, 5) if self.log else np.linspace(self.low, self.high, 5)
        return tuple(map(rounded, places.tolist()))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("expected at least one value in a list to choose from, got none.")

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return text_of(self.values)

    @property
    def grid(self) -> tuple[Any, ...]:
        """The values."""
        return self.values


Range: TypeAlias = Between | Choice
Space: TypeAlias = "dict[str, Range]"  # by parameter
Point: TypeAlias = "dict[str, Any]"  # a value for each of some parameters


def _log(low: float, high: float) -> Between:
    return Between(low, high, log=True)


def _any_of(*values: Any) -> Choice:
    return Choice(values)


_ETA, _MARGIN, _GAMMA, _BETA = (
    _log(1e-3, 10),
    _log(0.1, 4),
    Between(0.5, 5),
    _any_of(0.9, 0.99, 0.999, 0.9999),
)
_TIMES_ANGLE: Space = {"margin": Between(1, 5), "strength": _log(0.05, 1)}
# The largest margin depends on the form, so its share and its start are searched, which all forms have.
_UNCERTAIN: Space = {"strength": _any_of(None, 0.1, 0.5, 1), "plain": Between(0.2, 0.6)}

SPACES: Mapping[str, Space] = {
    "effective-number": {"beta": _BETA},
    "focal": {"gamma": _GAMMA},
    "logit-adjusted": {"tau": Between(0.25, 2.5)},
    "ldam": {"max_margin": Between(0.1, 1), "scale": _log(1, 30)},
    "squared-error": {"normaliser": _any_of("softmax", "sparsemax")},
    "generalised-ce": {"q": Between(0.1, 1)},
    "two-scale": {"eta": _ETA},
    "two-scale-fixed": {"eta": _ETA},
    "two-scale-separation": {"eta": _ETA},
    "large-margin": _TIMES_ANGLE,
    "additive": {"margin": Between(0.1, 0.5), "scale": _log(10, 60)},
    "arcface": {"margin": Between(0.1, 0.6), "scale": _log(10, 60)},
    "sphereface": _TIMES_ANGLE,
    "umm": _UNCERTAIN,
    "umm-sum": _UNCERTAIN,
    "sum-literal": _UNCERTAIN,
    "symmetric-margin": {"margin": _MARGIN},
    "asymmetric-margin": {"margin": _MARGIN},
    "symmetric-focal": {"gamma": _GAMMA},
    "asymmetric-focal": {"gamma": _GAMMA},
    "weighted-bce": {"share": _log(0.1, 2)},
    "balanced-bce": {"beta": _BETA},
    "cost-sensitive": {"rate": Between(0.01, 0.5)},
    "center-loss": {"strength": _log(1e-4, 0.1)},
    "range-loss": {"within": _log(1e-6, 1e-3), "between": _log(1e-5, 1e-2)},
    "low": {"lam": _log(1e-3, 10)},
    "self-paced": {"quantile": Between(0.3, 0.9), "growth": Between(1.01, 1.3)},
    "importance-sampling": {"presample": _any_of(2, 3, 5)},
    "mentornet": {"quantile": Between(0.5, 0.95), "width": Between(0, 2), "burn_in": Between(0, 0.5)},
    "alm": {"mu": _log(0.01, 1), "rho": Between(1.5, 4), "delta": Between(0.5, 2)},
    "alm-fpr": {"mu": _log(0.01, 10), "rho": Between(1, 4), "delta": Between(0.5, 2)},
    "smote": {"neighbours": _any_of(3, 5, 10)},
    "adasyn": {"neighbours": _any_of(3, 5, 10)},
    "near-miss": {"neighbours": _any_of(1, 3, 5)},
    "neighbourhood-cleaning": {"neighbours": _any_of(1, 3, 5)},
    "weighted-svm": {"cost": _log(0.01, 100)},
}  # methods that are not here have no parameter of their own, or as `single-scale` none that decides much

Stage: TypeAlias = "tuple[Point, ...]"  # points to try; the best is kept for the stages that follow


def grid(**values: tuple[Any, ...]) -> Stage:
    """Every combination of ``values``.

    >>> grid(mu=(1, 2), rho=(3,))
    ({'mu': 1, 'rho': 3}, {'mu': 2, 'rho': 3})
    """
    return tuple(dict(zip(values, point, strict=True)) for point in product(*values.values()))


# The staged search of Sangalli et al., "Constrained optimization to train neural networks on critical and
# under-represented classes", NeurIPS 2021. The share of weighted-bce is in units of its 1:N.
STAGES: Mapping[str, tuple[Stage, ...]] = {
    **dict.fromkeys(("symmetric-margin", "asymmetric-margin"), (grid(margin=(0.1, 0.5, 2, 4)),)),
    **dict.fromkeys(("symmetric-focal", "asymmetric-focal"), (grid(gamma=(1, 2, 4, 5)),)),
    "weighted-bce": (grid(share=(0.333, 0.667, 1)),),
    "balanced-bce": (grid(beta=(0.99, 0.999, 0.9999)),),
    "alm": (
        tuple(point for point in grid(mu=(0.2, 0.3), rho=(2, 3, 4)) if point != {"mu": 0.2, "rho": 2}),
        grid(delta=(1, 1.5, 2)),
    ),
}


def of_recipe(text: str, recipe: Recipe) -> Space:
    """The settings of the training that ``text`` has searched: ``lr``, or with a range ``lr=[0.01, 0.1]``.

    >>> from steelyard.recipe import Recipe
    >>> {name: str(where) for name, where in of_recipe("lr,clip=[1, 5]", Recipe(lr=0.01)).items()}
    {'lr': 'log(low=0.001, high=0.1)', 'clip': '[1, 5]'}

    Raises:
        InputError: for a setting that methods cannot have of their own, or one without a range.
    """
    declared = {
        "lr": _log(rounded(recipe.lr / 10), rounded(recipe.lr * 10)),
        "weight_decay": _log(1e-6, 1e-2),
    }
    found: Space = {}
    for part in split(text):
        name, _, value = (piece.strip() for piece in part.partition("="))
        check.one_of("setting to search", name, OF_METHODS)
        given = as_range(Word.parse(f"search({part})").params[name]) if value else declared.get(name)
        if given is None:
            raise InputError(
                f"expected a range for {name}, as in {name}=[0.1, 1] or {name}=log(low=.., high=..)."
            )
        found[name] = given
    return found


def as_range(value: Any) -> Range | None:
    """The range that a parameter's value stands for; None if it is a plain value.

    Raises:
        InputError: if it is a range that cannot be used.
    """
    if isinstance(value, list | tuple):
        return Choice(tuple(value))
    if isinstance(value, Word) and value.name in ("log", "uniform"):
        if set(value.params) != {"low", "high"}:
            raise InputError(f"expected {value.name}(low=.., high=..), got {value}.")
        return Between(value.params["low"], value.params["high"], log=value.name == "log")
    return None


def taken_apart(word: Word) -> tuple[Word, Space]:
    """``word`` without its ranges, and the space to search: the ranges that it names, else the declared ones.

    >>> taken_apart(Word.parse("low(loss=focal(gamma=[1, 2]))"))
    (Word(name='low', params={'loss': Word(name='focal', params={})}), {'loss.gamma': Choice(values=(1, 2))})
    """
    plain, named = _ranges(word)
    return plain, named or _declared(plain)


def _ranges(word: Word) -> tuple[Word, Space]:
    params: dict[str, Any] = {}
    named: Space = {}
    for name, value in word.params.items():
        found = as_range(value)
        if found is not None:
            named[name] = found
        elif isinstance(value, Word):
            params[name], inner = _ranges(value)
            named |= {f"{name}.{key}": one for key, one in inner.items()}
        else:
            params[name] = value
    return Word(word.name, params), named


def _declared(word: Word) -> Space:
    own = {name: one for name, one in SPACES.get(word.name, {}).items() if name not in word.params}
    if "loss" not in word.params:
        return own
    return own | {f"loss.{name}": one for name, one in _declared(Word.of(word.params["loss"])).items()}


def with_values(word: Word, point: Point) -> Word:
    """``word`` with the values of ``point``.

    >>> str(with_values(Word.parse("low(loss=focal)"), {"lam": 0.1, "loss.gamma": 1}))
    'low(loss=focal(gamma=1), lam=0.1)'
    """
    params = dict(word.params)
    for name, value in point.items():
        outer, _, inner = name.partition(".")
        params[outer] = with_values(Word.of(params[outer]), {inner: value}) if inner else value
    return Word(word.name, params)


def default_point(word: Word, space: Space, recipe: Recipe) -> Point | None:
    """What ``word`` has without a search; None where a default is out of its range."""
    point = {name: _default(word, name, recipe) for name in space}
    if not all(point[name] in where for name, where in space.items()):
        return None
    return {
        name: where.values[where.values.index(point[name])] if isinstance(where, Choice) else point[name]
        for name, where in space.items()
    }  # as a list writes it: 2, not 2.0


def _default(word: Word, name: str, recipe: Recipe) -> Any:
    outer, _, inner = name.partition(".")
    if inner:
        return _default(Word.of(word.params[outer]), inner, recipe)
    if name in OF_METHODS:
        return getattr(recipe, name)
    if name == "loss":
        return catalog.base_loss(word.name)
    known = inspect.signature(catalog.METHODS[word.name]).parameters
    return known[name].default if name in known else None


def rounded(value: float) -> float:
    """``value`` to three digits: words stay readable, and no search tells values apart that finely.

    >>> rounded(0.0316227766)
    0.0316
    """
    return float(f"{value:.3g}")
