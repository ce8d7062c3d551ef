"""One data set, as every reader gives it and every other part takes it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steelyard._checks import InputError, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from steelyard.data.columns import ColumnType
    from steelyard.data.images import ImageFiles

Rows = NDArray[np.int64]  # places of samples in a data set
PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """Raw columns, before any encoding: missing numbers are NaN, missing texts None."""

    numeric: NDArray[np.float64]  # (N, Dn)
    numeric_names: tuple[str, ...]
    categorical: NDArray[np.object_] = field(
        default_factory=lambda: np.empty((0, 0), dtype=object)
    )  # (N, Dc)
    categorical_names: tuple[str, ...] = ()
    types: Mapping[str, ColumnType] = field(default_factory=dict)  # of numeric columns that came as text

    def __len__(self) -> int:
        return len(self.numeric)

    def take(self, rows: Rows) -> Table:
        """The table of ``rows`` alone."""
        numeric = self.numeric[rows]
        if self.categorical_names:
            return replace(self, numeric=numeric, categorical=self.categorical[rows])
        return replace(self, numeric=numeric, categorical=np.empty((len(numeric), 0), dtype=object))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples, their classes and what the source says of them.

    A data set without labels, as one has it for prediction, has no ``classes`` and targets of -1. Where a
    sample may have several labels (multi-label), ``target`` is (N, L) of 0 and 1, and ``classes`` names the
    labels.

    >>> x = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    >>> data = Dataset("toy", x, torch.tensor([0, 1, 1]), ("ok", "rare"))
    >>> data.counts()
    array([1, 2])
    >>> data.select_classes(["rare", "ok"]).target
    tensor([1, 0, 0])
    """

    name: str
    x: Tensor | ImageFiles | Table  # images (N, C, H, W), volumes (N, C, D, H, W), or columns
    target: Tensor  # (N,) int64, or (N, L) int64
    classes: tuple[str, ...]
    group: NDArray[np.int64] | None = None  # (N,) samples of one group (patient, lesion) belong together
    part: NDArray[np.str_] = field(
        default_factory=lambda: np.empty(0, dtype="<U5")
    )  # (N,) of PARTS, "" unsaid
    sample: Sequence[str] = ()  # (N,) relative path or row
    superclass: tuple[int, ...] = ()  # (C,) number of each class's group of similar classes, where known
    notes: tuple[str, ...] = ()  # what reading did to the data, in plain words

    def __post_init__(self) -> None:
        if not len(self.part):
            object.__setattr__(self, "part", np.full(len(self), "", dtype="<U5"))
        if not self.sample:
            object.__setattr__(self, "sample", [str(row) for row in range(len(self))])
        lengths = {len(self.x), len(self.part), len(self.sample)} | (
            set() if self.group is None else {len(self.group)}
        )
        if lengths != {len(self)}:
            raise InputError(
                f"{self.name}: x, target, group, part and sample differ in length: {lengths | {len(self)}}."
            )
        if self.multilabel:
            self._check_label_columns()

    def __len__(self) -> int:
        return len(self.target)

    @property
    def is_image(self) -> bool:
        """Whether ``x`` holds images, flat ones or volumes, rather than columns."""
        return not isinstance(self.x, Table)

    @property
    def multilabel(self) -> bool:
        """Whether a sample may have several labels."""
        return self.target.ndim == 2

    @property
    def is_volume(self) -> bool:
        """Whether ``x`` holds volumes."""
        return isinstance(self.x, Tensor) and self.x.ndim == 5

    def counts(self, rows: Rows | None = None) -> Rows:
        """(C,) samples of each class, or (L,) that have each label, among ``rows`` or all."""
        target = self.target.numpy() if rows is None else self.target.numpy()[rows]
        if self.multilabel:
            return np.asarray(target.sum(axis=0), dtype=np.int64)
        return np.bincount(target, minlength=len(self.classes))

    def select_classes(self, names: Sequence[str]) -> Dataset:
        """Only the samples of the classes ``names``, labelled 0, 1, ... in that order.

        Of labels only the columns of ``names``, with all samples.

        Raises:
            InputError: if a name is unknown or given twice.
        """
        for name in names:
            one_of("class", name, self.classes)
        if len(set(names)) != len(names):
            raise InputError(f"expected each class once, got {', '.join(names)}.")
        if self.multilabel:
            columns = [self.classes.index(name) for name in names]
            return replace(self, target=self.target[:, columns], classes=tuple(names))
        label = np.full(len(self.classes), -1)
        label[[self.classes.index(name) for name in names]] = range(len(names))
        target = label[self.target.numpy()]
        rows = np.flatnonzero(target >= 0)
        selected = replace(
            self,
            x=self.x[torch.from_numpy(rows)] if isinstance(self.x, Tensor) else self.x.take(rows),
            target=torch.from_numpy(target[rows]),
            classes=tuple(names),
            superclass=tuple(self.superclass[self.classes.index(name)] for name in names if self.superclass),
            group=None if self.group is None else self.group[rows],
            part=self.part[rows],
            sample=[self.sample[row] for row in rows.tolist()],
        )
        selected.check_classes()
        return selected

    def _check_label_columns(self) -> None:
        if self.target.shape[1] != len(self.classes) or len(set(self.classes)) != len(self.classes):
            raise InputError(
                f"{self.name}: expected a name of its own for each of the {self.target.shape[1]} labels, "
                f"got {', '.join(self.classes) or 'none'}."
            )
        if not torch.isin(self.target, torch.tensor([0, 1])).all():
            raise InputError(f"{self.name}: expected labels of 0 and 1, got other values.")

    def check_classes(self) -> None:
        """Require what training needs: two classes, each in every part that the source gives.

        Raises:
            InputError: if a class is missing. Data that a trained model is given may lack one.
        """
        if self.multilabel or not self.classes:
            return
        present = self.counts() > 0
        if present.sum() < 2:
            only = [name for name, here in zip(self.classes, present, strict=True) if here]
            raise InputError(
                f"{self.name}: expected at least two classes, got only {', '.join(only) or 'none'}."
            )
        train, val, test = (
            self.counts(np.flatnonzero(np.isin(self.part, names))) > 0
            for names in (("train", ""), ("val",), ("test",))
        )
        if not train.any():
            return
        for here, there, wrong in (
            ("train", "test", train & ~test & test.any()),
            ("test", "train", test & ~train),
            ("val", "train", val & ~train),
        ):
            if wrong.any():
                names = ", ".join(repr(self.classes[c]) for c in np.flatnonzero(wrong))
                raise InputError(
                    f"{self.name}: labels differ between {here} and {there}: {names} only in {here}; "
                    "give both the same classes."
                )
