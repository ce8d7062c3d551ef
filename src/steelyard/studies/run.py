"""One run: from configuration to saved predictions."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from steelyard import _checks as check
from steelyard import catalog
from steelyard._files import write_text, written_whole
from steelyard.data import Batches, augmentation, fit_encoding, imbalance, read, split
from steelyard.records import Predictions
from steelyard.refit import RefitError
from steelyard.studies.evaluate import measures
from steelyard.studies.store import write_rows
from steelyard.training import NotFiniteError, WeightRecorder, fit, learn_last_layer, predict
from steelyard.training.checkpoint import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from steelyard.data import Dataset, Encoding, Split
    from steelyard.models import Classifier
    from steelyard.objective import Objective
    from steelyard.studies.config import Data, Run, Study
    from steelyard.studies.store import StoredRun

Row = dict[str, float]


def load(data: Data) -> Dataset:
    """Read the samples that ``data`` asks for."""
    dataset = read(
        data.source,
        target=data.target,
        group=data.group,
        metadata=data.metadata,
        image_size=data.image_size,
        skip_unreadable=data.skip_unreadable,
    )
    return dataset.select_classes(data.classes) if data.classes else dataset


def split_of(study: Study, dataset: Dataset, run: Run) -> Split:
    """The training, validation and test rows of ``run``: the same for every method."""
    return split(
        dataset,
        seed=run.seed,
        fold=run.fold,
        folds=study.folds,
        val_fraction=study.data.val_fraction,
        test_fraction=study.data.test_fraction,
        imbalance=_imbalance_of(study.data, dataset, run),
    )


def check_recipe(study: Study, dataset: Dataset) -> None:
    """Require that the monitor is a measure of this study and that the augmentation fits the data."""
    logits = np.eye(len(dataset.classes))
    number = np.arange(len(dataset.classes))
    critical = critical_classes(study, dataset)
    known = measures(Predictions(logits, number, number), dataset.classes, critical, study.at_tpr)
    if "val" in study.parts:
        check.one_of("monitor", study.training.monitor, [f"val_{name}" for name in known])
    elif study.training.keep == "best" or study.training.patience is not None:
        raise check.InputError("keep best and patience need validation samples; give a val_fraction above 0.")
    if study.training.augment:
        augmentation(study.training.augment)
        if not dataset.is_image:
            raise check.InputError("augment changes images, the data is a table; leave it out.")


def critical_classes(study: Study, dataset: Dataset) -> list[int]:
    """Numbers of the classes that must not be missed."""
    names = [check.one_of("class", name, dataset.classes) for name in study.critical]
    if len(names) == len(dataset.classes):
        raise check.InputError("every class is critical; leave at least one out of --critical.")
    return [dataset.classes.index(name) for name in names]


def prepare(study: Study, dataset: Dataset, run: Run, rows: Split) -> tuple[Encoding, Classifier, Objective]:
    """Encoding, untrained model and objective of ``run``; weights start the same for every method."""
    encoding = fit_encoding(dataset, rows.train)
    with _random_stream(run, "weights"):
        model = catalog.model(study.model, encoding.shape, len(dataset.classes))
        counts, critical = dataset.counts(rows.train).tolist(), critical_classes(study, dataset)
        facts = catalog.Facts(counts, len(dataset.target), model, critical)
        objective = catalog.method(run.method, facts)
    return encoding, model, objective


def train_run(
    study: Study,
    run: Run,
    dataset: Dataset,
    folder: Path,
    device: torch.device,
    on_epoch: Callable[[Row], None] = lambda _: None,
    plain: StoredRun | None = None,
) -> None:
    """Train ``run`` and leave everything that is kept of it in ``folder``; go on where it was interrupted.

    ``plain`` is the finished plain run that a refit starts from, where there is one: training again would
    give the same.
    """
    rows = split_of(study, dataset, run)
    encoding, model, objective = prepare(study, dataset, run, rows)
    model, objective = model.to(device), objective.to(device)
    batches = _batches(study, dataset, run, rows, encoding, device)
    recorder = None
    if objective.weighting is not None:
        recorder = WeightRecorder(dataset.target, len(dataset.classes)).to(device)
    unfinished = folder / "unfinished.pt"
    write_text(folder / "config.json", json.dumps(run.model_dump(mode="json")))
    try:
        with _random_stream(run, "training"):
            progress = (
                _taken_over(plain, model)
                if plain
                else fit(
                    model,
                    objective,
                    batches["train"],
                    study.training,
                    validate=_validation(study, dataset, batches, objective),
                    recorder=recorder,
                    saved=unfinished,
                    on_epoch=on_epoch,
                )
            )
        seconds = _refit(study, run, model, batches["train"])
        predictions = {
            part: predict(model, batches[part], study.training, objective.outputs) for part in study.parts
        }
    except (NotFiniteError, RefitError) as error:
        write_text(folder / "failure.txt", str(error))
    else:
        for part, found in predictions.items():
            found.save(folder / f"{part}.npz")
        if recorder is not None:
            recorder.save(folder / "weights.npz")
        write_rows(folder / "history.csv", list(progress.history[-1]), progress.history)
        counts = {part: dataset.counts(getattr(rows, part)).tolist() for part in ("train", "val", "test")}
        write_text(
            folder / "facts.json", json.dumps(_facts(progress, model, device, seconds) | {"counts": counts})
        )
        _save_model(folder, study, run, dataset, encoding, model, objective)
    unfinished.unlink(missing_ok=True)


def _taken_over(plain: StoredRun, model: Classifier) -> Progress:
    """Give ``model`` the weights of a finished run, and say how that one went."""
    kept = torch.load(plain.folder / "model.pt", weights_only=True, map_location="cpu")
    model.load_state_dict(kept["model"])
    history = plain.history()
    return Progress(len(history), history, plain.facts()["best_epoch"])


def _refit(study: Study, run: Run, model: Classifier, train: Batches) -> float:
    """Learn the last layer anew where the method asks for it; the seconds that it took."""
    learner = catalog.after_training(run.method, model)
    if learner is None:
        return 0.0
    start = time.perf_counter()
    seed = int(np.random.default_rng(_entropy(run, "refit")).integers(2**31))
    learn_last_layer(model, learner, train, study.training, seed)
    return time.perf_counter() - start


def _validation(
    study: Study, dataset: Dataset, batches: dict[str, Batches], objective: Objective
) -> Callable[[torch.nn.Module], Row] | None:
    """Figures of a model on the validation samples, by column of the history; None without such samples."""
    if "val" not in batches:
        return None
    critical = critical_classes(study, dataset)

    def validate(model: torch.nn.Module) -> Row:
        predictions = predict(model, batches["val"], study.training, objective.outputs)
        found = measures(predictions, dataset.classes, critical, study.at_tpr)
        return {f"val_{name}": value for name, value in found.items()}

    return validate


def _facts(
    progress: Progress, model: torch.nn.Module, device: torch.device, refit_seconds: float
) -> dict[str, Any]:
    """What the training of a run took, a refit included."""
    seconds = [row["seconds"] for row in progress.history]
    return {
        "epochs": len(seconds),
        "best_epoch": progress.best_epoch,
        "seconds": sum(seconds) + refit_seconds,
        "seconds_per_epoch": sum(seconds) / len(seconds),
        "peak_memory": _peak_memory(device),
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
    }


def _imbalance_of(data: Data, dataset: Dataset, run: Run) -> Callable[[Any], Any] | None:
    word = data.imbalance
    if word is None:
        return None
    target, names = dataset.target.numpy(), dataset.classes

    def thin(rows: Any) -> Any:
        generator = np.random.default_rng(_entropy(run, "imbalance"))
        return imbalance(word.name, target, rows, names, generator, **word.params)

    return thin


def _batches(
    study: Study, dataset: Dataset, run: Run, rows: Split, encoding: Encoding, device: torch.device
) -> dict[str, Batches]:
    inputs = encoding.inputs(dataset)
    inputs = inputs.to(device) if isinstance(inputs, torch.Tensor) else inputs  # once, for all parts
    order = int(np.random.default_rng(_entropy(run, "order")).integers(2**62))
    augment = study.training.augment

    def batches(part: str, **how: Any) -> Batches:
        given = getattr(rows, part)
        size = study.training.batch_size
        return Batches(inputs, dataset.target, given, encoding, batch_size=size, device=device, **how)

    train = batches("train", shuffle=True, seed=order, augment=augmentation(augment) if augment else None)
    return {"train": train} | {part: batches(part) for part in study.parts}


def _entropy(run: Run, purpose: str) -> list[int]:
    """Seed of one independent stream of random numbers; the method is no part of it."""
    return [run.seed, run.fold, *purpose.encode()]


@contextmanager
def _random_stream(run: Run, purpose: str) -> Iterator[None]:
    """Give torch's global generator, which layers draw from, its own stream; restore it afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.default_rng(_entropy(run, purpose)).integers(2**62)))
        yield


def _save_model(
    folder: Path,
    study: Study,
    run: Run,
    dataset: Dataset,
    encoding: Encoding,
    model: Classifier,
    objective: Objective,
) -> None:
    """Keep the trained model with all that predicting on new data needs: tensors and text alone."""
    with written_whole(folder / "model.pt") as temporary:
        torch.save(
            {
                "model": model.state_dict(),
                "objective": objective.state_dict(),
                "encoding": encoding.to_json(),
                "model_word": str(study.model),
                "method": str(run.method),
                "num_samples": len(dataset.target),
                "classes": list(dataset.classes),
            },
            temporary,
        )


def _peak_memory(device: torch.device) -> int:
    """Most bytes held so far: by tensors on CUDA, by the whole process elsewhere; 0 where none can say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - Windows has no such module

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024


def pick_device(name: str) -> torch.device:
    """The device that ``name`` stands for; ``auto`` takes CUDA, then MPS, then the CPU."""
    kind = check.one_of("device", name.partition(":")[0], ["auto", "cpu", "cuda", "mps"])
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in there if there[kind]))
    if not there[kind]:
        raise check.InputError(f"device {name} is not there; use --device auto or cpu.")
    return torch.device(name)
