"""The proof that no hook is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from steelyard.hooks import ObjectivePart
from steelyard.records import LoggedValue
from steelyard.testing.inputs import batch_for, copied, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from steelyard.objective import Objective


def check_hooks(objective: Objective, num_classes: int = 3) -> None:
    """Check that an objective loses no hook of a part inside it, however deep.

    The hooks are those of :class:`steelyard.hooks.ObjectivePart`. Notifications must reach each part once.
    What a part says must change what the objective says: the logits to predict with, the losses of
    remembered samples, chances of drawing, values to log, the learning-rate factor, whether each sample has
    a gradient of its own.

    >>> from steelyard import LOW, losses
    >>> check_hooks(LOW(losses.PerImage(losses.TwoScaleSeparation(lr_factor=7))))
    """
    logits, target, index = batch_for(objective, num_classes)
    _check_notified(objective, "start_epoch", 0, 2)
    _check_notified(objective, "observe", torch.nn.Identity(), [])
    _check_notified(objective, "after_step", logits, target, index)
    _check_notified(objective, "after_validation", 0.5)
    for name, part in _parts(objective):
        if type(part).outputs is not ObjectivePart.outputs:
            changed = copied(objective)
            _replace(changed, name, "outputs", lambda hook: lambda z: hook(z) + 1)
            same = torch.equal(changed.outputs(logits), copied(objective).outputs(logits))
            require(not same, f"the outputs of {name} are lost: another loss predicts without asking it")
        if type(part).of_samples is not ObjectivePart.of_samples:
            changed = copied(objective)
            _replace(changed, name, "of_samples", _one_more)
            losses = [one.terms(logits, target, index).loss for one in (changed, copied(objective))]
            require(not torch.equal(*losses), f"of_samples of {name} is lost: its samples are not asked for")
        changed, chances = copied(objective), torch.ones(len(index))
        for other, _ in _parts(changed):
            answer = chances if other == name else None
            _replace(changed, other, "sampling", lambda _, answer=answer: lambda: answer)
        require(changed.sampling() is chances, f"the chances of drawing of {name} are lost")
    _check_logged(objective)
    factors = {part.lr_factor for _, part in _parts(objective)} - {1.0}
    require(objective.lr_factor in (factors or {1.0}), f"the lr_factor of a part is lost: {factors}")
    if getattr(objective.loss, "separable", True):
        pairwise = [name for name, part in _parts(objective) if not part.separable]
        require(not pairwise, f"{pairwise} say separable = False, the loss of the objective does not")


def _check_notified(objective: Objective, hook: str, *what: Any) -> None:
    """Each part must be told once, and of the same."""
    twin = copied(objective)
    told: dict[str, list[Any]] = {name: [] for name, _ in _parts(twin)}
    for name, part in _parts(twin):
        setattr(part, hook, lambda *args, calls=told[name]: calls.append(args))
    getattr(twin, hook)(*what)
    for name, calls in told.items():
        same = len(calls) == 1 and all(one is other for one, other in zip(calls[0], what, strict=True))
        require(same, f"{hook} reaches {name} {len(calls)} times, expected once with what was given")


def _check_logged(objective: Objective) -> None:
    """Every value of every part must be logged, with a title or an empty one."""
    own = {name for _, part in _parts(copied(objective)) for name in part.values_to_log()}
    logged = copied(objective).values_to_log()
    require(own == logged.keys(), f"the parts log {sorted(own)}, the objective {sorted(logged)}")
    wrong = [name for name, one in logged.items() if not isinstance(one, LoggedValue)]
    require(not wrong, f"values_to_log of {wrong} are no steelyard.records.LoggedValue")


def _one_more(hook: Callable[..., Any]) -> Callable[..., Any]:
    """An ``of_samples`` whose losses are larger by 1."""
    return lambda index: lambda logits, target: 1 + hook(index)(logits, target)


def _parts(objective: Objective) -> Iterator[tuple[str, ObjectivePart]]:
    return ((name, part) for name, part in objective.named_modules() if isinstance(part, ObjectivePart))


def _replace(objective: Objective, name: str, hook: str, changed: Callable[..., Any]) -> None:
    part = objective.get_submodule(name)
    setattr(part, hook, changed(getattr(part, hook)))
