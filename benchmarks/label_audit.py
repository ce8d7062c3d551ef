"""Which ranking finds flipped labels, and which rule names right ones: steelyard's audit and cleanlab.

MNIST (10,000 training images, drawn anew for each seed) and digits (all 1,797), 2, 5 and 10 % of the labels
flipped: to any other class with equal chance, or between classes that are easily confused (2 to 7, 3 to 8,
5 to 6 and back, 7 to 1: Patrini et al., CVPR 2017). Every ranking has the same model, recipe and number of
sample passes: one training of E epochs on N samples, or 5 of E / 4 epochs on 4 N / 5. ``x4`` marks rankings
that may pass over four times as many samples: E epochs for each of 5 models, and the mean over 4 trainings
(digits alone). ``folds`` marks the audit of a study with 5 folds: the models that cleanlab has.

Then digits with a twentieth of the samples of every second class: no label flipped, 5 % to any class, or 5 %
to classes in proportion to their size. Here the question is whom each rule accuses wrongly.

    python benchmarks/label_audit.py [--save]
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from _bench import machine, save
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.model_selection import StratifiedKFold

from steelyard import Objective, catalog
from steelyard.data import Batches, fit_encoding, read
from steelyard.metrics import average_precision, paired_t_test
from steelyard.recipe import Recipe
from steelyard.report.audit import suspicion
from steelyard.report.doubt import TIMES, Opinion, doubt, known, unequal
from steelyard.training import SampleRecorder, fit, predict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steelyard.data import Dataset

EQUAL = tuple((kind, rate) for kind in ("uniform", "confused") for rate in (0.02, 0.05, 0.10))
UNEQUAL = (("none", 0.0), ("uniform", 0.05), ("in proportion", 0.05))
CONFUSED = {2: 7, 3: 8, 5: 6, 6: 5, 7: 1}
FOLDS = 5
Scores = dict[str, "NDArray[np.float64]"]


@dataclass(frozen=True)
class Setting:
    """One data set, its model and how long it is trained."""

    name: str
    source: str
    size: int | None  # samples drawn for each seed; None: all
    model: str
    epochs: int  # of one training that has the whole budget
    batch_size: int
    seeds: int
    trainings: int  # of cross-entropy; of more than one the mean is ranked by too
    ratio: int = 1  # of the samples of an even class to those of an odd one

    @property
    def conditions(self) -> tuple[tuple[str, float], ...]:
        """Kinds of flips and how many."""
        return EQUAL if self.ratio == 1 else UNEQUAL


SETTINGS = (
    Setting("mnist", "mnist", 10_000, "mlp(hidden=[128])", epochs=12, batch_size=256, seeds=3, trainings=1),
    Setting(
        "digits", "digits", None, "mlp(hidden=[128])", epochs=20, batch_size=128, seeds=5, trainings=FOLDS - 1
    ),
    Setting("digits, longer", "digits", None, "mlp", epochs=20, batch_size=64, seeds=3, trainings=FOLDS - 1),
    Setting(
        "unequal digits, short",
        "digits",
        None,
        "mlp(hidden=[128])",
        5,
        batch_size=32,
        seeds=5,
        trainings=1,
        ratio=20,
    ),
    Setting(
        "unequal digits",
        "digits",
        None,
        "mlp(hidden=[128])",
        20,
        batch_size=32,
        seeds=5,
        trainings=1,
        ratio=20,
    ),
)


def main() -> None:
    torch.set_num_threads(1)
    found = {setting.name: measured(setting) for setting in SETTINGS}
    for name, figures in found.items():
        show(name, figures)
    if "--save" in sys.argv:
        settings = {setting.name: vars(setting) for setting in SETTINGS}
        where = machine() | {"cleanlab": version("cleanlab")}
        save(
            "label_audit",
            {"machine": where, "threads": 1, "folds": FOLDS, "settings": settings, "found": found},
        )


def measured(setting: Setting) -> dict[str, Any]:
    """By kind of flip and rate, by ranking, one figure a seed."""
    dataset, found = read(setting.source), {}
    train = np.flatnonzero(np.isin(dataset.part, ("train", "")))
    for kind, rate in setting.conditions:
        runs = [seed_of(setting, dataset, train, kind, rate, seed) for seed in range(setting.seeds)]
        condition = f"{kind} {rate:.0%}" if rate else kind
        found[condition] = {
            name: {key: [run[name][key] for run in runs] for key in runs[0][name]} for name in runs[0]
        }
        print(f"{setting.name}, {condition}: {time.process_time():.0f} s of the processor", flush=True)
    return found


def seed_of(
    setting: Setting, dataset: Dataset, train: NDArray[np.int64], kind: str, rate: float, seed: int
) -> dict[str, dict[str, float]]:
    """Figures of every ranking in one draw of samples, flips and initial weights."""
    generator = np.random.default_rng([seed, int(100 * rate), len(kind)])
    rows = train if setting.size is None else generator.choice(train, setting.size, replace=False)
    if setting.ratio > 1:
        rows = thinned(rows, dataset.target.numpy()[rows], setting.ratio, generator)
    truth = dataset.target.numpy()[rows]
    given = flipped(truth, kind, rate, generator)
    study = Trainings(setting, dataset, rows, given, seed)
    wrong = given != truth
    scores, flags = study.rankings()
    figures = {name: judged(wrong, score) for name, score in scores.items()} if wrong.any() else {}
    counts = np.bincount(given, minlength=len(dataset.classes))
    rare = (counts < counts.max() / 3)[given]
    return figures | {
        name: flagged(wrong, flag, rare, scores["CE margin, folds x4" if "folds x4" in name else "CE margin"])
        for name, flag in flags.items()
    }


def thinned(
    rows: NDArray[np.int64], truth: NDArray[np.int64], ratio: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """``rows`` of the even classes, and one in ``ratio`` of those of the odd ones."""
    kept = [rows[truth == c] for c in range(10)]
    kept = [
        generator.permutation(mine)[: round(len(mine) / ratio)] if c % 2 else mine
        for c, mine in enumerate(kept)
    ]
    return generator.permutation(np.concatenate(kept))


def flipped(
    truth: NDArray[np.int64], kind: str, rate: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """``truth`` with ``rate`` of all labels wrong."""
    there = np.flatnonzero(np.isin(truth, list(CONFUSED))) if kind == "confused" else np.arange(len(truth))
    chosen = generator.choice(there, round(rate * len(truth)), replace=False)
    given = truth.copy()
    if kind == "uniform":
        given[chosen] = (truth[chosen] + generator.integers(1, 10, len(chosen))) % 10
    elif kind == "in proportion":
        given[chosen] = [generator.choice(truth[truth != c]) for c in truth[chosen].tolist()]
    else:
        given[chosen] = [CONFUSED[c] for c in truth[chosen].tolist()]
    return given


class Trainings:
    """The trainings on one set of samples and labels."""

    def __init__(
        self, setting: Setting, dataset: Dataset, rows: NDArray[np.int64], given: NDArray[np.int64], seed: int
    ) -> None:
        self.setting, self.given, self.seed, self.classes = setting, given, seed, len(dataset.classes)
        self.encoding = fit_encoding(dataset, rows)
        inputs = self.encoding.inputs(dataset)
        self.inputs, self.target = inputs[torch.from_numpy(rows)], torch.from_numpy(given)

    def rankings(self) -> tuple[Scores, dict[str, NDArray[np.bool_]]]:
        """Scores, larger for the more suspect, and flags, by name."""
        low = self.dynamics("low", self.seed)
        plain = [self.dynamics("ce", self.seed + 1000 * n) for n in range(self.setting.trainings)]
        found = {
            f"LOW {by}{', per class' * per_class}": suspicion(by, low, self.given, per_class=per_class)
            for by in ("weight", "loss", "margin")
            for per_class in (False, True)
        }
        flags = {}
        for times, runs in {"": plain[:1], " x4": plain}.items():
            if times and len(runs) == 1:
                continue
            for by in ("loss", "margin"):
                for per_class in (False, True):
                    each = [suspicion(by, one, self.given, per_class=per_class) for one in runs]
                    found[f"CE {by}{', per class' * per_class}{times}"] = np.mean(each, axis=0)
            seen = Opinion.mean([self._opinion(one["index"], one["probability"]) for one in runs])
            found[f"CE probability{times}"], flags[f"CE flag{times}"] = self.audited(seen, seen, seen)
            flags[f"CE any other class{times}"] = seen.probability.argmax(axis=1) != self.given
        for times, epochs in {"": self.setting.epochs // (FOLDS - 1), " x4": self.setting.epochs}.items():
            trained, held_out, margin = self.cross_validated(max(1, epochs))
            found[f"CE margin, folds{times}"] = margin
            every, probability = Opinion.mean([trained, held_out]), held_out.probability
            found[f"CE probability, folds{times}"], flags[f"CE flag, folds{times}"] = self.audited(
                every, held_out, trained
            )
            quality = {
                name: get_label_quality_scores(self.given, probability, method=name)
                for name in ("self_confidence", "normalized_margin")
            }
            flag = find_label_issues(self.given, probability, n_jobs=1)
            found[f"cleanlab self-confidence{times}"] = 1 - quality["self_confidence"]
            found[f"cleanlab normalised margin{times}"] = 1 - quality["normalized_margin"]
            found[f"cleanlab confident learning{times}"] = flag + 1 - quality["self_confidence"]
            flags[f"cleanlab flag{times}"] = flag
        return found, flags

    def audited(
        self, every: Opinion, held_out: Opinion, trained: Opinion
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Scores and suspects of ``steelyard audit``; what it does not judge comes last."""
        counts = np.bincount(self.given, minlength=self.classes)
        if unequal(counts):
            every, held_out, trained = (one.evened(counts) for one in (every, held_out, trained))
        sure = np.array([one.judged for one in known(held_out, trained)])[self.given]
        score = doubt(every.probability, self.given)
        return np.where(sure, score, score - 1000), sure & (score >= np.log(TIMES))

    def _opinion(self, rows: NDArray[np.int64], probability: NDArray[Any]) -> Opinion:
        return Opinion.of_one(rows, self.given[rows], probability)

    def dynamics(self, word: str, seed: int) -> dict[str, Any]:
        """What a training on all samples records of them."""
        return self._trained(word, np.arange(len(self.given)), seed, self.setting.epochs)[1]

    def cross_validated(self, epochs: int) -> tuple[Opinion, Opinion, NDArray[np.float64]]:
        """What the models of all folds say of the samples that they trained on, and of the others.

        And the mean standard score of the margins in training.
        """
        trained, held_out, margin = [], [], np.zeros(len(self.given))
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=self.seed)
        for fold, (train, test) in enumerate(folds.split(self.given, self.given)):
            model, kept = self._trained("ce", train, self.seed + 1000 * fold, epochs)
            trained.append(self._opinion(kept["index"], kept["probability"]))
            margin[kept["index"]] += suspicion("margin", kept, self.given[kept["index"]]) / (FOLDS - 1)
            probability = predict(model, self._batches(test), self._recipe(epochs)).probability
            held_out.append(self._opinion(test, probability))
        return Opinion.mean(trained), Opinion.mean(held_out), margin

    def _trained(
        self, word: str, rows: NDArray[np.int64], seed: int, epochs: int
    ) -> tuple[torch.nn.Module, dict[str, Any]]:
        """A model trained on ``rows``, and what was recorded of them."""
        model, objective = self._untrained(word, seed)
        recorder = SampleRecorder(self.target, self.classes, weighted=True)
        fit(model, objective, self._batches(rows, seed), self._recipe(epochs), recorder=recorder)
        with tempfile.TemporaryDirectory() as folder:
            recorder.save(Path(folder))
            kept, weights = (np.load(Path(folder) / f"{name}.npz") for name in ("dynamics", "weights"))
            with kept, weights:
                return model, dict(kept) | {"weight": weights["mean"]}

    def _untrained(self, word: str, seed: int) -> tuple[torch.nn.Module, Objective]:
        torch.manual_seed(seed)
        model = catalog.model(self.setting.model, self.encoding.shape, self.classes)
        counts = np.bincount(self.given, minlength=self.classes).tolist()
        return model, catalog.method(word, catalog.Facts(counts, len(self.given), model))

    def _batches(self, rows: NDArray[np.int64], seed: int | None = None) -> Batches:
        size, shuffle = self.setting.batch_size, seed is not None
        return Batches(
            self.inputs, self.target, rows, self.encoding, batch_size=size, shuffle=shuffle, seed=seed or 0
        )

    def _recipe(self, epochs: int) -> Recipe:
        return Recipe(epochs=epochs, batch_size=self.setting.batch_size)


