"""Margins on the angle between a sample's features and the weights of its class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from steelyard import _checks as check
from steelyard.functional import additive_margin_psi, arcface_psi, large_margin_psi
from steelyard.functional.gradients import per_sample
from steelyard.functional.per_sample import at_least_float32
from steelyard.losses.scales import Normalised
from steelyard.losses.sides import Classes, Labels
from steelyard.losses.wrapper import LossWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from steelyard.losses.loss import Reduction
    from steelyard.losses.sides import Sides

SCALE = 30.0  # by which cosines are multiplied, in the sources of both cosine margins
MULTIPLE = 0.2  # strength of margins that multiply the angle; whole ones did not train, see docs/results


@dataclass(frozen=True, slots=True)
class Form:
    """How a margin changes the target's cosine."""

    psi: Callable[[Tensor, float | Tensor], Tensor]
    head: str  # the kind of head that gives the cosines
    none: float  # the margin that changes nothing
    most: float  # the largest that has a meaning
    largest: float  # the margin of the most uncertain class
    strength: float


FORMS: Mapping[str, Form] = {
    "large-margin": Form(large_margin_psi, "linear", 1, math.inf, 3, MULTIPLE),
    "additive": Form(additive_margin_psi, "cosine", 0, math.inf, 0.35, 1),
    "arcface": Form(arcface_psi, "cosine", 0, math.pi, 0.4, 1),
    "sphereface": Form(large_margin_psi, "sphere", 1, math.inf, 3, MULTIPLE),
}


class Head(Protocol):
    """What is asked of a head: see :class:`steelyard.models.MarginHead`."""

    bias: Tensor | None
    out_features: int

    def lengths(self, target: Tensor) -> Tensor:
        """Values of the targets' logits at an angle of 0, less the bias; in the shape of ``target``."""


