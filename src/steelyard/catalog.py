"""Every word that a user may say, and the object it stands for. The only place where words become objects.

A method is a loss, or a weighting or a constraint over a loss: ``focal(gamma=2)``,
``low(lam=0.1, loss=focal)``, ``alm(delta=1.5, loss=msfe)``; or the plain method with a refit of the last
layer after training: ``smote``. A method may be a sequence of such objectives, on which the model is trained
one after the other (:func:`phases`). Whoever adds a row here has a new method in every command, and the
contract tests run over it.

A constructor's parameter that is named like a fact (see :class:`Facts`) is filled with it, and one that is
named ``loss`` takes the word of a loss.

Which words fit depends on the data: see :class:`Task`. Where a sample may have several labels, a word of
:data:`LABEL_LOSSES` stands for the loss of that name taken label by label.
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
from steelyard.recipe import OF_METHODS
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from steelyard.models import Classifier


def trained_on(loss: losses.Loss) -> losses.Loss:
    """The control of methods in phases: a loss alone, then the same again for as many epochs."""
    return loss


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
    "large-margin": losses.LargeMargin,
    "additive": losses.AdditiveMargin,
    "arcface": losses.ArcFace,
    "sphereface": losses.SphereFace,
    "umm": losses.UncertaintyMargin,
    "umm-sum": losses.SampleUncertaintyMargin,
    "sum-literal": losses.LiteralSampleMargin,
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
    "alm-fpr": constraints.FalseAlarmConstraint,
}

CONTROLS: Mapping[str, Callable[..., losses.Loss]] = {
    "trained-on": trained_on,
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

METHODS: Mapping[str, Callable[..., Any]] = {**LOSSES, **WEIGHTINGS, **CONSTRAINTS, **CONTROLS, **REFITS}

LABEL_LOSSES: Mapping[str, Callable[..., losses.Loss]] = {
    "bce": losses.BinaryCrossEntropy,
    "weighted-bce": losses.WeightedBinaryCrossEntropy,
    "balanced-bce": losses.BalancedBinaryCrossEntropy,
    "focal": losses.BinaryFocal,
    "asymmetric-margin": losses.BinaryMargin,
    **{word: LOSSES[word] for word in ("large-margin", "additive", "arcface", "sphereface")},
    **{word: LOSSES[word] for word in ("umm", "umm-sum", "sum-literal")},
}

_GIVEN = ("reduction", "input_shape", "num_classes", "model", "critical")  # set by whoever builds

BASELINE = "ce"  # the plain method that every comparison holds


@dataclass(frozen=True, slots=True)
class Task:
    """What can be trained on data of one kind."""

    data: str  # the kind, in words
    losses: Mapping[str, Callable[..., losses.Loss]]
    others: Mapping[str, Callable[..., Any]]  # weightings, constraints, controls, refits: over these losses
    baseline: str  # the plain method that every comparison holds
    methods: Sequence[str]  # compared where none are asked for

    def check(self, word: Word) -> None:
        """Refuse a method that does not fit, and name those that do.

        Raises:
            InputError: if ``word`` names no method, or one for data of another kind.
        """
        fitting = (*self.losses, *self.others)
        if check.one_of("method", word.name, METHODS) not in fitting:
            raise InputError(
                f"the method {word.name} does not fit data with {self.data}; these do: {', '.join(fitting)}."
            )


ONE_CLASS = Task(
    "one class per sample",
    LOSSES,
    {**WEIGHTINGS, **CONSTRAINTS, **CONTROLS, **REFITS},
    BASELINE,
    ("ce", "balanced-ce", "focal", "low"),
)
LABELS = Task(
    "several labels per sample",
    LABEL_LOSSES,
    {word: WEIGHTINGS[word] for word in ("low", "self-paced", "exponentiated", "importance-sampling")},
    "bce",
    ("bce", "weighted-bce", "focal", "low"),
)


def task_of(*, multilabel: bool) -> Task:
    """What can be trained where a sample may have several labels, or has one class."""
    return LABELS if multilabel else ONE_CLASS


@dataclass(frozen=True, slots=True)
class Facts:
    """What a method may need to know of the training data and of the model that is trained."""

    class_counts: Sequence[int]  # (C,) training samples of each class, or (L,) that have each label
    num_samples: int  # rows of the whole data set; every index is below it
    model: nn.Module | None = None  # whose logits the method sees; needed by those that look at its weights
    critical: Sequence[int] = ()  # numbers of the classes that must not be missed
    absent_counts: Sequence[int] = ()  # (L,) training samples without each label; empty: one class per sample

    @property
    def task(self) -> Task:
        """What can be trained on the data."""
        return task_of(multilabel=bool(self.absent_counts))

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


def phases(word: Word | str) -> tuple[Word, ...]:
    """The methods of one objective each that ``word`` stands for, in the order of training.

    A constraint starts from a model that is trained with its loss alone, unless ``pretrain=false``.

    >>> [str(one) for one in phases("alm(delta=2)")]
    ['bce', 'alm(delta=2, pretrain=false)']
    >>> [str(one) for one in phases("trained-on(loss=msfe)")]
    ['msfe', 'msfe']
    >>> [str(one) for one in phases("focal(lr=0.01)")]
    ['focal(lr=0.01)']
    """
    word = Word.of(word)
    base = Word.of(word.params.get("loss", base_loss(word.name)))
    base = Word(base.name, {**base.params, **_settings(word)})
    if word.name in CONTROLS:
        return base, base
    pretrain = word.params.get("pretrain", word.name in CONSTRAINTS)
    if not isinstance(pretrain, bool):
        raise InputError(f"{word.name}: expected pretrain=true or pretrain=false, got {pretrain!r}.")
    if word.name in CONSTRAINTS and pretrain:
        return base, Word(word.name, {**word.params, "pretrain": False})
    return (word,)


def base_of(word: Word | str) -> Word | None:
    """The first phase of a method in several, as a method of its own; None for most methods."""
    first, *later = phases(word)
    return first if later else None


def control_of(word: Word | str) -> Word | None:
    """The first phase of a method in several for the epochs of all of them; None for most methods.

    >>> str(control_of("alm(delta=2, loss=msfe, lr=0.01)"))
    'trained-on(loss=msfe, lr=0.01)'
    """
    first = base_of(word)
    if first is None:
        return None
    control = Word("trained-on", {"loss": without_settings(first), **_settings(first)})
    return Word.parse(str(control))  # equal to the same word from a file or a user


def objectives(word: Word | str, facts: Facts) -> tuple[Objective, ...]:
    """The objective of each phase of ``word``; they share their loss, so that what it learns goes on.

    Raises:
        InputError: as :func:`method`.
    """
    last = method(word, facts)
    earlier = [method(one, facts) for one in phases(word)[:-1]]
    for one in earlier:
        one.loss = last.loss
    return (*earlier, last)


def method(word: Word | str, facts: Facts) -> Objective:
    """The objective that ``word`` stands for, on data of which ``facts`` are known; the last of several.

    >>> method("low(lam=0.1, loss=focal)", Facts(class_counts=[90, 10], num_samples=100)).weighting
    LOWWeighting(lam=0.1)

    Raises:
        InputError: if the word, its loss or a parameter is unknown, or a value cannot be used.
    """
    word, task = without_settings(Word.of(word)), facts.task
    task.check(word)
    if word.name in task.losses:
        return Objective(build("method", task.losses, word, facts, also=OF_METHODS))
    if after_training(word, facts.model) is not None:
        return Objective(build("loss", task.losses, Word(task.baseline), facts))
    if word.name in CONTROLS:
        params = {"loss": base_loss(word.name), **word.params}
        return Objective(build("method", CONTROLS, Word(word.name, params), facts, also=OF_METHODS))
    params = dict(word.params)
    base = Word.of(params.pop("loss", base_loss(word.name, task)))
    if word.name in CONSTRAINTS:
        params.pop("pretrain", None)  # of the phases
    part = build("method", task.others, Word(word.name, params), facts, also=("loss", *OF_METHODS))
    loss = build("loss", task.losses, base, facts)
    return Objective(loss, part) if word.name in WEIGHTINGS else Objective(loss, constraint=part)


def after_training(word: Word, model: nn.Module | None) -> refit.Refit | None:
    """What learns the last layer of ``model`` anew after plain training; None for methods that do not.

    Raises:
        InputError: if a parameter cannot be used, or the model has no such layer.
    """
    if word.name not in REFITS:
        return None
    if model is not None and last_linear(model).bias is None:
        raise InputError(
            f"{word.name} learns the last linear layer anew with a bias, but the model's has none."
        )
    found: refit.Refit = build("method", REFITS, without_settings(word), Facts((), 0), OF_METHODS)
    return found


def plain_of(word: Word) -> Word | None:
    """The plain method, with the same settings, whose training a refit starts from; None for other methods.

    >>> str(plain_of(Word.parse("smote(neighbours=3, lr=0.01)")))
    'ce(lr=0.01)'
    """
    return Word(BASELINE, _settings(word)) if word.name in REFITS else None


def without_settings(word: Word) -> Word:
    """``word`` without the settings of the training that a method may have of its own.

    >>> str(without_settings(Word.parse("focal(gamma=1, lr=0.01)")))
    'focal(gamma=1)'
    """
    return Word(word.name, {name: value for name, value in word.params.items() if name not in OF_METHODS})


def _settings(word: Word) -> dict[str, Any]:
    return {name: value for name, value in word.params.items() if name in OF_METHODS}


def base_loss(name: str, task: Task = ONE_CLASS) -> str:
    """The loss that a weighting, a constraint or a control goes with where none is asked for."""
    return "bce" if name in CONSTRAINTS or name in CONTROLS else task.baseline


def model(word: Word | str, input_shape: tuple[int, ...], num_classes: int) -> Classifier:
    """A model sized to the data; ``auto`` is ``small-cnn`` for images and ``mlp`` for tables.

    For volumes it is ``cnn3d-two-path``.
    A name with a colon is the import path of a user's own: ``my_package.nets:make``.
    """
    word = Word.of(word)
    if word.name == "auto":
        word = Word({3: "small-cnn", 4: "cnn3d-two-path"}.get(len(input_shape), "mlp"), word.params)
    if ":" in word.name:
        return from_path(word.name)(input_shape, num_classes, **word.params)
    make = MODELS[check.one_of("model", word.name, ["auto", *MODELS])]
    _check_params("model", word, make)
    made: Classifier = _called("model", word, make, input_shape, num_classes, **word.params)
    return made


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
    if "loss" in wanted:
        base = Word.of(params.get("loss", facts.task.baseline))
        params["loss"] = build("loss", facts.task.losses, base, facts)
    return _called(what, word, make, **filled, **params)


def parameters(make: Callable[..., Any], baseline: str = BASELINE) -> str:
    """What a user may set of a row, with defaults: ``lam=0.1, scaling=sample``."""
    return ", ".join(
        f"{name}={baseline if name == 'loss' else p.default}"
        for name, p in inspect.signature(make).parameters.items()
        if p.default is not p.empty and name not in _GIVEN
    )


def claim(make: Callable[..., Any]) -> str:
    """The first line of a row's docstring, as plain text."""
    line = (inspect.getdoc(make) or "").partition("\n")[0]
    return re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`|``([^`]*)``", r"\1\2", line)


def _check_params(what: str, word: Word, make: Callable[..., Any], also: tuple[str, ...] = ()) -> None:
    known = inspect.signature(make).parameters.values()
    allowed = [
        p.name for p in known if p.name not in _GIVEN and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    for name in word.params:
        check.one_of(f"parameter of {what} {word.name!r}", name, [*allowed, *also])


def _called(what: str, word: Word, make: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """``make`` of these arguments; only those that it does not take are the user's mistake."""
    try:
        inspect.signature(make).bind(*args, **params)
    except TypeError as error:
        raise InputError(f"{what} {word}: {error}.") from None
    return make(*args, **params)
