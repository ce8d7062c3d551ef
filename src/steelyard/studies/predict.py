"""A trained model on other data: predictions as a table, or measures where labels are there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from steelyard import _checks as check
from steelyard import catalog
from steelyard.data import Batches, Encoding, read
from steelyard.functional.uncertainty import MEASURES
from steelyard.studies.config import Run
from steelyard.studies.evaluate import decided, measures, positives_and_score, threshold
from steelyard.studies.run import pick_device
from steelyard.studies.store import Store, StoredRun, write_rows
from steelyard.training import predict
from steelyard.uncertainty import stochastic_logits
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from steelyard.data import Dataset
    from steelyard.models import Classifier
    from steelyard.objective import Objective
    from steelyard.recipe import Recipe
    from steelyard.records import Predictions

_PASSES = 20  # of Monte-Carlo dropout


def write_predictions(
    model: Path,
    data: str,
    out: Path,
    *,
    critical: Sequence[str] = (),
    at_tpr: float | None = None,
    uncertainty: bool = False,
    device: str,
) -> int:
    """Write one row per sample of ``data``: its name, the predicted class, the probability of every class.

    With critical classes (the study's own if none are named) also the score and whether it reaches the
    threshold that gives the wanted sensitivity on the run's validation samples. With ``uncertainty`` also
    the measures of :mod:`steelyard.functional.uncertainty` by Monte-Carlo dropout. Returns the number of
    rows.
    """
    stored, store = open_run(model)
    ready = _ready(stored, data, labelled=False, device=device)
    predictions, dataset, classes = ready.predictions(), ready.dataset, ready.classes
    columns: dict[str, Sequence[Any]] = {
        "sample": dataset.sample,
        "predicted": _named(predictions, classes),
        **{f"p[{name}]": _rounded(predictions.probability[:, c]) for c, name in enumerate(classes)},
    }
    numbers = [
        classes.index(check.one_of("class", name, classes)) for name in critical or store.study.critical
    ]
    if numbers:
        cut = _threshold(stored, numbers, at_tpr or store.study.at_tpr)
        _, score = positives_and_score(predictions, numbers)
        columns |= {"critical_score": _rounded(score), "critical": (score >= cut).astype(int).tolist()}
    if uncertainty:
        columns |= {name: _rounded(values) for name, values in _uncertainty(ready).items()}
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    write_rows(out, list(columns), rows)
    return len(predictions.target)


def evaluate_on(model: Path, data: str, *, target: str | None, device: str) -> dict[str, float]:
    """Measures of a trained model on labelled ``data``; the threshold is the one chosen on validation."""
    stored, store = open_run(model)
    predictions, _, classes = predict_on(stored, data, labelled=True, target=target, device=device)
    critical = [classes.index(name) for name in store.study.critical]
    found = measures(predictions, classes, critical, store.study.at_tpr)
    if critical and (stored.folder / "val.npz").exists():
        found |= decided(predictions, critical, _threshold(stored, critical, store.study.at_tpr))
    return found


def predict_on(
    stored: StoredRun, data: str, *, labelled: bool, target: str | None = None, device: str
) -> tuple[Predictions, Dataset, list[str]]:
    """Predictions of the model of ``stored`` for every sample of ``data``, the data, the model's classes."""
    ready = _ready(stored, data, labelled=labelled, target=target, device=device)
    return ready.predictions(), ready.dataset, ready.classes


@dataclass(frozen=True)
class _Ready:
    """A trained model and the samples to predict."""

    model: Classifier
    objective: Objective
    batches: Batches
    dataset: Dataset
    classes: list[str]
    recipe: Recipe

    def predictions(self) -> Predictions:
        """Logits of every sample."""
        return predict(self.model, self.batches, self.recipe, self.objective.outputs)


def _ready(stored: StoredRun, data: str, *, labelled: bool, target: str | None = None, device: str) -> _Ready:
    """The model of ``stored`` on the device, and every sample of ``data`` in its encoding."""
    asked = Store(stored.folder.parents[1]).study
    kept = torch.load(stored.folder / "model.pt", weights_only=True, map_location="cpu")
    is_table = Path(data).suffix.lower() in (".csv", ".parquet")
    dataset = read(
        data,
        target=(target or asked.data.target) if labelled and is_table else None,
        image_size=asked.data.image_size if Path(data).is_dir() else None,
        labelled=labelled,
    )
    encoding = Encoding.from_json(kept["encoding"])
    encoding.check(dataset)
    model = catalog.model(Word.parse(kept["model_word"]), encoding.shape, len(kept["classes"]))
    facts = catalog.Facts(
        class_counts=stored.facts()["counts"]["train"],
        num_samples=kept["num_samples"],
        model=model,
        critical=[kept["classes"].index(name) for name in asked.critical],
        absent_counts=stored.absent_counts(),
    )
    objective = catalog.method(stored.run.method, facts)
    model.load_state_dict(kept["model"])
    objective.load_state_dict(kept["objective"])
    where = pick_device(device)
    rows = np.arange(len(dataset))
    size = asked.training.batch_size
    target_here = encoding.target(dataset)
    batches = Batches(encoding.inputs(dataset), target_here, rows, encoding, batch_size=size, device=where)
    return _Ready(model.to(where), objective.to(where), batches, dataset, kept["classes"], asked.training)


def _uncertainty(ready: _Ready) -> dict[str, NDArray[np.float64]]:
    """Every measure of every sample's uncertainty; the same numbers each time."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in MEASURES}
    device = next(ready.model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        for batch in ready.batches:
            logits = ready.objective.outputs(stochastic_logits(ready.model, batch.x, _PASSES).float())
            for name, measure in MEASURES.items():
                found[name].append(measure(logits).cpu())
    return {name.replace("-", "_"): torch.cat(values).double().numpy() for name, values in found.items()}


def open_run(folder: Path) -> tuple[StoredRun, Store]:
    """The run kept in ``folder``, or the only run of the study kept there.

    Raises:
        InputError: if there is none, or there are several to choose from.
    """
    candidates = [folder] if (folder / "model.pt").exists() else sorted(folder.glob("runs/*/model.pt"))
    if len(candidates) != 1:
        found = f"{len(candidates)} of them, as {candidates[0].parent}" if candidates else "none"
        raise check.InputError(
            f"expected {folder} to hold one trained model, found {found}; name the run's folder."
        )
    place = candidates[0] if candidates[0].is_dir() else candidates[0].parent
    run = Run.model_validate(json.loads((place / "config.json").read_text(encoding="utf-8")))
    return StoredRun(run, place.resolve()), Store(place.resolve().parents[1])


def _named(predictions: Predictions, classes: Sequence[str]) -> list[str]:
    """The class that each sample is decided for, or its labels."""
    if predictions.multilabel:
        there = predictions.decision == 1
        return ["; ".join(name for name, has in zip(classes, row, strict=True) if has) for row in there]
    return [classes[c] for c in predictions.decision]


def _threshold(stored: StoredRun, critical: Sequence[int], at_tpr: float) -> float:
    if not (stored.folder / "val.npz").exists():
        raise check.InputError(
            "the run has no validation samples to choose a threshold on; train with val_fraction."
        )
    return threshold(stored.predictions("val"), critical, at_tpr)


def _rounded(values: Any) -> list[str]:
    return [f"{value:.6g}" for value in values]
