"""Fit and predict, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from steelyard import _checks as check
from steelyard.records import Batch, Predictions
from steelyard.training.checkpoint import Progress, Row, load_checkpoint, save_checkpoint
from steelyard.training.optimizer import make_optimizer, set_learning_rate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from steelyard.data import Batches
    from steelyard.objective import Objective
    from steelyard.recipe import Recipe
    from steelyard.training.dynamics import SampleRecorder


MEND = "a smaller learning rate (lr) or a limit on the gradient (clip) may mend it."


class NotFiniteError(ArithmeticError):
    """The loss or the output became infinite or not a number; training cannot go on."""


def fit(  # noqa: PLR0913 - what is optional is given by name
    model: nn.Module,
    objective: Objective,
    train: Batches,
    recipe: Recipe,
    *,
    validate: Callable[[nn.Module], Row] | None = None,
    recorder: SampleRecorder | None = None,
    saved: Path | None = None,
    on_epoch: Callable[[Row], None] = lambda _: None,
    before: int = 0,
) -> Progress:
    """Train ``model`` in place on ``objective`` and leave both as they were in the epoch to keep.

    Args:
        model: On its device already.
        objective: On the same device.
        train: Shuffled batches; ``train.set_epoch`` fixes their order from seed and epoch alone.
        recipe: Optimiser, schedule and stopping.
        validate: Figures of the model on held-out samples, by column of the history; the largest value of
            ``recipe.monitor`` among them marks the best epoch.
        recorder: Keeps losses, margins and weights of the samples as they were.
        saved: File that takes the state after each epoch, and from which an interrupted training goes on.
        on_epoch: Called with each row of the history.
        before: Epochs that the model was trained in phases before this one; the order of batches goes on.

    Raises:
        NotFiniteError: at the end of the epoch in which the loss stopped being finite.
        InputError: if ``validate`` gives a monitor of NaN, by which no epoch is better than another.
    """
    parts: dict[str, Any] = {"model": model, "objective": objective}
    parts["optimizer"] = make_optimizer(recipe, model, objective)
    if recorder is not None:
        parts["recorder"] = recorder
    progress = Progress()
    if saved is not None and saved.exists():
        progress = load_checkpoint(saved, parts)
    train.set_presample(objective.presample)
    epochs = epochs_of(recipe, train)
    while progress.epoch < epochs and not _out_of_patience(progress, recipe):
        train.set_epoch(before + progress.epoch)
        objective.start_epoch(progress.epoch, epochs)
        start = time.perf_counter()
        objective.observe(model, train.plain())
        observed = time.perf_counter() - start
        probability = objective.sampling()
        train.set_probabilities(None if probability is None else probability[train.rows])
        row = train_epoch(model, objective, parts["optimizer"], train, recipe, progress.epoch, recorder)
        row |= _logged(objective, row, progress) | {"seconds": observed + row["seconds"]}
        progress.epoch += 1
        if validate is not None:
            row |= validate(model)
            value = check.known(f"the monitor {recipe.monitor}", row[recipe.monitor])
            objective.after_validation(value)
            if value >= progress.best_value:  # of equals the later: small validation parts have many equals
                progress.best_epoch, progress.best_value = progress.epoch, value
                if recipe.keep == "best":
                    progress.best_state = {"model": _copy(model), "objective": _copy(objective)}
        progress.history.append({"epoch": before + progress.epoch} | row)
        if saved is not None:
            save_checkpoint(saved, parts, progress)
        on_epoch(progress.history[-1])
    if progress.best_state is not None:
        model.load_state_dict(progress.best_state["model"])
        objective.load_state_dict(progress.best_state["objective"])
    return progress


def train_epoch(
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    train: Batches,
    recipe: Recipe,
    epoch: int,
    recorder: SampleRecorder | None = None,
) -> Row:
    """One pass over ``train``, or what is left of ``recipe.steps``; returns the epoch's figures.

    The device is waited for once, at the end.
    """
    start = time.perf_counter()
    model.train()
    device = next(model.parameters()).device
    loss_sum, total_sum, hits = torch.zeros(3, device=device).unbind()
    samples = 0
    steps, generator = _total_steps(recipe, train), train.generator()
    for step, candidates in enumerate(islice(train, steps - epoch * len(train))):
        rate = set_learning_rate(optimizer, recipe, epoch + step / len(train), steps / len(train))
        batch, importance = _chosen(model, objective, candidates, generator, recipe)
        with autocast(device, recipe):
            logits = model(batch.x)
        terms = objective.terms(logits.float(), batch.target, batch.index, importance)
        optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        objective.after_step(logits.detach(), batch.target, batch.index)
        if recorder is not None:
            recorder.record(batch, objective.outputs(logits.detach().float()), terms)
        loss_sum += terms.loss.sum()
        total_sum += terms.total.detach() * len(batch.target)
        hits += _right(logits, batch.target).sum()
        samples += len(batch.target)
    loss, total, accuracy = (torch.stack([loss_sum, total_sum, hits]) / samples).tolist()
    if not (math.isfinite(loss) and math.isfinite(total)):
        raise NotFiniteError(
            f"the loss was not finite in epoch {epoch + 1} (loss {loss}, objective {total}); {MEND}"
        )
    if recorder is not None:
        recorder.end_epoch()
    return {
        "seconds": time.perf_counter() - start,
        "lr": rate,
        "train_loss": loss,
        "train_objective": total,
        "train_accuracy": accuracy,
    }


@torch.no_grad()
def _chosen(
    model: nn.Module, objective: Objective, candidates: Batch, generator: torch.Generator, recipe: Recipe
) -> tuple[Batch, Tensor | None]:
    """The samples to train on and what makes up for their choice; most objectives take all candidates."""
    if objective.presample == 1:
        return candidates, None
    model.eval()  # scores without dropout, and running statistics of what is trained on alone
    with autocast(candidates.x.device, recipe):
        logits = model(candidates.x)
    model.train()
    rows, importance = objective.choose(logits.float(), candidates.target, generator, candidates.index)
    return Batch(candidates.x[rows], candidates.target[rows], candidates.index[rows]), importance


@torch.inference_mode()
def predict(
    model: nn.Module,
    batches: Batches,
    recipe: Recipe,
    outputs: Callable[[Tensor], Tensor] = lambda logits: logits,
) -> Predictions:
    """Logits (float32) of every sample of ``batches``, in their order, in evaluation mode.

    ``outputs``, which is that of the objective of the training, puts them on the scale to predict on.

    Raises:
        NotFiniteError: if the model's output is not finite.
    """
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    logits, target, index = [], [], []
    for batch in batches:
        with autocast(device, recipe):
            raw = model(batch.x)
        logits.append(outputs(raw.float()))
        target.append(batch.target)
        index.append(batch.index)
    model.train(training)
    if not torch.cat(logits).isfinite().all():
        raise NotFiniteError(f"the model's output is not finite; {MEND}")
    return Predictions(*(torch.cat(part).cpu().numpy() for part in (logits, target, index)))


def autocast(device: torch.device, recipe: Recipe) -> torch.autocast:
    """The context in which the model computes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")


