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
from steelyard.data import Batches, augmentation, fit_encoding, imbalance, read, split, unscaled
from steelyard.records import Predictions
from steelyard.refit import RefitError
from steelyard.studies.evaluate import measures
from steelyard.studies.phases import base_and_control
from steelyard.studies.store import write_rows
from steelyard.training import (
    NotFiniteError,
    SampleRecorder,
    fit_phases,
    learn_last_layer,
    predict,
    rehearse,
)
from steelyard.training.checkpoint import Progress
from steelyard.words import rejoined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from steelyard.data import Dataset, Encoding, Split
    from steelyard.data.dataset import Rows
    from steelyard.models import Classifier
    from steelyard.objective import Objective
    from steelyard.studies.config import Data, Run, Study
    from steelyard.studies.store import StoredRun

Row = dict[str, float]

FIRST_PHASE = "first-phase.pt"  # checkpoint of a finished run that others begin with, until all are there


def load(data: Data) -> Dataset:
    """Read the samples that ``data`` asks for."""
    dataset = read(
        data.source,
        target=data.target,
        group=data.group,
        metadata=data.metadata,
        image_size=data.image_size,
        skip_unreadable=data.skip_unreadable,
        encoding=data.encoding,
        keep=data.keep,
    )
    return dataset.select_classes(rejoined(data.classes, dataset.classes)) if data.classes else dataset


