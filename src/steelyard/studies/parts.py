"""Whether the parts of a split hold the classes that a study needs there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from steelyard._checks import InputError
from steelyard.records import Predictions
from steelyard.studies.evaluate import measures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steelyard.data import Dataset, Split
    from steelyard.data.dataset import Rows
    from steelyard.studies.config import Study

_NAMES = {"train": "training", "val": "validation", "test": "test"}


def check_parts(asked: Study, dataset: Dataset, critical: Sequence[int], rows: Split) -> None:
    """Require that each part that ``asked`` uses has critical samples and others, and the monitor a value.

    Without them a part gives no threshold, no AUC and no sensitivity.

    Raises:
        InputError: that names the part, the classes, the counts and the mend.
    """
    counts = {part: dataset.counts(getattr(rows, part)) for part in ("train", *asked.parts)}
    if critical:
        named = ", ".join(map(repr, asked.critical))
        others = [c for c in range(len(dataset.classes)) if c not in critical]
        for part in counts:
            _require(dataset, part, f"critical ({named})", critical, counts)
            _require(dataset, part, f"not critical (all are of {named})", others, counts)
    lacking = absent(dataset, rows.val) if "val" in asked.parts else []
    monitor = asked.training.monitor
    if lacking and math.isnan(_value_of(monitor, asked, dataset, critical, rows.val)):
        raise InputError(
            f"{dataset.name}: the monitor {monitor} has no value, as the validation part has no sample "
            f"{', '.join(lacking)}; give another --monitor, or put some there."
        )


def absent(dataset: Dataset, rows: Rows) -> list[str]:
    """The classes that none of ``rows`` has, as "of 'a'", and the labels that all have, as "without 'a'"."""
    counts = dataset.counts(rows)
    found = [f"of {dataset.classes[c]!r}" for c in np.flatnonzero(counts == 0)]
    if dataset.multilabel:
        found += [f"without {dataset.classes[c]!r}" for c in np.flatnonzero(counts == len(rows))]
    return found


def notes_on_parts(asked: Study, dataset: Dataset, rows: Split) -> list[str]:
    """A sentence for each held-out part that lacks classes, of which nothing is measured there.

    And one for a test part of the source that is not used.
    """
    lacking = {part: absent(dataset, getattr(rows, part)) for part in asked.parts}
    left = len(rows.test) if asked.tested and "test" not in asked.parts else 0
    unused = [f"the {left} test samples of the source are left out, as test_fraction is 0"] if left else []
    return unused + [
        f"the {_NAMES[part]} part has no sample {', '.join(names)}; what is measured there leaves that out"
        for part, names in lacking.items()
        if names
    ]


def _require(dataset: Dataset, part: str, what: str, classes: Sequence[int], counts: dict[str, Rows]) -> None:
    """Require a sample of ``classes``, which ``what`` describes, among those of ``part``."""
    if counts[part][classes].sum():
        return
    others = [
        f"the {_NAMES[one]} part has {there[classes].sum()}" for one, there in counts.items() if one != part
    ]
    mend = "put some there"
    if part != "train":
        mend += ", or leave that part out of the source, then one with every class is drawn"
    raise InputError(
        f"{dataset.name}: of the {counts[part].sum()} samples of the {_NAMES[part]} part none is {what}, "
        f"{', '.join(others)}; {mend}."
    )


def _value_of(monitor: str, asked: Study, dataset: Dataset, critical: Sequence[int], rows: Rows) -> float:
    """A value of ``monitor`` on these samples; whether it is NaN depends on their classes alone."""
    target = np.unique(dataset.target.numpy()[rows], axis=0)
    logits = np.zeros((len(target), len(dataset.classes)))
    found = measures(
        Predictions(logits, target, np.arange(len(target))), dataset.classes, critical, asked.at_tpr
    )
    return found[monitor.removeprefix("val_")]