def _right(logits: Tensor, target: Tensor) -> Tensor:
    """(N,) whether the decision is right; of several labels (N, L), the share of them."""
    if target.ndim == 1:
        return logits.argmax(1) == target
    return ((logits > 0) == (target > 0)).float().mean(1)


def _total_steps(recipe: Recipe, train: Batches) -> int:
    every = recipe.epochs * len(train)
    return every if recipe.steps is None else min(every, recipe.steps)


def epochs_of(recipe: Recipe, train: Batches) -> int:
    """Epochs of a whole training, the last of which ``recipe.steps`` may cut."""
    return math.ceil(_total_steps(recipe, train) / len(train))


def _logged(objective: Objective, row: Row, progress: Progress) -> Row:
    """The values that the parts log, beside the ``row`` of the epoch; ``progress`` keeps their titles."""
    logged = objective.values_to_log()
    for name, one in logged.items():
        if name in {*row, "epoch", "phase"} or name.startswith("val_"):
            raise check.InputError(
                f"a part logs {name!r}, a column of the training's own; rename what it logs."
            )
        progress.logged[name] = {"title": one.title, "unit": one.unit}
    return {name: one.value for name, one in logged.items()}


def _copy(part: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in part.state_dict().items()}


def _out_of_patience(progress: Progress, recipe: Recipe) -> bool:
    return recipe.patience is not None and progress.epoch - progress.best_epoch >= recipe.patience
