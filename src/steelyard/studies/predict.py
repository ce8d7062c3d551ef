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
from steelyard.functional.uncertainty import MEASURES, two_class_logits
from steelyard.models import without_weights
from steelyard.studies.config import Run
from steelyard.studies.decisions import Scores, Thresholds, choose
from steelyard.studies.evaluate import in_use, measures
from steelyard.studies.outcomes import kept_scores
from steelyard.studies.run import pick_device
from steelyard.studies.store import Store, StoredRun, write_rows
from steelyard.training import predict
from steelyard.uncertainty import stochastic_logits
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from steelyard.data import Dataset
    from steelyard.data.dataset import Rows
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
    skip_unreadable: bool = False,
    device: str,
) -> int:
    """Write one row per sample of ``data``: its name, the predicted class, the probability of every class.

    With critical classes (the study's own if none are named) also the score and whether it reaches the
    threshold that gives the wanted sensitivity on the run's validation samples. With ``uncertainty`` also
    the measures of :mod:`steelyard.functional.uncertainty` by Monte-Carlo dropout, of labels of each.
    ``skip_unreadable`` leaves out images that cannot be read. Returns the number of rows.
    """
    stored, store = open_run(model)
    restored = restore(stored, device)
    dataset = read_like(stored, data, labelled=False, skip_unreadable=skip_unreadable)
    batches, classes = restored.all_of(dataset), restored.encoding.classes
    predictions = restored.predictions(batches)
    columns: dict[str, Sequence[Any]] = {
        "sample": dataset.sample,
        "predicted": _named(predictions, classes),
        **{f"p[{name}]": _rounded(predictions.probability[:, c]) for c, name in enumerate(classes)},
    }
    numbers = [
        classes.index(check.one_of("class", name, classes)) for name in critical or store.study.critical
    ]
    if numbers:
        kept = kept_thresholds(store, stored, numbers, at_tpr)
        score = Scores.of(predictions, numbers).score
        columns |= {"critical_score": _rounded(score), "critical": (score >= kept.value).astype(int).tolist()}
    if uncertainty:
        found = _uncertainty(restored, batches, classes if predictions.multilabel else ())
        columns |= {name: _rounded(values) for name, values in found.items()}
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    write_rows(out, list(columns), rows)
    return len(predictions.target)


def evaluate_on(
    model: Path, data: str, *, target: str | None, device: str, skip_unreadable: bool = False
) -> dict[str, float]:
    """Measures of a trained model on labelled ``data``; the threshold is the one chosen on validation."""
    stored, store = open_run(model)
    predictions, _, classes = predict_on(
        stored, data, labelled=True, target=target, device=device, skip_unreadable=skip_unreadable
    )
    critical = [classes.index(name) for name in store.study.critical]
    found = measures(predictions, classes, critical, store.study.at_tpr)
    if critical and kept_scores(store, stored, critical) is not None:
        kept = kept_thresholds(store, stored, critical)
        found |= in_use(Scores.of(predictions, critical), kept, store.study)
    return found


def predict_on(
    stored: StoredRun,
    data: str,
    *,
    labelled: bool,
    target: str | None = None,
    device: str,
    skip_unreadable: bool = False,
) -> tuple[Predictions, Dataset, list[str]]:
    """Predictions of the model of ``stored`` for every sample of ``data``, the data, the model's classes."""
    restored = restore(stored, device)
    dataset = read_like(stored, data, labelled=labelled, target=target, skip_unreadable=skip_unreadable)
    return restored.predictions(restored.all_of(dataset)), dataset, list(restored.encoding.classes)


def read_like(
    stored: StoredRun,
    data: str,
    *,
    labelled: bool,
    target: str | None = None,
    skip_unreadable: bool = False,
) -> Dataset:
    """``data``, read as the training data of ``stored`` was; images come to the size that they had there."""
    asked = Store(stored.folder.parents[1]).study
    is_table = Path(data).suffix.lower() in (".csv", ".parquet")
    return read(
        data,
        target=(target or asked.data.target) if labelled and is_table else None,
        image_size=_encoding(stored).image_size if Path(data).is_dir() or is_table else None,
        skip_unreadable=skip_unreadable,
        labelled=labelled,
    )


