"""A trained model on other data: read as in training, predicted, and written as a table."""

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
from steelyard.studies.config import Run, study
from steelyard.studies.decisions import Scores, Thresholds, choose
from steelyard.studies.outcomes import changed, kept_scores, promisable
from steelyard.studies.run import pick_device
from steelyard.studies.store import Store, StoredRun, write_rows
from steelyard.training import predict
from steelyard.uncertainty import stochastic_logits
from steelyard.words import Word, rejoined

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
    from steelyard.studies.config import Study

_PASSES = 20  # of Monte-Carlo dropout


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What the threshold is to reach, where that is not what the study asked for."""

    critical: Sequence[str] = ()
    at_tpr: float | None = None
    confidence: float | None = None  # 0: without a guarantee


def write_predictions(
    model: Path,
    data: str,
    out: Path,
    *,
    point: OperatingPoint | None = None,
    how: str | None = None,
    uncertainty: bool = False,
    skip_unreadable: bool = False,
    device: str,
) -> tuple[int, Thresholds | None]:
    """Write one row per sample of ``data``: its name, the predicted class, the probability of every class.

    With critical classes (the study's own if none are named) also the score, whether it reaches the
    threshold that held-out samples choose for the ``point``, that threshold, what it promises, and from how
    many critical samples. ``how`` is a change of :func:`steelyard.studies.outcomes.changes`, made to
    predictions and held-out scores alike. With ``uncertainty`` also the measures of
    :mod:`steelyard.functional.uncertainty` by Monte-Carlo dropout, of labels of each. ``skip_unreadable``
    leaves out images that cannot be read. Returns the number of rows and the thresholds, None without
    critical classes.
    """
    stored, store = open_run(model)
    restored, point = restore(stored, device), point or OperatingPoint()
    dataset = read_like(stored, data, labelled=False, skip_unreadable=skip_unreadable)
    batches, classes = restored.all_of(dataset), restored.encoding.classes
    predictions = changed(stored, restored.predictions(batches), how)
    columns: dict[str, Sequence[Any]] = {
        "sample": dataset.sample,
        "predicted": _named(predictions, classes),
        **{f"p[{name}]": _rounded(predictions.probability[:, c]) for c, name in enumerate(classes)},
    }
    named = rejoined(point.critical or store.study.critical, classes)
    names = [check.one_of("class", name, classes) for name in named]
    kept = None
    if names:
        numbers = [classes.index(name) for name in names]
        kept = kept_thresholds(store, stored, numbers, point, how)
        columns |= _decided(Scores.of(predictions, numbers).score, kept)
    if uncertainty:
        found = _uncertainty(restored, batches, classes if predictions.multilabel else ())
        columns |= {name: _rounded(values) for name, values in found.items()}
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    write_rows(out, list(columns), rows)
    return len(predictions.target), kept


def _decided(score: NDArray[np.float64], kept: Thresholds) -> dict[str, Sequence[Any]]:
    """Columns of the decision for each score, and of what it rests on."""
    every = {"threshold": f"{kept.value:.6g}", "promise": kept.in_short, "positives": kept.positives}
    return {
        "critical_score": _rounded(score),
        "critical": (score >= kept.value).astype(int).tolist(),
        **{name: [value] * len(score) for name, value in every.items()},
    }


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
    group: str | None = None,
    metadata: str | None = None,
    skip_unreadable: bool = False,
) -> Dataset:
    """``data``, read as the training data of ``stored`` was, but for its groups.

    Columns and classes mean what they meant there, and images come to the size that they had.
    """
    asked = Store(stored.folder.parents[1]).study
    is_table = Path(data).suffix.lower() in (".csv", ".parquet")
    return read(
        data,
        target=(target or asked.data.target) if labelled and is_table else None,
        group=group,
        metadata=metadata,
        image_size=_encoding(stored).image_size if Path(data).is_dir() or is_table else None,
        skip_unreadable=skip_unreadable,
        labelled=labelled,
        schema=_encoding(stored).schema,
        encoding=asked.data.encoding if is_table else None,
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
    store: Store,
    stored: StoredRun,
    critical: Sequence[int],
    point: OperatingPoint | None = None,
    how: str | None = None,
) -> Thresholds:
    """The thresholds that the scores kept with a run choose for new data.

    Args:
        store: the study of the run.
        stored: the run.
        critical: numbers of the critical classes.
        point: what they are to reach; default: what the study asked for.
        how: the change of the scores, as of :func:`steelyard.studies.outcomes.changed`.

    Raises:
        InputError: if no scores of samples that were not trained on are kept, or no critical one among them.
    """
    asked = _at(store.study, point) if point else store.study
    scores = kept_scores(store, stored, critical, how)
    if scores is None:
        raise check.InputError(
            "the run has no validation samples to choose a threshold on; train with val_fraction."
        )
    found = choose(scores, promisable(asked, how or ""))
    if found is None:
        names = " or ".join(repr(str(store.facts()["classes"][c])) for c in critical)
        raise check.InputError(
            f"of the {len(scores.score)} samples of the run that were held out from training none is of "
            f"{names}, so no threshold can be chosen; train with validation samples of it."
        )
    return found


def _at(asked: Study, point: OperatingPoint) -> Study:
    """``asked`` at another operating point, which costs then do not decide."""
    other = {"at_tpr": point.at_tpr, "confidence": point.confidence}
    given = {name: value for name, value in other.items() if value is not None}
    return study(asked.model_dump() | given | {"cost": None}) if given else asked


def _rounded(values: Any) -> list[str]:
    return [f"{value:.6g}" for value in values]
