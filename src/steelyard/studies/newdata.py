"""Labelled samples that come after training: read as in training, one part of them, none that was seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from steelyard import _checks as check
from steelyard.data import TableEncoding, content_hashes
from steelyard.data.dataset import PARTS
from steelyard.studies.predict import read_like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steelyard.data import Dataset, Encoding
    from steelyard.data.dataset import Rows
    from steelyard.studies.store import Store, StoredRun

MOSTLY = 0.5  # of what the models saw: data that holds more of it is the training data


@dataclass(frozen=True, kw_only=True)
class NewData:
    """Which samples to judge trained models on, and how to read them."""

    source: str
    target: str | None = None  # column of the class; default: as in training
    group: str | None = None  # column of the groups; default: as in training, where it is there
    metadata: str | None = None
    part: str | None = None  # one of PARTS or "all"; default: the test part where parts are named
    skip_unreadable: bool = False
    anyway: bool = False  # judge on samples that the models were trained on as well


@dataclass(frozen=True, eq=False)
class Samples:
    """New samples, read as the training data was."""

    dataset: Dataset
    rows: Rows  # those that are judged
    notes: tuple[str, ...]  # what reading did to them, and what is to be known of them

    @property
    def grouped(self) -> bool:
        """Whether samples of one group are no independent evidence."""
        return self.dataset.group is not None


def read_new(stored: StoredRun, store: Store, new: NewData) -> Samples:
    """The samples of ``new``, read as the training data of ``stored`` was.

    Raises:
        InputError: if they cannot be read so, or the part asked for is not there.
    """
    dataset, ungrouped = _grouped_as_trained(stored, store, new)
    rows, others = _of_part(dataset, new.part)
    return Samples(dataset, rows, (*dataset.notes, *ungrouped, *others))


def _grouped_as_trained(stored: StoredRun, store: Store, new: NewData) -> tuple[Dataset, list[str]]:
    """The data, by the groups asked for, else by those of the training where they are there; and a note."""
    trained = store.study.data.group

    def read(group: str | None) -> Dataset:
        return read_like(
            stored,
            new.source,
            labelled=True,
            target=new.target,
            group=group,
            metadata=new.metadata if group else None,
            skip_unreadable=new.skip_unreadable,
        )

    if new.group is not None or new.metadata is not None or trained is None:
        return read(new.group or trained), []
    try:
        return read(trained), []
    except check.InputError as error:
        ungrouped = read(None)  # what is wrong with more than the groups is refused here
        return ungrouped, [f"not grouped by {trained}, as the training data was: {error}"]


def _of_part(dataset: Dataset, part: str | None) -> tuple[Rows, list[str]]:
    """The rows of one part, and a note on what is left out without having been asked for."""
    named = [name for name in PARTS if (dataset.part == name).any()]
    if part == "all" or (part is None and not named):
        return np.arange(len(dataset)), []
    if part is not None:
        check.one_of("part", part, (*PARTS, "all"))
    elif "test" not in named:
        raise check.InputError(
            f"{dataset.name}: expected a test part, got only the parts {', '.join(named)}; choose one with "
            "--part, or --part all."
        )
    rows = np.flatnonzero(dataset.part == (part or "test"))
    if not len(rows):
        there = ", ".join(named) or "no parts"
        raise check.InputError(f"{dataset.name}: expected samples of the part {part}, got {there}.")
    left = len(dataset) - len(rows)
    note = f"the test part alone is judged, {len(rows)} of {len(dataset)} samples; --part all takes all"
    return rows, [note] if left and part is None else []


def unseen(
    runs: Sequence[StoredRun], store: Store, samples: Samples, encoding: Encoding, new: NewData
) -> Samples:
    """``samples`` without those that a model of ``runs`` was trained or validated on, known by their content.

    Raises:
        InputError: if these are the training data: nothing else is there, or more than half of what the
            models saw; unless ``new`` asks for all.
    """
    known = store.hashes()
    if known is None:
        unknown = "whether the models were trained on these samples is not known: the study keeps no hashes"
        return replace(samples, notes=(*samples.notes, unknown))
    columns = None
    if isinstance(encoding, TableEncoding):
        columns = [*(one.name for one in encoding.numbers), *(one.name for one in encoding.texts)]
    here = content_hashes(samples.dataset, new.source, samples.rows, columns=columns)
    seen = np.any([stored.seen() for stored in runs], axis=0)
    trained_on = np.isin(here, known[seen])
    held_out = np.isin(here, known[~seen]) & ~trained_on
    notes = list(samples.notes)
    if held_out.any():
        notes.append(
            f"{held_out.sum()} of {len(here)} samples are of the study's own data, held out from training; "
            "if they have tested these models before, this is no new evidence"
        )
    if not trained_on.any():
        return replace(samples, notes=tuple(notes))
    what = f"{trained_on.sum()} of {len(here)} samples are those of training or validation, by their content"
    if new.anyway:
        return replace(samples, notes=(*notes, f"{what}: on these a model does better than on new ones"))
    if trained_on.all() or np.isin(known[seen], here).mean() > MOSTLY:
        raise check.InputError(f"{what}; give samples that are new, or --anyway to judge on these as well.")
    notes.append(f"{what}: they are left out; --anyway judges on them as well")
    return replace(samples, rows=samples.rows[~trained_on], notes=tuple(notes))