def _encoding(stored: StoredRun) -> Encoding:
    kept = torch.load(stored.folder / "model.pt", weights_only=True, map_location="cpu", mmap=True)
    return Encoding.from_json(kept["encoding"])


@dataclass(frozen=True, slots=True)
class Restored:
    """A trained model with all that it takes to use it."""

    model: Classifier
    objective: Objective
    encoding: Encoding
    recipe: Recipe
    device: torch.device

    def batches(self, dataset: Dataset, rows: Rows, target: Callable[[Dataset], Tensor]) -> Batches:
        """The samples at ``rows`` of ``dataset``, encoded for the model; ``target`` gives all labels.

        Raises:
            InputError: if the samples are not of the form of the training data.
        """
        self.encoding.check(dataset)
        size = self.recipe.batch_size
        inputs, labels = self.encoding.inputs(dataset), target(dataset)
        return Batches(inputs, labels, rows, self.encoding, batch_size=size, device=self.device)

    def all_of(self, dataset: Dataset) -> Batches:
        """Every sample of ``dataset``, labelled as in training; as :meth:`batches`."""
        return self.batches(dataset, np.arange(len(dataset)), self.encoding.target)

    def predictions(self, batches: Batches) -> Predictions:
        """Logits of every sample, on the scale to predict on."""
        return predict(self.model, batches, self.recipe, self.objective.outputs)


def restore(stored: StoredRun, device: str) -> Restored:
    """The model of ``stored``, on the device, in the state in which its training left it."""
    asked = Store(stored.folder.parents[1]).study
    kept = torch.load(stored.folder / "model.pt", weights_only=True, map_location="cpu")
    encoding = Encoding.from_json(kept["encoding"])
    word = without_weights(Word.parse(kept["model_word"]))  # those of the run come below
    model = catalog.model(word, encoding.shape, len(kept["classes"]))
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
    return Restored(model.to(where), objective.to(where), encoding, asked.training, where)


def _uncertainty(
    restored: Restored, batches: Batches, labels: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Every measure of every sample's uncertainty, of ``labels`` of each; the same numbers each time."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in MEASURES}
    device = restored.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        for batch in batches:
            logits = restored.objective.outputs(stochastic_logits(restored.model, batch.x, _PASSES).float())
            logits = two_class_logits(logits) if labels else logits
            for name, measure in MEASURES.items():
                found[name].append(measure(logits).cpu())
    values = {name.replace("-", "_"): torch.cat(each).double().numpy() for name, each in found.items()}
    if not labels:
        return values
    return {f"{name}[{label}]": values[name][:, c] for c, label in enumerate(labels) for name in values}


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


def kept_thresholds(
    store: Store, stored: StoredRun, critical: Sequence[int], at_tpr: float | None = None
) -> Thresholds:
    """The thresholds that the scores kept with a run choose for new data.

    Args:
        store: the study of the run.
        stored: the run.
        critical: numbers of the critical classes.
        at_tpr: another sensitivity than the study's.

    Raises:
        InputError: if no scores of samples that were not trained on are kept, or no critical one among them.
    """
    study = store.study if at_tpr is None else store.study.model_copy(update={"at_tpr": at_tpr, "cost": None})
    scores = kept_scores(store, stored, critical)
    if scores is None:
        raise check.InputError(
            "the run has no validation samples to choose a threshold on; train with val_fraction."
        )
    found = choose(scores, study)
    if found is None:
        names = " or ".join(repr(str(store.facts()["classes"][c])) for c in critical)
        raise check.InputError(
            f"of the {len(scores.score)} samples of the run that were held out from training none is of "
            f"{names}, so no threshold can be chosen; train with validation samples of it."
        )
    return found


def _rounded(values: Any) -> list[str]:
    return [f"{value:.6g}" for value in values]
