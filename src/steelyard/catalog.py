"""Every word that a user may say, and the object it stands for. The only place where words become objects.

A method is a loss, or a weighting or a constraint over a loss: ``focal(gamma=2)``,
``low(lam=0.1, loss=focal)``, ``alm(delta=1.5, loss=msfe)``; or the plain method with a refit of the last
layer after training: ``smote``. Whoever adds a row here has a new method in every command, and the contract
tests run over it.

A constructor's parameter that is named like a fact (see :class:`Facts`) is filled with it, and one that is
named ``loss`` takes the word of a loss.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from steelyard import _checks as check
from steelyard import constraints, losses, refit, weighting
from steelyard._checks import InputError
from steelyard._features import last_linear
from steelyard.models import MODELS, from_path
from steelyard.objective import Objective
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from steelyard.models import Classifier

LOSSES: Mapping[str, Callable[..., losses.Loss]] = {
    "ce": losses.CrossEntropy,
    "balanced-ce": losses.BalancedCrossEntropy,
    "effective-number": losses.EffectiveNumber,
    "focal": losses.Focal,
    "logit-adjusted": losses.LogitAdjusted,
    "balanced-softmax": losses.BalancedSoftmax,
    "ldam": losses.LDAM,
    "squared-error": losses.SquaredError,
    "generalised-ce": losses.GeneralisedCrossEntropy,
    "sparsemax": losses.Sparsemax,
    "two-scale": losses.TwoScale,
    "two-scale-fixed": losses.TwoScaleFixed,
    "two-scale-separation": losses.TwoScaleSeparation,
    "single-scale": losses.SingleScale,
    "bce": losses.CriticalCrossEntropy,
    "symmetric-margin": losses.SymmetricMargin,
    "asymmetric-margin": losses.AsymmetricMargin,
    "symmetric-focal": losses.SymmetricFocal,
    "asymmetric-focal": losses.AsymmetricFocal,
    "weighted-bce": losses.WeightedBCE,
    "balanced-bce": losses.BalancedBCE,
    "msfe": losses.SquaredFalseError,
    "mbauc": losses.MiniBatchAUC,
    "cost-sensitive": losses.CostSensitive,
    "center-loss": losses.CenterLoss,
    "range-loss": losses.RangeLoss,
}

WEIGHTINGS: Mapping[str, Callable[..., nn.Module]] = {
    "low": weighting.LOWWeighting,
    "self-paced": weighting.SelfPacedWeighting,
    "exponentiated": weighting.ExponentiatedWeighting,
    "importance-sampling": weighting.ImportanceSampling,
    "mentornet": weighting.MentorNetWeighting,
}

CONSTRAINTS: Mapping[str, Callable[..., nn.Module]] = {
    "alm": constraints.AUCConstraint,
}

REFITS: Mapping[str, Callable[..., refit.Refit]] = {
    "refit": refit.LogisticRefit,
    "smote": refit.SMOTE,
    "adasyn": refit.ADASYN,
    "near-miss": refit.NearMiss,
    "cluster-centroids": refit.ClusterCentroids,
    "neighbourhood-cleaning": refit.NeighbourhoodCleaning,
    "instance-hardness": refit.InstanceHardness,
    "weighted-svm": refit.WeightedSVM,
}

METHODS: Mapping[str, Callable[..., Any]] = {**LOSSES, **WEIGHTINGS, **CONSTRAINTS, **REFITS}

_GIVEN = (
    "reduction",
    "input_shape",
    "num_classes",
    "model",
    "critical",
)  # set by whoever builds, not by a word's parameters

__all__ = [
    "BASELINE",
    "CONSTRAINTS",
    "LOSSES",
    "METHODS",
    "MODELS",
    "REFITS",
    "WEIGHTINGS",
    "Facts",
    "after_training",
    "base_loss",
    "build",
    "claim",
    "method",
    "model",
    "parameters",
]

BASELINE = "ce"  # the plain method that every comparison holds


@dataclass(frozen=True, slots=True)
class Facts:
    """What a method may need to know of the training data and of the model that is trained."""

    class_counts: Sequence[int]  # (C,) training samples of each class
    num_samples: int  # rows of the whole data set; every index is below it
    model: nn.Module | None = None  # whose logits the method sees; needed by those that look at its weights
    critical: Sequence[int] = ()  # numbers of the classes that must not be missed

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_counts)

    def critical_or_rarer(self, what: str) -> Sequence[int]:
        """The critical classes; where none are named, the rarer of two classes, of equals the second.

        Raises:
            InputError: if none of more than two classes is named; ``what`` needs them.
        """
        if self.critical:
            return self.critical
        if self.num_classes != 2:
            raise InputError(
                f"{what} sets critical classes against the rest, and of {self.num_classes} classes none is "
                "named; name one with --critical."
            )
        first, second = self.class_counts
        return [0] if first < second else [1]


def method(word: Word | str, facts: Facts) -> Objective:
    """The objective that ``word`` stands for, on data of which ``facts`` are known.

    >>> method("low(lam=0.1, loss=focal)", Facts(class_counts=[90, 10], num_samples=100)).weighting
    LOWWeighting(lam=0.1)

    Raises:
        InputError: if the word, its loss or a parameter is unknown, or a value cannot be used.
    """
    word = Word.of(word)
    if after_training(word, facts.model) is not None:
        return Objective(build("loss", LOSSES, Word(BASELINE), facts))
    if word.name not in WEIGHTINGS and word.name not in CONSTRAINTS:
        return Objective(build("method", METHODS, word, facts))
    params = dict(word.params)
    base = Word.of(params.pop("loss", base_loss(word.name)))
    part = build("method", METHODS, Word(word.name, params), facts, also=("loss",))
    loss = build("loss", LOSSES, base, facts)
    return Objective(loss, part) if word.name in WEIGHTINGS else Objective(loss, constraint=part)


def after_training(word: Word, model: nn.Module | None) -> refit.Refit | None:
    """What learns the last layer of ``model`` anew after plain training; None for methods that do not.

    Raises:
        InputError: if a parameter cannot be used, a library is missing, or the model has no such layer.
    """
    if word.name not in REFITS:
        return None
    if model is not None and last_linear(model).bias is None:
        raise InputError(
            f"{word.name} learns the last linear layer anew with a bias, but the model's has none."
        )
    found: refit.Refit = build("method", REFITS, word, Facts((), 0))
    return found


def base_loss(name: str) -> str:
    """The loss that a weighting or a constraint goes with where none is asked for."""
    return "bce" if name in CONSTRAINTS else BASELINE


def model(word: Word | str, input_shape: tuple[int, ...], num_classes: int) -> Classifier:
    """A model sized to the data; ``auto`` is ``small-cnn`` for images and ``mlp`` for tables.

    A name with a colon is the import path of a user's own: ``my_package.nets:make``.
    """
    word = Word.of(word)
    if word.name == "auto":
        word = Word("small-cnn" if len(input_shape) == 3 else "mlp", word.params)
    if ":" in word.name:
        return from_path(word.name)(input_shape, num_classes, **word.params)
    make = MODELS[check.one_of("model", word.name, ["auto", *MODELS])]
    _check_params("model", word, make)
    try:
        return make(input_shape, num_classes, **word.params)
    except TypeError as error:
        raise InputError(f"model {word}: {error}.") from None


def build(
    what: str, table: Mapping[str, Callable[..., Any]], word: Word, facts: Facts, also: tuple[str, ...] = ()
) -> Any:
    """Call the row of ``table`` that ``word`` names with its parameters and the facts that it asks for."""
    make = table[check.one_of(what, word.name, table)]
    known = {field.name: getattr(facts, field.name) for field in fields(facts)}
    known["num_classes"] = facts.num_classes
    wanted = inspect.signature(make).parameters
    if "critical" in wanted:
        known["critical"] = facts.critical_or_rarer(f"{what} {word.name}")
    filled = {name: value for name, value in known.items() if name in wanted and name not in word.params}
    _check_params(what, word, make, also)
    params = dict(word.params)
    if "loss" in wanted and "loss" in params:
        params["loss"] = build("loss", LOSSES, Word.of(params["loss"]), facts)
    try:
        return make(**filled, **params)
    except TypeError as error:
        raise InputError(f"{what} {word}: {error}.") from None


def parameters(make: Callable[..., Any]) -> str:
    """What a user may set of a row, with defaults: ``lam=0.1, scaling=sample``."""
    signature = inspect.signature(make).parameters
    return ", ".join(
        f"{name}={BASELINE if name == 'loss' else p.default}"
        for name, p in signature.items()
        if p.default is not p.empty and name not in _GIVEN
    )


def claim(make: Callable[..., Any]) -> str:
    """The first line of a row's docstring, as plain text."""
    line = (inspect.getdoc(make) or "").partition("\n")[0]
    return re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`|``([^`]*)``", r"\1\2", line)


def _check_params(what: str, word: Word, make: Callable[..., Any], also: tuple[str, ...] = ()) -> None:
    allowed = [name for name in inspect.signature(make).parameters if name not in _GIVEN]
    for name in word.params:
        check.one_of(f"parameter of {what} {word.name!r}", name, [*allowed, *also])
