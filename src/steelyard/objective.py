"""Objective: where a loss, a weighting and a constraint meet and become the one scalar to minimise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from steelyard import _checks as check
from steelyard import _ranks
from steelyard.functional.gradients import logit_grad_sq_norm, loss_and_logit_grad, per_sample, sq_norm
from steelyard.functional.per_sample import at_least_float32
from steelyard.hooks import ObjectivePart, check_part, of_samples, outputs_of
from steelyard.losses import CrossEntropy, LiteralSampleMargin, PerImage, SampleUncertaintyMargin
from steelyard.losses import TwoScale as TwoScaleLoss
from steelyard.losses import UncertaintyMargin as UncertaintyMarginLoss
from steelyard.losses.dense import as_rows, index_of_rows
from steelyard.losses.loss import require_per_sample
from steelyard.records import LoggedValue, Signal, Terms
from steelyard.weighting import LOWWeighting, Weighting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Objective(nn.Module):
    """A loss, weighted per sample, plus a constraint: ``mean(weight * loss) + penalty``.

    The mean is the only reduction. In training under ``torch.distributed`` it is over the joint batch of all
    ranks, whatever their sizes, if gradients are averaged over ranks as ``DistributedDataParallel`` does;
    after ``objective.eval()`` nothing is exchanged. All that the parts learn or remember is in
    ``state_dict()``.

    The hooks of its parts are those of :class:`steelyard.hooks.ObjectivePart`. Notifications reach every part
    inside, however deep.

    Args:
        loss: any callable ``(logits, target) -> (N,)``: one of :mod:`steelyard.losses`, one of ``torch.nn``
            with ``reduction="none"``, a function of your own. Its trained parameters get gradients.
        weighting: one of :mod:`steelyard.weighting`, or None for plain training. The gradient never flows
            through the weights.
        constraint: a module ``(logits, target, index) -> (penalty, violation)``, two scalars, of which the
            penalty is added, or None.

    Raises:
        InputError: if ``loss`` reduces, or is not separable while ``weighting`` needs gradients, or a part
            has hooks that could not be called (:func:`steelyard.hooks.check_part`).

    >>> objective = Objective(CrossEntropy(), LOWWeighting(lam=1.0))
    >>> logits, target = torch.tensor([[4.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    >>> objective(logits, target)
    tensor(0.3978)
    >>> objective.terms(logits, target).weight
    tensor([0.8752, 1.1248])
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        weighting: Weighting | None = None,
        constraint: nn.Module | None = None,
    ) -> None:
        super().__init__()
        require_per_sample(loss)
        for part in (loss, weighting, constraint):
            check_part(part)
        self.loss = loss
        self.weighting = weighting
        self.constraint = constraint
        if self.needs_gradient or self.presample > 1:
            self._require_own_gradients()

    @property
    def needs_gradient(self) -> bool:
        """Whether the weighting looks at each sample's own gradient."""
        return self.weighting is not None and self.weighting.needs_gradient

    @property
    def presample(self) -> int:
        """Candidates for each sample of a batch; above 1 they are chosen among by :meth:`choose`."""
        return 1 if self.weighting is None else self.weighting.presample

    def forward(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> Tensor:
        """The scalar to minimise; see :meth:`terms`."""
        return self.terms(logits, target, index).total

    def terms(
        self, logits: Tensor, target: Tensor, index: Tensor | None = None, importance: Tensor | None = None
    ) -> Terms:
        """The scalar to minimise and the parts that it is made of.

        Args:
            logits: (N, C), or what the loss expects.
            target: (N,), or what the loss expects.
            index: (N,) rows of the samples in the training set, for parts that remember samples.
            importance: (N,) from :meth:`choose`, where that chose the samples; multiplies their weights.
        """
        loss_of = of_samples(self.loss, index)
        if self.needs_gradient:
            self._require_own_gradients()  # the loss may have been exchanged
            loss, grad = loss_and_logit_grad(loss_of, logits, target)
            grad_sq_norm = sq_norm(grad)
        else:
            loss, grad_sq_norm = per_sample(loss_of, logits, target), None
        values = at_least_float32(loss)  # the sum over a batch can leave the range of half precision
        if self.weighting is None:
            weight, summed = torch.ones_like(loss), values.sum()
        else:
            signal = Signal(loss.detach(), grad_sq_norm, logits.detach(), target, index)
            weight = self.weighting(signal).detach()
            weight = weight if importance is None else weight * importance
            summed = weight.to(values.dtype).dot(values)
        total = summed / (_ranks.divisor(loss) if self.training else len(loss))
        violation = None
        if self.constraint is not None:
            penalty, violation = self.constraint(logits, target, index)
            total = total + penalty
            violation = violation.detach()
        return Terms(total, loss.detach(), weight, violation)

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Tell the parts that ``epoch``, counted from 0, of so many begins."""
        for part in self._parts():
            part.start_epoch(epoch, epochs)

    def observe(self, model: nn.Module, train: Iterable[Any]) -> None:
        """Let the parts look at the model on the training samples, at the start of an epoch.

        Args:
            model: as it is.
            train: every training sample once, not augmented, in any order: :class:`steelyard.records.Batch`
                or tuples (x, target, index). Parts that need no look do not iterate over it.
        """
        for part in self._parts():
            part.observe(model, train)

    def choose(
        self, logits: Tensor, target: Tensor, generator: torch.Generator, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Choose the samples of a batch among ``presample`` times as many, where ``presample`` is above 1.

        Args:
            logits: (presample * N, C) of the candidates.
            target: (presample * N,)
            generator: of the choice, on the device of the logits.
            index: (presample * N,), as in :meth:`terms`.

        Returns:
            (N,) rows of the candidates, and the (N,) ``importance`` that :meth:`terms` takes with them.
        """
        if self.weighting is None or self.presample == 1:
            raise check.InputError(
                "this objective chooses no samples (presample is 1); train on all of them."
            )
        self._require_own_gradients()
        return self.weighting.choose(
            logit_grad_sq_norm(of_samples(self.loss, index), logits, target), generator
        )

    def after_step(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> None:
        """Tell the parts that the step was taken; ``logits`` are those that it used."""
        for part in self._parts():
            part.after_step(logits, target, index)

    def after_validation(self, score: float) -> None:
        """Tell the parts the validation score of this epoch; larger is better."""
        for part in self._parts():
            part.after_validation(score)

    def sampling(self) -> Tensor | None:
        """(rows of the data set,) chances of drawing each sample in the epoch to come, if a part has them.

        None draws every training sample once. They need not sum to 1 over the training samples.

        Raises:
            InputError: if two parts have some.
        """
        chances = [(part, found) for part in self._parts() if (found := part.sampling()) is not None]
        if len(chances) > 1:
            names = " and ".join(type(part).__name__ for part, _ in chances)
            raise check.InputError(f"expected one part that says how samples are drawn, got {names}.")
        return chances[0][1] if chances else None

    def outputs(self, logits: Tensor) -> Tensor:
        """The logits to predict with: the model's own, unless the loss reads them on another scale."""
        for part in (self.loss, self.weighting, self.constraint):
            logits = outputs_of(part, logits)
        return logits

    def values_to_log(self) -> dict[str, LoggedValue]:
        """What the parts log for the history, by column, since the last call; waits for the device.

        Raises:
            InputError: if two parts log under one name.
        """
        logged: dict[str, LoggedValue] = {}
        for part in self._parts():
            for name, value in part.values_to_log().items():
                if name in logged:
                    raise check.InputError(
                        f"{type(part).__name__} logs {name!r}, as another part of the objective does; "
                        "rename one of the two."
                    )
                logged[name] = value
        return logged

    @property
    def lr_factor(self) -> float:
        """By which the learning rate of the objective's own parameters is multiplied.

        Raises:
            InputError: if two parts ask for different ones.
        """
        factors = {float(part.lr_factor) for part in self._parts()} - {1.0}
        if len(factors) > 1:
            raise check.InputError(
                f"expected one lr_factor for what the objective learns, its parts have {sorted(factors)}."
            )
        return factors.pop() if factors else 1.0

    def _parts(self) -> Iterator[ObjectivePart]:
        """Every part inside, each once."""
        return (part for part in self.modules() if isinstance(part, ObjectivePart))

    def _require_own_gradients(self) -> None:
        if not getattr(self.loss, "separable", True):
            raise check.InputError(
                f"{type(self.weighting).__name__} needs each sample's own gradient, but the values of "
                f"{type(self.loss).__name__} depend on several samples; use a per-sample loss, or no "
                "weighting."
            )


class LOW(Objective):
    """LOW, ready made: ``Objective(loss, LOWWeighting(lam, scaling))``, also for dense prediction.

    Args:
        loss: as in :class:`Objective`; cross-entropy if None.
        lam: > 0, larger is nearer to plain training; see :class:`steelyard.weighting.LOWWeighting`.
        scaling: as there.
        samples: for logits (N, C, H, W) and targets (N, H, W), whether ``"images"`` or ``"pixels"`` are
            weighted; ``loss`` then is one of (N, C) and (N,), taken pixel by pixel. An image's loss is the
            mean over its pixels, so that its squared gradient norm, in whose units ``lam`` is, is that much
            smaller: of cross-entropy at most 2 / (H W). The (N H W,) weights of pixels come image by image,
            row by row. None: no dense prediction.

    >>> logits, target = torch.tensor([[4.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    >>> LOW(lam=0.1)(logits, target)
    tensor(0.6931)
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        lam: float = 0.1,
        scaling: Literal["sample", "batch-mean"] = "sample",
        samples: Literal["images", "pixels"] | None = None,
    ) -> None:
        loss = CrossEntropy() if loss is None else loss
        super().__init__(PerImage(loss) if samples == "images" else loss, LOWWeighting(lam, scaling))
        self.samples = samples and check.one_of("samples", samples, ("images", "pixels"))

    def terms(
        self, logits: Tensor, target: Tensor, index: Tensor | None = None, importance: Tensor | None = None
    ) -> Terms:
        """As :meth:`Objective.terms`; with pixels as samples, of every pixel."""
        if self.samples == "pixels":
            index = index_of_rows(index, target)
            logits, target = as_rows(logits, target)
        return super().terms(logits, target, index, importance)


class TwoScale(Objective):
    """The two-scale loss, ready made: ``Objective(losses.TwoScale(model, eta, loss))``.

    Give ``objective.parameters()``, the two scales, to the optimiser too; predict with
    ``objective.outputs(model(x))``.

    Args:
        model: whose weights are normalised; as it is before training.
        eta: > 0, as in :class:`steelyard.losses.TwoScale`.
        loss: as there; cross-entropy if None.

    Raises:
        InputError: as there.

    >>> model = nn.Linear(2, 2)
    >>> objective = TwoScale(model, eta=0.01)
    >>> optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.1)
    >>> logits, target = torch.tensor([[0.1, 0.0], [0.0, 0.1]]), torch.tensor([0, 0])
    >>> objective(logits, target).detach()
    tensor(0.5288)
    """

    def __init__(
        self,
        model: nn.Module,
        eta: float = 0.01,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(TwoScaleLoss(model, eta, loss))


class UncertaintyMargin(Objective):
    """Margins by uncertainty, ready made: of classes, then of samples too, as ``umm-sum``.

    Call ``start_epoch(epoch, epochs)`` and ``observe(model, train)`` at the start of each epoch, and the
    objective with the samples' ``index``.

    Args:
        model: with dropout, and a head as in :class:`steelyard.losses.UncertaintyMargin`.
        num_samples: rows of the training set; every index is below it.
        samples: what the last epochs do: ``"scaled"`` (``umm-sum``), ``"literal"`` (``sum-literal``), or
            None: margins of classes to the end (``umm``).
        settings: of the loss: ``form``, ``max_margin``, ``passes``, ``measure``, ``plain``, ``last``,
            ``loss``, ``anneal``, ``scale``. With a loss of several labels per sample, as
            :class:`steelyard.losses.BinaryCrossEntropy`, both sides of each label have a margin.

    Raises:
        InputError: as there.

    >>> from steelyard.models import Classifier
    >>> model = Classifier(nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5)), nn.Linear(8, 2))
    >>> objective = UncertaintyMargin(model, num_samples=3)
    >>> x, target, index = torch.zeros(3, 2), torch.tensor([0, 1, 1]), torch.arange(3)
    >>> objective.start_epoch(epoch=9, epochs=10)
    >>> objective.observe(model, [(x, target, index)])
    >>> objective(model(x), target, index).shape
    torch.Size([])
    """

    def __init__(
        self,
        model: nn.Module,
        num_samples: int,
        samples: Literal["scaled", "literal"] | None = "scaled",
        **settings: Any,
    ) -> None:
        if samples is None:
            super().__init__(UncertaintyMarginLoss(model, **settings))
            return
        kinds = {"scaled": SampleUncertaintyMargin, "literal": LiteralSampleMargin}
        super().__init__(kinds[check.one_of("samples", samples, kinds)](model, num_samples, **settings))
