"""Training in phases: a method may be a sequence of objectives, each of which goes on with the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.training.checkpoint import Progress
from steelyard.training.loop import NotFiniteError, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn

    from steelyard.data import Batches
    from steelyard.objective import Objective
    from steelyard.recipe import Recipe
    from steelyard.training.checkpoint import Row
    from steelyard.training.dynamics import SampleRecorder


def fit_phases(
    model: nn.Module,
    objectives: Sequence[Objective],
    train: Batches,
    recipe: Recipe,
    *,
    validate: Callable[[nn.Module, Objective], Row] | None = None,
    recorder: SampleRecorder | None = None,
    saved: Path | None = None,
    on_epoch: Callable[[Row], None] = lambda _: None,
) -> Progress:
    """Train ``model`` in place on each of ``objectives`` in turn.

    Every phase is a :func:`steelyard.training.fit` by the same recipe, with an optimiser, a schedule, a
    patience and a best epoch of its own, and begins with the model that the phase before it kept. So a first
    phase is the training with its objective alone, to the last bit. The checkpoint of a finished phase stays
    beside the next one's: a training that goes on passes through it without an epoch.

    Args:
        model: As in ``fit``, like the arguments not named here.
        objectives: One for each phase.
        validate: As in ``fit``, and told the objective of the phase.
        saved: File for the checkpoint of the first phase; those of later ones have their number in the name.

    Returns:
        The progress of the last phase, with the history of all and ``best_epoch`` counted from the first.
        Where there are several phases, the column ``phase`` of the history counts them from 1.

    Raises:
        NotFiniteError, InputError: as ``fit``.
    """
    history: list[Row] = []
    logged: dict[str, dict[str, str]] = {}
    progress = Progress()
    several = len(objectives) > 1
    for phase, objective in enumerate(objectives, start=1):
        mark: Row = {"phase": phase} if several else {}
        before = len(history)

        def validated(model: nn.Module, objective: Objective = objective) -> Row:
            return {} if validate is None else validate(model, objective)

        def told(row: Row, mark: Row = mark) -> None:
            on_epoch(row | mark)

        try:
            progress = fit(
                model,
                objective,
                train,
                recipe,
                validate=validated if validate else None,
                recorder=recorder,
                saved=saved if saved is None else checkpoint_of(saved, phase),
                on_epoch=told,
                before=before,
            )
        except NotFiniteError as error:
            raise NotFiniteError(f"in phase {phase}, {error}" if several else str(error)) from None
        history += [row | mark for row in progress.history]
        logged |= progress.logged
        if progress.best_epoch:
            progress.best_epoch += before
    progress.history, progress.logged = history, logged
    return progress


def checkpoint_of(saved: Path, phase: int) -> Path:
    """Where the checkpoint of ``phase``, counted from 1, is kept."""
    return saved if phase == 1 else saved.with_stem(f"{saved.stem}-{phase}")