def judged(wrong: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, float]:
    first = np.argsort(-score, kind="stable")[: wrong.sum()]
    return {"ap": float(average_precision(wrong, score)), "precision": float(wrong[first].mean())}


def flagged(
    wrong: NDArray[np.bool_], flag: NDArray[np.bool_], rare: NDArray[np.bool_], before: NDArray[np.float64]
) -> dict[str, float]:
    """What ``flag`` names: how much of it rightly, how many of the errors, whom wrongly.

    Beside it how many of the errors the first as many samples by ``before``, a score of margins, are.
    """
    found = {"accused of frequent": share(flag[~wrong & ~rare])}
    if rare.any():
        found["accused of rare"] = share(flag[~wrong & rare])
    if wrong.any():
        first = np.argsort(-before, kind="stable")[: flag.sum()]
        found |= {"flagged right": share(wrong[flag]), "found": share(flag[wrong])}
        found["found by margin"] = float(wrong[first].sum() / wrong.sum())
    return found


def share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def show(setting: str, found: dict[str, Any]) -> None:
    """The table of the documentation: mean and deviation over seeds, and the tests."""
    conditions = list(found)
    print(f"\n| {setting} | {' | '.join(conditions)} |")
    for name in found[conditions[-1]]:
        cells = []
        for condition in conditions:
            figures = [100 * np.array(values) for values in found[condition].get(name, {}).values()]
            cells.append(" / ".join(f"{value.mean():.1f} ± {value.std(ddof=1):.1f}" for value in figures))
        print(f"| {name} | {' | '.join(cells)} |")
    if conditions[0] == "none":
        return
    print("\nMean average precision, minus cleanlab's normalised margin (and its x4), points, p:")
    for name in found[conditions[0]]:
        if "ap" in found[conditions[0]][name]:
            print(f"| {name} | {' | '.join(against(found, name, x) for x in ('', ' x4'))} |")


def against(found: dict[str, Any], name: str, times: str) -> str:
    """Mean average precision of ``name``, its difference to cleanlab's best, seed by seed, and p."""
    ours, theirs = (
        100 * np.mean([each[ranking]["ap"] for each in found.values()], axis=0)
        for ranking in (name, f"cleanlab normalised margin{times}")
    )
    test = paired_t_test(ours, theirs)
    return f"{ours.mean():.1f} | {test.mean_difference:+.1f} | {test.p_value:.2g}"


if __name__ == "__main__":
    main()