def split_of(study: Study, dataset: Dataset, run: Run) -> Split:
    """The training, validation and test rows of ``run``: the same for every method."""
    member = run.member is not None
    return split(
        dataset,
        seed=int(np.random.default_rng(_entropy(run, "split")).integers(2**62)) if member else run.seed,
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
    target = np.eye(len(dataset.classes), dtype=np.int64) if dataset.multilabel else number
    critical = critical_classes(study, dataset)
    known = measures(Predictions(logits, target, number), dataset.classes, critical, study.at_tpr)
    if "val" in study.parts:
        check.one_of("monitor", study.training.monitor, [f"val_{name}" for name in known])
    elif study.training.keep == "best" or study.training.patience is not None:
        raise check.InputError("keep best and patience need validation samples; give a val_fraction above 0.")
    if study.training.augment:
        augmentation(study.training.augment)
        if not dataset.is_image or dataset.is_volume:
            kind = "volumes" if dataset.is_image else "a table"
            raise check.InputError(f"augment changes images, the data is {kind}; leave it out.")


def critical_classes(study: Study, dataset: Dataset) -> list[int]:
    """Numbers of the classes that must not be missed."""
    if study.critical and dataset.multilabel:
        raise check.InputError(
            "critical classes are for data with one class per sample; leave --critical out. "
            "The page shows every label by itself."
        )
    named = rejoined(study.critical, dataset.classes)
    names = [check.one_of("class", name, dataset.classes) for name in named]
    if len(names) == len(dataset.classes):
        raise check.InputError("every class is critical; leave at least one out of --critical.")
    return [dataset.classes.index(name) for name in names]


def counted(dataset: Dataset, train: Rows) -> dict[str, Any]:
    """What :class:`steelyard.catalog.Facts` holds of the training rows: their counts."""
    counts = dataset.counts(train)
    absent = (len(train) - counts).tolist() if dataset.multilabel else []
    return {"class_counts": counts.tolist(), "num_samples": len(dataset.target), "absent_counts": absent}


def prepare(
    study: Study, dataset: Dataset, run: Run, rows: Split
) -> tuple[Encoding, Classifier, tuple[Objective, ...]]:
    """Encoding, untrained model and objectives of ``run``, phase by phase.

    The weights start the same for every method.
    """
    encoding = fit_encoding(dataset, rows.train, study.data.colour)
    with _random_stream(run, "weights"):
        model = catalog.model(study.model, encoding.shape, len(dataset.classes))
        critical = critical_classes(study, dataset)
        facts = catalog.Facts(**counted(dataset, rows.train), model=model, critical=critical)
        objectives = catalog.objectives(run.method, facts)
    if model.standardises:
        encoding = unscaled(dataset, rows.train, study.data.colour)
    learner = catalog.after_training(run.method, model)
    if learner is not None:
        learner.check_installed()  # here, for a trained model is restored without
    return encoding, model, objectives


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
    give the same. How its samples fared is kept with that run alone.
    """
    study = study.of(run)
    rows = split_of(study, dataset, run)
    encoding, model, objectives = prepare(study, dataset, run, rows)
    model, objectives = model.to(device), tuple(one.to(device) for one in objectives)
    objective = objectives[-1]
    batches = _batches(study, dataset, run, rows, encoding, device)
    weighted = objective.weighting is not None
    recorder = SampleRecorder(dataset.target, len(dataset.classes), weighted=weighted).to(device)
    unfinished = folder / "unfinished.pt"
    write_text(folder / "config.json", json.dumps(run.model_dump(mode="json", exclude_none=True)))
    try:
        beside = _rehearsal(study, run, model, objective, batches["train"], folder)
        with _random_stream(run, "training"):
            progress = (
                _taken_over(plain, model)
                if plain
                else fit_phases(
                    model,
                    objectives,
                    batches["train"],
                    study.training,
                    validate=_validation(study, dataset, batches),
                    recorder=recorder,
                    saved=unfinished,
                    on_epoch=on_epoch,
                )
            )
        beside += _refit(study, run, model, batches["train"])
        predictions = {
            part: predict(model, batches[part], study.training, objective.outputs) for part in study.parts
        }
    except (NotFiniteError, RefitError) as error:
        write_text(folder / "failure.txt", str(error))
    else:
        facts = _facts(progress, beside, model, device) | counts_of_parts(dataset, rows)
        _save_figures(folder, predictions, progress.history, facts)
        _save_seen(folder, dataset, rows)
        if plain is None:
            recorder.save(folder)
        _save_model(folder, study, run, dataset, encoding, model, objective)
        if any(run.method in base_and_control(method)[:1] for method in study.methods):
            unfinished.rename(folder / FIRST_PHASE)
    for checkpoint in folder.glob(f"{unfinished.stem}*{unfinished.suffix}"):  # one for each phase
        checkpoint.unlink()


def _taken_over(plain: StoredRun, model: Classifier) -> Progress:
    """Give ``model`` the weights of a finished run, and say how that one went."""
    kept = torch.load(plain.folder / "model.pt", weights_only=True, map_location="cpu")
    model.load_state_dict(kept["model"])
    history, facts = plain.history(), plain.facts()
    return Progress(len(history), history, facts.get("logged", {}), facts["best_epoch"])


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
    study: Study, dataset: Dataset, batches: dict[str, Batches]
) -> Callable[[torch.nn.Module, Objective], Row] | None:
    """Figures of a model on the validation samples, by column of the history; None without such samples."""
    if "val" not in batches:
        return None
    critical = critical_classes(study, dataset)

    def validate(model: torch.nn.Module, objective: Objective) -> Row:
        predictions = predict(model, batches["val"], study.training, objective.outputs)
        found = measures(predictions, dataset.classes, critical, study.at_tpr)
        return {f"val_{name}": value for name, value in found.items()}

    return validate


def counts_of_parts(dataset: Dataset, rows: Split) -> dict[str, dict[str, Any]]:
    """Samples of each class in each part; with several labels per sample also the samples themselves."""
    parts = {part: getattr(rows, part) for part in ("train", "val", "test")}
    found: dict[str, dict[str, Any]] = {
        "counts": {part: dataset.counts(mine).tolist() for part, mine in parts.items()}
    }
    if dataset.multilabel:
        found["samples"] = {part: len(mine) for part, mine in parts.items()}
    return found


def _rehearsal(
    study: Study, run: Run, model: Classifier, objective: Objective, train: Batches, folder: Path
) -> float:
    """Teach a weighting that learns beforehand, once; the seconds that it took are kept in ``folder``."""
    weighting, file = objective.weighting, folder / "rehearsal.txt"
    if weighting is None or not weighting.rehearsal:
        return 0.0
    if not (folder / "unfinished.pt").exists():  # else the state that is gone on with has learned already
        start = time.perf_counter()
        with _random_stream(run, "rehearsal"):
            rehearse(model, objective, train, study.training)
        write_text(file, str(time.perf_counter() - start))
    return float(file.read_text(encoding="utf-8"))


def _facts(progress: Progress, beside: float, model: torch.nn.Module, device: torch.device) -> dict[str, Any]:
    """What the training of a run took, with the seconds ``beside`` its epochs: of a rehearsal, of a refit."""
    seconds = [row["seconds"] for row in progress.history]
    return {
        "epochs": len(seconds),
        "logged": progress.logged,
        "best_epoch": progress.best_epoch,
        "seconds": beside + sum(seconds),
        "seconds_per_epoch": sum(seconds) / len(seconds),
        "peak_memory": _peak_memory(device),
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
    }


def _imbalance_of(data: Data, dataset: Dataset, run: Run) -> Callable[[Any], Any] | None:
    word = data.imbalance
    if word is None:
        return None
    if dataset.multilabel:
        raise check.InputError("imbalance is for data with one class per sample; leave --imbalance out.")
    target, names = dataset.target.numpy(), dataset.classes

    def thin(rows: Any) -> Any:
        if run.member is not None:  # its own samples, while the rare classes are those of the ensemble
            rows = np.random.default_rng(_entropy(run, "samples")).permutation(rows)
        generator = np.random.default_rng(_entropy(run.model_copy(update={"member": None}), "imbalance"))
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
    member = [] if run.member is None else [run.member]
    return [run.seed, run.fold, *member, *purpose.encode()]


@contextmanager
def _random_stream(run: Run, purpose: str) -> Iterator[None]:
    """Give torch's global generator, which layers draw from, its own stream; restore it afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.default_rng(_entropy(run, purpose)).integers(2**62)))
        yield


def _save_figures(
    folder: Path, predictions: dict[str, Predictions], history: list[Row], facts: dict[str, Any]
) -> None:
    for part, found in predictions.items():
        found.save(folder / f"{part}.npz")
    columns = dict.fromkeys(column for row in history for column in row)
    write_rows(folder / "history.csv", list(columns), history)
    write_text(folder / "facts.json", json.dumps(facts))


def _save_seen(folder: Path, dataset: Dataset, rows: Split) -> None:
    """Keep which rows the model may have learnt by heart, so that it is not judged on them later."""
    seen = np.zeros(len(dataset), dtype=bool)
    seen[np.concatenate([rows.train, rows.val])] = True
    with written_whole(folder / "seen.npy") as temporary:
        np.save(temporary, seen)


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
