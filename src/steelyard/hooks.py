"""The parts of an objective and their hooks: what a loss, a weighting or a constraint may be told and asked.

:class:`ObjectivePart` declares every hook. Notifications reach every part inside an objective, however deep.
What changes values is asked of the loss itself; a loss over another one passes it on, see
:class:`steelyard.losses.LossWrapper`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from torch import nn

from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from steelyard.records import LoggedValue

    PerSampleLoss = Callable[[Tensor, Tensor], Tensor]  # (logits, target) to losses (N,)


class ObjectivePart(nn.Module):
    """A part of an objective: every hook with the answer of a part that has nothing to say.

    A subclass overrides the hooks that it needs. In a loop of your own call the methods of the same names of
    :class:`steelyard.Objective`; :func:`steelyard.training.fit` calls them all.

    >>> from steelyard import Objective, losses
    >>> class Counting(losses.CrossEntropy):
    ...     epochs = 0
    ...
    ...     def start_epoch(self, epoch, epochs):
    ...         self.epochs += 1
    >>> objective = Objective(losses.PerImage(Counting()))
    >>> objective.start_epoch(epoch=0, epochs=10)
    >>> objective.loss.base.epochs
    1
    """

    separable = True
    """Whether a loss reads row i of the logits alone for value i, so that each sample has a gradient of its
    own. A pairwise loss says False."""

    lr_factor = 1.0
    """By which the learning rate of the parameters that the part learns is multiplied."""

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """An epoch begins: number ``epoch``, counted from 0, of ``epochs``."""

    def observe(self, model: nn.Module, train: Iterable[Any]) -> None:
        """Look at the model on the training samples, after :meth:`start_epoch` and before the first step.

        Args:
            model: as it is.
            train: every training sample once, not augmented, as :class:`steelyard.records.Batch` or tuples
                (x, target, index).
        """

    def after_step(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> None:
        """The optimiser took a step; arguments as the objective got them for it, without gradient."""

    def after_validation(self, score: float) -> None:
        """The epoch's validation score; larger is better."""

    def values_to_log(self) -> dict[str, LoggedValue]:
        """Values for the history by column, of what was since the last call; may wait for the device."""
        return {}

    def sampling(self) -> Tensor | None:
        """(rows of the data set,) chances >= 0 of drawing each sample in the epoch that begins.

        They need not sum to 1. None draws every training sample once. One part of an objective may have some.
        """
        return None

    def outputs(self, logits: Tensor) -> Tensor:
        """The logits to predict with, in the shape of ``logits``; of a loss that reads them on another scale.

        They are (N, C), or (passes, N, C) of several passes of a model.
        """
        return logits

    def of_samples(self, index: Tensor | None) -> PerSampleLoss:  # noqa: ARG002 - a hook
        """The loss ``(logits, target) -> (N,)`` of the samples at these (N,) rows of the training set.

        Of a loss that remembers samples.
        """
        return self


HOOKS = tuple(name for name in vars(ObjectivePart) if not name.startswith("_"))


def check_part(part: object) -> None:
    """Refuse what has hooks that could not be called.

    Any callable may be a loss and any module a constraint, but hooks are those of an :class:`ObjectivePart`.

    Raises:
        InputError: if a part hides a hook behind an attribute, or what is no part defines one.
    """
    known, name = as_part(part), type(part).__name__
    for hook in HOOKS:
        if not callable(getattr(ObjectivePart, hook)):
            continue
        if known is not None and not callable(getattr(known, hook)):
            raise InputError(f"{name}.{hook} hides the hook of this name; rename the attribute.")
        if known is None and inspect.isroutine(getattr(part, hook, None)):
            raise InputError(
                f"{name} defines {hook}, but hooks are called on a steelyard.hooks.ObjectivePart alone; "
                f"derive {name} from it, from Loss or from Weighting."
            )


def as_part(part: object) -> ObjectivePart | None:
    """``part`` if it is one, or the one that ``torch.compile`` wrapped; None for anything else."""
    if isinstance(part, ObjectivePart):
        return part
    inner = getattr(part, "_orig_mod", None)
    return inner if isinstance(inner, ObjectivePart) else None


def outputs_of(part: object, logits: Tensor) -> Tensor:
    """:meth:`ObjectivePart.outputs`; the logits where ``part`` is no :class:`ObjectivePart`."""
    known = as_part(part)
    return logits if known is None else known.outputs(logits)


def of_samples(loss: PerSampleLoss, index: Tensor | None) -> PerSampleLoss:
    """:meth:`ObjectivePart.of_samples`; the loss itself where it is no :class:`ObjectivePart`."""
    known = as_part(loss)
    found = loss if known is None else known.of_samples(index)
    return loss if found is known else found
