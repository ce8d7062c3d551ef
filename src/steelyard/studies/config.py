"""What a study is asked to do: words, YAML and options become one checked record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from steelyard import _checks as check
from steelyard._checks import InputError
from steelyard.recipe import OF_METHODS, AboveZero, Count, Frozen, Recipe, Share
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AWord = Annotated[InstanceOf[Word], BeforeValidator(Word.of), PlainSerializer(str)]

_LARGEST = 2**17  # bytes of a study
_MOST_RUNS = 100_000
_SHOWN = 80  # characters of a wrong value

DEFAULT_METHODS = ("ce", "balanced-ce", "focal", "low")


class Costs(Frozen):
    """What a missed critical sample and a false alarm cost, in any unit.

    >>> Costs.model_validate(Costs.of("miss=50,alarm=1"))
    Costs(miss=50.0, alarm=1.0)
    """

    miss: AboveZero
    alarm: AboveZero

    @classmethod
    def of(cls, value: Any) -> Any:
        """``value``, or the record that a text such as ``miss=50,alarm=1`` stands for."""
        if not isinstance(value, str):
            return value
        parts = [part.partition("=") for part in value.split(",")]
        if [name.strip() for name, _, _ in sorted(parts)] != ["alarm", "miss"]:
            raise ValueError(f"must give both costs, as in miss=50,alarm=1, got {value}")
        return {name.strip(): number.strip() for name, _, number in parts}


def _share(value: float) -> float:
    if value > 1:
        raise ValueError(f"must be a share of at most 1, got {value:g}; give {value:g} % as {value / 100:g}")
    return value


def _names(values: Any) -> Any:
    """``values``, unless YAML has made something else of a name than text."""
    given = values if isinstance(values, list | tuple) else [values]
    if values is given and all(isinstance(value, str) for value in given):
        return values
    truth = {True: "yes", False: "no"}
    meant = [truth[value] if isinstance(value, bool) else str(value) for value in given]
    read = (
        " (YAML reads yes, no, on and off as true and false)"
        if any(v is True or v is False for v in given)
        else ""
    )
    raise ValueError(f"must be a list of names, each in quotes, as in {meant}{read}, got {values!r}")


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Data(Frozen):
    """Which samples, and how they are divided."""

    source: str = Field(description="a built-in name, a folder of images, .csv, .parquet or .npz")
    target: str | None = Field(None, description="column that holds the class (.csv, .parquet)")
    group: str | None = Field(None, description="column whose equal values (patient, lesion) stay together")
    encoding: str | None = Field(
        None, description="of a .csv: utf-8, utf-16, cp1252, ... (default: told by its bytes)"
    )
    keep: Names = Field(
        (),
        description="columns that are features though they look like identifiers; "
        "best or last: the epoch whose weights are kept (default: last)",
    )
    metadata: str | None = Field(None, description="table that gives each image its group")
    image_size: int | tuple[int, int] | None = Field(
        None, description="pixels: 64, or height x width as 48x64"
    )
    colour: Literal["shades-of-grey"] | None = Field(
        None, description="colour constancy of images: shades-of-grey takes the colour of the light out"
    )
    classes: Names = Field((), description="use only these classes")
    imbalance: AWord | None = Field(
        None,
        description="make it imbalanced: step, longtail, powers, counts, ratio, halved, as in step(ratio=50)",
    )
    val_fraction: Share = Field(0.15, description="share of the training samples held out for decisions")
    test_fraction: Share = Field(
        0.2,
        description="share held out for the answer, where the source has no test part; 0: nothing is tested",
    )
    skip_unreadable: bool = Field(default=False, description="leave unreadable images out, and say how many")
    thinned_test: bool = Field(
        default=False, description="test on samples thinned to the training ratio of the classes as well"
    )


class Study(Frozen):
    """One comparison: methods x seeds x folds (x members) on one data set with one model and one recipe.

    >>> Study(data={"source": "digits"}, methods=["ce", "low(lam=0.1)"]).methods[1].params
    {'lam': 0.1}
    """

    data: Data
    model: AWord = Field(Word("auto"), description="see `steelyard methods`, or my_package.nets:make")
    methods: tuple[AWord, ...] = Field(
        tuple(Word(name) for name in DEFAULT_METHODS), description="methods to compare, as in ce,low(lam=0.1)"
    )
    training: Recipe = Recipe()
    seeds: Count = Field(
        3, description="trainings of each method, each with its own split and initial weights"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="the first of the seeds")
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="test on each of so many folds in turn"
    )
    ensemble: Annotated[int, Field(ge=2)] | None = Field(
        None, description="models per seed and fold, each with a validation part of its own; logits averaged"
    )
    critical: Names = Field((), description="the classes that must not be missed")
    at_tpr: Annotated[float, Field(gt=0), AfterValidator(_share)] = Field(
        0.95, description="sensitivity asked for, for --critical"
    )
    confidence: Annotated[float, Field(ge=0), AfterValidator(_share), Field(lt=1)] = Field(
        0.95,
        description="with which new samples are to reach that sensitivity, where enough critical samples are "
        "held out; 0: no guarantee",
    )
    cost: Annotated[Costs, BeforeValidator(Costs.of)] | None = Field(
        None, description="decide by the least expected cost, as in miss=50,alarm=1"
    )
    prevalence: Annotated[float, Field(gt=0), AfterValidator(_share), Field(lt=1)] | None = Field(
        None, description="share of critical samples where the model will be used (default: that of the test)"
    )
    tested: bool = Field(True, description="whether runs predict the test samples; those of a search do not")
    added: dict[str, str] = Field(
        {}, description="the methods, by their text, that nobody asked for, and why each is there"
    )
    confirms: str | None = Field(None, description="folder of the study whose models are judged on new data")

    @model_validator(mode="before")
    @classmethod
    def _monitor_of_the_task(cls, values: Any) -> Any:
        """Judge epochs by the critical classes' AUC where there are any, unless the user said otherwise."""
        if isinstance(values, dict) and isinstance(values.get("training", {}), dict):
            monitor = "val_auc" if values.get("critical") else "val_balanced_accuracy"
            training = values.get("training", {})
            return values | {"training": training | {"monitor": training.get("monitor") or monitor}}
        return values

    @model_validator(mode="after")
    def _no_method_twice(self) -> Study:
        if not self.methods:
            raise ValueError("expected at least one method")
        twice = [str(one) for place, one in enumerate(self.methods) if one in self.methods[:place]]
        if twice:
            raise ValueError(f"method named twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _not_endless(self) -> Study:
        number = self.seeds * (self.folds or 1) * (self.ensemble or 1) * len(self.methods)
        if number > _MOST_RUNS:
            raise ValueError(
                f"expected at most {_MOST_RUNS} trainings, got seeds x folds x members x methods = {number}"
            )
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The held-out parts that every run predicts."""
        judged = self.tested and (self.data.test_fraction > 0 or self.folds is not None)
        return ("val",) * (self.data.val_fraction > 0) + ("test",) * judged

    def of(self, run: Run) -> Study:
        """The study with the settings of the training that the word of ``run`` holds.

        Raises:
            InputError: if one has a value that cannot be used.
        """
        own = {name: value for name, value in run.method.params.items() if name in OF_METHODS}
        if not own:
            return self
        try:
            training = Recipe.model_validate(self.training.model_dump() | own)
        except ValidationError as error:
            wrong = "; ".join(map(_message, error.errors()))
            raise InputError(f"method {run.method} cannot be used: {wrong}.") from None
        return self.model_copy(update={"training": training})

    def runs(self) -> list[Run]:
        """Every run of the study, seed by seed, so that an early look compares like with like."""
        return [
            Run(method=method, seed=seed, fold=fold, member=member)
            for seed in range(self.seed, self.seed + self.seeds)
            for fold in range(self.folds or 1)
            for member in (range(self.ensemble) if self.ensemble else (None,))
            for method in self.methods
        ]


class Run(Frozen):
    """One training: a method, a seed and a fold of a study, and a member where it has ensembles."""

    method: AWord
    seed: int = 0
    fold: int = 0
    member: int | None = None

    @property
    def key(self) -> tuple[int, ...]:
        """Seed and fold, and member where there is one: what pairs the runs of two methods."""
        return (self.seed, self.fold) if self.member is None else (self.seed, self.fold, self.member)


def study(values: Mapping[str, Any]) -> Study:
    """Check nested ``values`` and make a study of them.

    Raises:
        InputError: one line that names every wrong or unknown key.
    """
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise InputError(f"the study cannot be used: {'; '.join(map(_message, error.errors()))}.") from None


def read_study(path: Path) -> dict[str, Any]:
    """Read the nested values of a study from a YAML file.

    Raises:
        InputError: if it is no YAML, is too large, or holds aliases, by which a few lines may stand for more
            than memory holds.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: expected a file with a study, got a folder, a pipe or a device.")
    content = path.read_bytes()
    if len(content) > _LARGEST:
        raise InputError(f"{path}: expected a study of at most {_LARGEST} bytes, got {len(content)}.")
    try:
        aliased = any(isinstance(token, yaml.AliasToken) for token in yaml.scan(content))
        values = None if aliased else yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if aliased:
        raise InputError(f"{path}: expected a study without aliases (*name); write each value out.")
    if not isinstance(values, dict):
        raise InputError(f"expected {path} to hold keys and values such as 'data:' and 'methods:'.")
    return values


def as_yaml(asked: Study) -> str:
    """Text of ``asked`` that :func:`read_study` reads back."""
    return yaml.safe_dump(asked.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _message(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return _unknown_key(error["loc"])
    came = "" if isinstance(error["input"], dict | Study) else f", got {repr(error['input'])[:_SHOWN]}"
    text = error["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{place}: {text}{came}" if place and error["type"] != "value_error" else f"{place} {text}".strip()


def _unknown_key(place: tuple[str | int, ...]) -> str:
    model: Any = Study
    for part in place[:-1]:
        model = model.model_fields[part].annotation
    try:
        check.one_of("key", str(place[-1]), model.model_fields)
    except InputError as error:
        where = f" in {'.'.join(map(str, place[:-1]))}" if place[:-1] else ""
        return str(error).rstrip(".") + where
    raise AssertionError(place)