class AngularMargin(LossWrapper):
    """A per-sample loss of logits whose target is held to a smaller cosine; a subclass says by which margin.

    The target's logit ``z_y = length cos + bias`` becomes ``z_y + strength length (psi(cos) - cos)``; all
    logits of cosines are then multiplied by ``scale``. The loss refers to the model's head and does not own
    it; copy both together. Prediction uses the plain logits.

    Where a sample may have several labels, every label is a question with two sides, with it and without:
    what speaks for the sample's own side, ``z - bias`` or ``bias - z``, is held to the margin of that side.

    Args:
        model: which makes the logits. The head of a model of :mod:`steelyard.models` is exchanged for a
            :class:`steelyard.models.MarginHead` with the same weights; any other holds one already.
        form: a key of ``FORMS``.
        loss: any callable ``(logits, target) -> (N,)`` for the changed logits; cross-entropy if None. One
            with ``multilabel`` true, as :class:`BinaryCrossEntropy`, makes it a margin of labels.
        strength: in [0, 1], of the margin; what is left to 1 is the share of the plain logit that stays.
        anneal: in [0, 1], share of the epochs over which the strength grows evenly from 0; large margins at
            once may not train. Epochs are told by ``start_epoch``; until then it is whole.
        scale: > 0, of the logits of cosines.
        reduction: as in :class:`Loss`.

    Raises:
        InputError: if the model has no such head, or the loss cannot read the changed logits.
    """

    strength: Tensor

    def __init__(
        self,
        model: nn.Module | None,
        form: str,
        loss: Callable[[Tensor, Tensor], Tensor] | None,
        strength: float,
        anneal: float,
        scale: float = 1.0,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(loss, reduction)
        self.form = FORMS[check.one_of("form of margin", form, FORMS)]
        _check_base(self.base, self.form, form)
        self.full_strength = check.between("strength", strength, 0, 1)
        self.anneal = check.between("anneal", anneal, 0, 1)
        self.scale = check.positive("scale", scale)
        self.heads = (_head_of(model, self.form.head),)  # a tuple, so that nn.Module does not own it
        outputs = self.heads[0].out_features
        self.sides: Sides = Labels(outputs) if self.multilabel else Classes(outputs)
        self.register_buffer("strength", torch.tensor(float(strength)))

    def check_input(self, logits: Tensor, target: Tensor) -> None:
        """Refuse shapes and types that cannot be meant; looks at no value."""
        self.sides.check_input(logits, target)

    def margins(self, target: Tensor) -> float | Tensor:
        """The margin of each sample, a number or in the shape of ``target``."""
        raise NotImplementedError(f"{type(self).__name__} must define margins(target).")

    def losses_of(self, logits: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
        """The (N,) losses."""
        changed = self.with_margin(logits, target, self.margins(target))
        return per_sample(self.base_of(index), changed, target)

    def with_margin(
        self,
        logits: Tensor,
        target: Tensor,
        margin: float | Tensor,
        factor: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """The logits (N, C) that the loss reads.

        Args:
            logits: (N, C) of the model's last batch.
            target: (N,), or (N, C) of labels.
            margin: a number, or one of each sample, of labels of each and its labels: as ``target``.
            factor: of psi, as a function of psi, in the shape of ``target``; None: 1.
        """
        z, place = at_least_float32(logits), target.long()
        (head,) = self.heads
        length = at_least_float32(head.lengths(place))
        own = self.sides.own(z, place, head.bias)
        cos = own / length.clamp_min(1e-12)  # features that are all 0 have no angle, and no margin
        psi = self.form.psi(cos, margin)
        psi = psi if factor is None else factor(psi) * psi
        change = self.strength * length * (psi - cos)
        return self.scale * self.sides.changed(z, place, change)

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Set the margin's strength; ``epoch`` counts from 0."""
        grown = min(1.0, (epoch + 1) / max(1, round(self.anneal * epochs)))
        self.strength.fill_(grown * self.full_strength)

    def rescaled(self, logits: Tensor) -> Tensor:
        """The logits on the scale that the loss reads, without margin."""
        return self.scale * logits


class FixedMargin(AngularMargin):
    """An angular margin that is given: one number, or one for each class.

    Of L labels 2L: for samples without each label, then with each.
    """

    margin: Tensor

    def __init__(
        self,
        model: nn.Module | None,
        form: str,
        margin: float | Sequence[float],
        loss: Callable[[Tensor, Tensor], Tensor] | None,
        strength: float,
        anneal: float,
        scale: float = 1.0,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, form, loss, strength, anneal, scale, reduction)
        given: Any = margin  # a tensor is welcome
        given = given.tolist() if isinstance(given, Tensor) else given
        several = isinstance(given, list | tuple)
        each = given if several else [given]
        sides = self.sides.count
        if several and len(each) != sides:
            what = "sides, without each label and then with each" if self.multilabel else "classes"
            raise check.InputError(
                f"margin must be a number or one for each of {sides} {what}, got {margin!r}."
            )
        for one in each:
            check.between("margin", one, self.form.none, self.form.most)
        self.number = None if several else float(given)
        self.register_buffer("margin", torch.tensor(given, dtype=torch.float32))

    def margins(self, target: Tensor) -> float | Tensor:
        """The number, or the margins of the targets' classes or sides."""
        return self.margin[self.sides.number(target)] if self.number is None else self.number

    def extra_repr(self) -> str:
        """The margin."""
        return f"margin={self.margin.tolist() if self.number is None else self.number}"


class LargeMargin(FixedMargin):
    """Large-margin softmax: the target's angle counts ``margin`` times.

    See :func:`steelyard.functional.large_margin_psi`; margin >= 1, any real number.

    >>> from steelyard.models import MarginHead
    >>> model = MarginHead.of(nn.Linear(2, 2))
    >>> loss = LargeMargin(model, margin=2)
    >>> loss(model(torch.ones(1, 2)), torch.tensor([0])).shape
    torch.Size([1])
    """

    def __init__(
        self,
        model: nn.Module | None,
        margin: float | Sequence[float] = 4,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        strength: float = MULTIPLE,
        anneal: float = 0.5,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, "large-margin", margin, loss, strength, anneal, reduction=reduction)


class SphereFace(FixedMargin):
    """SphereFace: large-margin softmax of class weights of length 1, without bias.

    References:
        Liu, Wen, Yu, Li, Raj, Song, "SphereFace: deep hypersphere embedding for face recognition", CVPR 2017.

    >>> from steelyard.models import Classifier
    >>> SphereFace(Classifier(nn.Flatten(), nn.Linear(2, 2)))
    SphereFace(
      margin=4.0
      (base): CrossEntropy()
    )
    """

    def __init__(
        self,
        model: nn.Module | None,
        margin: float | Sequence[float] = 4,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        strength: float = MULTIPLE,
        anneal: float = 0.5,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, "sphereface", margin, loss, strength, anneal, reduction=reduction)


class AdditiveMargin(FixedMargin):
    """Additive margin: the target's cosine is lowered by ``margin``, all are multiplied by ``scale``.

    See :func:`steelyard.functional.additive_margin_psi`; margin >= 0.

    >>> from steelyard.models import MarginHead
    >>> loss = AdditiveMargin(MarginHead(2, 2, "cosine"))
    >>> loss(torch.tensor([[0.35, 0.0]]), torch.tensor([0]))
    tensor([0.6931])
    """

    def __init__(
        self,
        model: nn.Module | None,
        margin: float | Sequence[float] = 0.35,
        scale: float = SCALE,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        strength: float = 1.0,
        anneal: float = 0.5,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, "additive", margin, loss, strength, anneal, scale, reduction)


class ArcFace(FixedMargin):
    """ArcFace: ``margin`` is added to the target's angle, all cosines are multiplied by ``scale``.

    See :func:`steelyard.functional.arcface_psi`; margin in [0, pi].

    >>> from steelyard.models import MarginHead
    >>> loss = ArcFace(MarginHead(2, 2, "cosine"), margin=math.pi / 2)
    >>> loss(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    tensor([0.6931])
    """

    def __init__(
        self,
        model: nn.Module | None,
        margin: float | Sequence[float] = 0.4,
        scale: float = SCALE,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        strength: float = 1.0,
        anneal: float = 0.5,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, "arcface", margin, loss, strength, anneal, scale, reduction)


def _head_of(model: nn.Module | None, kind: str) -> Head:
    """The head of ``model``, made to be of this kind where the model can exchange it."""
    if model is None:
        raise check.InputError(
            "a margin on the angle reads the features that the model's head sees; give a model."
        )
    exchange = getattr(model, "margin_head", None)
    if exchange is not None:
        return cast("Head", exchange(kind))
    heads = [layer for layer in model.modules() if hasattr(layer, "lengths")]
    if [layer.kind for layer in heads] != [kind]:
        found = ", ".join(f"one of kind {layer.kind!r}" for layer in heads) or "none"
        raise check.InputError(
            f"expected a model with one head of kind {kind!r}, {type(model).__name__} has {found}; exchange "
            f'its last linear layer, as in net.fc = steelyard.models.MarginHead.of(net.fc, "{kind}").'
        )
    return cast("Head", heads[0])


def _check_base(base: Callable[[Tensor, Tensor], Tensor], form: Form, name: str) -> None:
    if isinstance(base, AngularMargin):
        raise check.InputError("a margin over a margin has two; give it a loss that has none.")
    if isinstance(base, Normalised) and form.head != "linear":
        raise check.InputError(
            f"{type(base).__name__} divides by the size of all weights, which the logits of {name} do not "
            "have: those of its head are divided out already; use the form large-margin, or another loss."
        )
