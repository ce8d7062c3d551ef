"""From raw data to what a model sees; learnt from training rows alone and kept as plain JSON."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from steelyard._checks import InputError, one_of
from steelyard.data.colour import COLOURS
from steelyard.data.columns import NUMBER, TEXT, ColumnType, Schema
from steelyard.data.dataset import Dataset, Rows, Table
from steelyard.data.images import ImageFiles
from steelyard.data.labels import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MOST_CATEGORIES = 1000
_MOST_FILES = 5000  # that mean and deviation are taken of: more would change the third digit and take minutes
_CHUNK, _CHUNK_VALUES = 1000, 2**24  # images, and their values, that are held as float64 at a time


@dataclass(frozen=True, kw_only=True)
class Encoding(ABC):
    """What a model must know of the data that it was trained on, to be given other data."""

    classes: tuple[str, ...]
    multilabel: bool = False  # whether a sample may have several of ``classes``

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one model input: (C, H, W) or (D,)."""

    @property
    def schema(self) -> Schema:
        """How to read other data so that it means what the training data meant."""
        return Schema(self.classes)

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W) that images of a folder have to be brought to; None where the model takes no flat images."""
        return None

    @abstractmethod
    def check(self, dataset: Dataset) -> None:
        """Require that ``dataset`` has the form of the training data.

        Raises:
            InputError: if it is of another kind or size, or lacks columns.
        """

    @abstractmethod
    def inputs(self, dataset: Dataset) -> Tensor | ImageFiles:
        """What batches are cut from: float32 (N, D) of a table, the images themselves."""

    def target(self, dataset: Dataset) -> Tensor:
        """(N,) class numbers as in training, whichever of its classes ``dataset`` has; -1 without labels.

        Of a training with several labels per sample, (N, L); ``dataset`` must have all of its labels.

        Raises:
            InputError: if ``dataset`` has a class that training had not, or lacks a label.
        """
        if dataset.classes and dataset.multilabel != self.multilabel:
            kinds = ("one class", "several labels")
            raise InputError(
                f"{dataset.name}: expected {kinds[self.multilabel]} per sample, as in training, "
                f"got {kinds[dataset.multilabel]}."
            )
        if self.multilabel:
            if not dataset.classes:
                return dataset.target[:, None].expand(-1, len(self.classes))
            return dataset.select_classes(self.classes).target
        number = [self.classes.index(one_of("class", name, self.classes)) for name in dataset.classes]
        return torch.tensor([*number, -1])[dataset.target]  # the last one answers to -1

    @abstractmethod
    def normalise(self, x: Tensor) -> Tensor:
        """Model input, on the device of ``x``, from a batch of :meth:`inputs`."""

    def to_json(self) -> str:
        """Text that :meth:`from_json` reads."""
        return json.dumps({"kind": type(self).__name__, **asdict(self)}, indent=1)

    @staticmethod
    def from_json(text: str) -> Encoding:
        """The encoding that :meth:`to_json` wrote; executes no code."""
        try:
            return Encoding._restored(json.loads(text))
        except (KeyError, TypeError):
            raise InputError("the model is of another version of steelyard; train it again.") from None

    @staticmethod
    def _restored(fields: dict[str, Any]) -> Encoding:
        kind = fields.pop("kind")
        common: dict[str, Any] = {
            "classes": tuple(fields.pop("classes")),
            "multilabel": fields.pop("multilabel", False),
        }
        if kind == ImageEncoding.__name__:
            lists: dict[str, Any] = {name: tuple(fields[name]) for name in ("size", "mean", "std")}
            return ImageEncoding(
                **common, **lists, colour=fields.get("colour"), deep=fields.get("deep", False)
            )
        return TableEncoding(
            **common,
            numbers=tuple(
                NumberColumn(**column | {"type": ColumnType(**column["type"])})
                for column in fields["numbers"]
            ),
            texts=tuple(TextColumn(c["name"], tuple(c["categories"])) for c in fields["texts"]),
        )


@dataclass(frozen=True, kw_only=True)
class ImageEncoding(Encoding):
    """Images: colours made constant, then (x / 255 - mean) / std, each per channel."""

    size: tuple[int, ...]  # (H, W), of volumes (D, H, W)
    mean: tuple[float, ...]  # (C,) of x / 255
    std: tuple[float, ...]  # (C,) > 0
    colour: str | None = None  # one of COLOURS, or colours as they are
    deep: bool = False  # images of more than 8 bits; mean and std are then in their unit / 255

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W), of volumes (C, D, H, W)."""
        return (len(self.mean), *self.size)

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W), of volumes None."""
        return (self.size[0], self.size[1]) if len(self.size) == 2 else None

    def check(self, dataset: Dataset) -> None:
        """Require images of the channels and size of the training data."""
        self._images(dataset)

    def inputs(self, dataset: Dataset) -> Tensor | ImageFiles:
        """Images (N, C, H, W) in the colours that training saw, or volumes (N, C, D, H, W)."""
        return _in_colour(self._images(dataset), self.colour)

    def _images(self, dataset: Dataset) -> Tensor | ImageFiles:
        x = dataset.x
        if isinstance(x, Table):
            raise InputError(f"{dataset.name}: expected images, as in training, got a table.")
        if len(self.size) == 2 and len(self.mean) == 3 and x.shape[1] == 1:  # grey is equal parts of colours
            x = replace(x, channels=3) if isinstance(x, ImageFiles) else x.expand(-1, 3, -1, -1)
        if tuple(x.shape[1:]) != self.shape:
            raise InputError(
                f"{dataset.name}: expected images of (channels, ..., height, width) {self.shape}, as in "
                f"training, got {tuple(x.shape[1:])}; image_size brings a folder of images to a size."
            )
        if _deep(x) != self.deep:
            kinds = ("8 bits", "more than 8 bits")
            raise InputError(
                f"{dataset.name}: expected images of {kinds[self.deep]} a value, as in training, "
                f"got {kinds[not self.deep]}; write them at the depth of the training data."
            )
        return x

    def normalise(self, x: Tensor) -> Tensor:
        """(x / 255 - mean) / std, float32, for ``x`` of any type."""
        scale, shift = _affine(self.mean, self.std, len(self.size), x.device)
        return x.to(torch.float32, copy=True).mul_(scale).add_(shift)


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A numeric column: fill, then (x - mean) / std; ``flagged`` adds a column, 1 where x was missing."""

    name: str
    fill: float
    mean: float
    std: float
    flagged: bool
    type: ColumnType = NUMBER


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A categorical column: one column per category; an unknown one is all zeros. None stands for missing."""

    name: str
    categories: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True)
class TableEncoding(Encoding):
    """Tables: standardised numbers, flags of missing numbers, one column per category of each text."""

    numbers: tuple[NumberColumn, ...]
    texts: tuple[TextColumn, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(D,), D the encoded columns."""
        flags = sum(column.flagged for column in self.numbers)
        return (len(self.numbers) + flags + sum(len(column.categories) for column in self.texts),)

    @property
    def schema(self) -> Schema:
        """Classes, and the type of every column."""
        columns = {column.name: column.type for column in self.numbers}
        categories = {column.name: column.categories for column in self.texts}
        return Schema(self.classes, columns | dict.fromkeys(categories, TEXT), categories)

    def check(self, dataset: Dataset) -> None:
        """Require the columns of the training data; further ones are ignored."""
        self._columns(dataset)

    def inputs(self, dataset: Dataset) -> Tensor:
        """(N, D) float32."""
        encoded = np.empty((len(dataset), *self.shape), dtype=np.float32)
        for place, column in enumerate(self._encoded(self._columns(dataset))):
            encoded[:, place] = column  # one at a time: the features of a network are thousands
        return torch.from_numpy(encoded)

    def _encoded(self, raw: dict[str, NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """The D columns, in their order."""
        for c in self.numbers:
            x = raw[c.name].astype(np.float64)
            yield (np.where(np.isnan(x), c.fill, x) - c.mean) / c.std
        for c in self.numbers:
            if c.flagged:
                yield np.isnan(raw[c.name].astype(np.float64))
        for text in self.texts:
            for category in text.categories:
                yield raw[text.name] == category

    def normalise(self, x: Tensor) -> Tensor:
        """``x`` as it is: :meth:`inputs` has standardised it."""
        return x

    def _columns(self, dataset: Dataset) -> dict[str, NDArray[Any]]:
        """The raw columns by name, each of the kind that training saw."""
        table = dataset.x
        if not isinstance(table, Table):
            raise InputError(f"{dataset.name}: expected a table, as in training, got images.")
        numeric = dict(zip(table.numeric_names, table.numeric.T, strict=True))
        texts = dict(zip(table.categorical_names, table.categorical.T, strict=True))
        expected = [(column.name, numeric, "numbers") for column in self.numbers]
        expected += [(column.name, texts, "texts") for column in self.texts]
        absent = [name for name, _, _ in expected if name not in numeric and name not in texts]
        if absent:
            raise InputError(f"{dataset.name}: lacks the columns {', '.join(absent)}, which training had.")
        for name, there, kind in expected:
            if name not in there and not missing(texts.get(name, np.zeros(1))).all():
                raise InputError(f"{dataset.name}, column {name}: expected {kind}, as in training.")
        return texts | numeric


def fit_encoding(dataset: Dataset, rows: Rows, colour: str | None = None) -> Encoding:
    """The encoding learnt from the training ``rows`` of ``dataset``, and from nothing else.

    Args:
        dataset: images or a table.
        rows: those to learn from.
        colour: "shades-of-grey" takes the colour of the light out of every image first; see
            :func:`steelyard.data.shades_of_grey`.

    Raises:
        InputError: if there are no rows, a text column has so many categories that it is no category, or
            ``colour`` is asked for a table or for grey images.

    >>> from steelyard.data import read
    >>> encoding = fit_encoding(read("digits"), np.arange(1000))
    >>> encoding.shape, Encoding.from_json(encoding.to_json()) == encoding
    ((1, 8, 8), True)
    """
    if not len(rows):
        raise InputError(f"{dataset.name}: expected training rows, got none.")
    common: dict[str, Any] = {"classes": dataset.classes, "multilabel": dataset.multilabel}
    if isinstance(dataset.x, Table):
        if colour is not None:
            raise InputError("colour changes images, the data is a table; leave it out.")
        table = dataset.x.take(rows)
        kinds = (table.types.get(name, NUMBER) for name in table.numeric_names)
        numbers = map(_number_column, table.numeric_names, table.numeric.T, kinds)
        texts = map(_text_column, table.categorical_names, table.categorical.T)
        return TableEncoding(**common, numbers=tuple(numbers), texts=tuple(texts))
    mean, std = _mean_and_std(dataset.x, rows, colour)
    size, deep = tuple(dataset.x.shape[2:]), _deep(dataset.x)
    return ImageEncoding(**common, size=size, mean=mean, std=std, colour=colour, deep=deep)


def unscaled(dataset: Dataset, rows: Rows, colour: str | None = None) -> ImageEncoding:
    """Images as x / 255 and no more, for a model that brings them to mean and deviation itself.

    Images of more than 8 bits are scaled so that the values in the training ``rows`` reach from 0 to 1.

    Raises:
        InputError: if the data is a table.
    """
    if isinstance(dataset.x, Table):
        raise InputError(f"{dataset.name}: expected images, got a table.")
    channels, *size = dataset.x.shape[1:]
    deep = _deep(dataset.x)
    low, high = _range(dataset.x, rows) if deep else (0.0, 255.0)
    return ImageEncoding(
        classes=dataset.classes,
        multilabel=dataset.multilabel,
        size=tuple(size),
        mean=(low / 255,) * channels,
        std=((high - low) / 255,) * channels,
        colour=colour,
        deep=deep,
    )


def _deep(x: Tensor | ImageFiles) -> bool:
    """Whether ``x`` holds images of more than 8 bits a value; volumes may be of any kind, and change it."""
    return x.deep if isinstance(x, ImageFiles) else x.ndim == 4 and x.is_floating_point()


def _in_colour(x: Tensor | ImageFiles, colour: str | None) -> Tensor | ImageFiles:
    """Images in the ``colour`` asked for; image files change as they are decoded."""
    if colour is None:
        return x
    change = COLOURS[one_of("colour", colour, COLOURS)]
    return replace(x, change=change) if isinstance(x, ImageFiles) else change(x)


def _number_column(name: str, values: NDArray[np.float64], of_type: ColumnType) -> NumberColumn:
    gaps = np.isnan(values)
    fill = 0.0 if gaps.all() else float(np.median(values[~gaps]))
    filled = np.where(gaps, fill, values)
    std = float(filled.std()) if np.ptp(filled) > 0 else 1.0  # of a constant, rounding would leave 1e-17
    return NumberColumn(name, fill, float(filled.mean()), std, bool(gaps.any()), of_type)


def _text_column(name: str, values: NDArray[np.object_]) -> TextColumn:
    categories = sorted(set(values.tolist()), key=lambda text: (text is None, text or ""))
    if len(categories) > _MOST_CATEGORIES:
        raise InputError(
            f"column {name}: {len(categories)} different texts in the training rows, expected "
            f"at most {_MOST_CATEGORIES}; remove the column or group its values."
        )
    return TextColumn(name, tuple(categories))


def _mean_and_std(
    x: Tensor | ImageFiles, rows: Rows, colour: str | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, of x / 255; of image files an even sample is looked at."""
    total = square = torch.zeros(x.shape[1], dtype=torch.float64)
    rows = _looked_at(x, rows)
    for images in _chunks(x, rows, colour):
        values = images.transpose(0, 1).flatten(1).double() / 255
        total, square = total + values.sum(1), square + values.square().sum(1)
    number = len(rows) * math.prod(x.shape[2:])
    mean = total / number
    std = (square / number - mean.square()).clamp_min(0).sqrt()
    of_any_unit = _deep(x) or (isinstance(x, Tensor) and x.is_floating_point())
    least = 1e-6 * mean.abs() if of_any_unit else 1e-6
    std = torch.where(std > least, std, 1.0)  # a channel of one value stays finite
    return tuple(mean.tolist()), tuple(std.tolist())


def _range(x: Tensor | ImageFiles, rows: Rows) -> tuple[float, float]:
    """The smallest and the largest value, which differ by something; of image files in an even sample."""
    extremes = [images.aminmax() for images in _chunks(x, _looked_at(x, rows), None)]
    low = min(float(found.min) for found in extremes)
    high = max(float(found.max) for found in extremes)
    return low, high if high > low else low + 1.0


def _looked_at(x: Tensor | ImageFiles, rows: Rows) -> Rows:
    return rows[:: -(-len(rows) // _MOST_FILES)] if isinstance(x, ImageFiles) else rows


def _chunks(x: Tensor | ImageFiles, rows: Rows, colour: str | None) -> Iterator[Tensor]:
    """Images of ``rows``, decoded and in the ``colour`` asked for, some at a time."""
    size = max(1, min(_CHUNK, _CHUNK_VALUES // math.prod(x.shape[1:])))
    for chunk in np.array_split(rows, -(-len(rows) // size)):
        some = _in_colour(x.take(chunk) if isinstance(x, ImageFiles) else x[torch.from_numpy(chunk)], colour)
        yield some.decoded(np.arange(len(some))) if isinstance(some, ImageFiles) else some.cpu()


@lru_cache(maxsize=16)
def _affine(
    mean: tuple[float, ...], std: tuple[float, ...], axes: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Factor and summand (C, 1, ...), 1 for each of ``axes``; made per batch they would stall a GPU."""
    spread = torch.tensor(std, dtype=torch.float64)
    scale, shift = 1 / (255 * spread), -torch.tensor(mean, dtype=torch.float64) / spread
    shape = (-1, *[1] * axes)
    return scale.float().view(shape).to(device), shift.float().view(shape).to(device)
