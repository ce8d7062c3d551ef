"""Batches of a data set: cut from memory by index or streamed from image files, in the same order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from steelyard._checks import InputError, at_least
from steelyard.records import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steelyard.data.augment import Augmentation
    from steelyard.data.dataset import Rows
    from steelyard.data.encoding import Encoding
    from steelyard.data.images import ImageFiles

_ORDER, _AUGMENT, _CHOICE = 0, 1, 2  # streams of random numbers


@dataclass(eq=False)
class Batches:
    """Iterates over ``rows`` of a data set in batches.

    The order of an epoch, and what augmentation does in it, depend on ``seed`` and the epoch's number alone:
    a run that is resumed at epoch e sees what it would have seen. Data in memory move to
    ``device`` once.

    Raises:
        InputError: if there are no rows, ``batch_size`` is below 1, or augmentation is asked for a table.

    >>> from steelyard.data import fit_encoding, read
    >>> digits, rows = read("digits"), np.arange(100)
    >>> encoding = fit_encoding(digits, rows)
    >>> batches = Batches(encoding.inputs(digits), digits.target, rows, encoding, batch_size=64, shuffle=True)
    >>> [batch.x.shape[0] for batch in batches]
    [64, 36]
    """

    x: (
        Tensor | ImageFiles
    )  # of ``encoding.inputs``; a tensor that is on the device already is shared, not copied
    target: Tensor  # (N,) of the whole data set
    rows: Rows  # those to iterate over
    encoding: Encoding
    batch_size: int = field(kw_only=True)
    device: torch.device | str = field(default="cpu", kw_only=True)
    shuffle: bool = field(default=False, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    augment: Augmentation | None = field(default=None, kw_only=True)
    workers: int = field(default=2, kw_only=True)  # processes that decode image files; 0 decodes in this one

    def __post_init__(self) -> None:
        at_least("batch_size", self.batch_size, 1)
        if not len(self.rows):
            raise InputError("expected rows to make batches of, got none.")
        if self.augment is not None and len(self.encoding.shape) != 3:
            kind = "a table" if len(self.encoding.shape) == 1 else "volumes"
            raise InputError(f"augmentation changes images, the data is {kind}; leave it out.")
        self.device = torch.device(self.device)
        self.target = self.target.to(self.device)
        if isinstance(self.x, Tensor):
            self.x = self.x.to(self.device)
        self._epoch = 0
        self._presample = 1
        self._probabilities: Tensor | None = None

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.rows), self.batch_size)
        return max(1, whole + (rest > self.shuffle))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0 on, that iterating gives; without it every epoch is like the first."""
        self._epoch = epoch

    def set_presample(self, presample: int) -> None:
        """Yield, ``presample`` times as large, batches of candidates, among which the training chooses.

        An epoch has as many batches as before, and passes ``presample`` times over the rows. Each batch
        begins with the samples that it would have without candidates.
        """
        self._presample = presample

    def plain(self) -> Batches:
        """The same samples, each once, in the order of the rows and not augmented."""
        return replace(self, shuffle=False, augment=None)

    def generator(self) -> torch.Generator:
        """Random numbers on the device for choices among this epoch's samples: of seed and epoch alone."""
        return self._generator(_CHOICE, self.device)

    def set_probabilities(self, probabilities: Tensor | None) -> None:
        """Draw from ``rows`` with replacement, by these (len(rows),) weights; None ends it.

        Raises:
            InputError: if there is not one for each row.
        """
        if probabilities is not None and probabilities.shape != (len(self.rows),):
            raise InputError(
                f"expected a probability for each of the {len(self.rows)} rows, "
                f"got the shape {tuple(probabilities.shape)}."
            )
        self._probabilities = probabilities

    def __iter__(self) -> Iterator[Batch]:
        order = self._generator(_ORDER, "cpu")
        passes = [self._chunks(self._order(order)) for _ in range(self._presample)]
        chunks = tuple(torch.cat(parts) for parts in zip(*passes, strict=True))
        generator = self._generator(_AUGMENT, self.device)
        for x, index in (
            self._cut(self.x, chunks) if isinstance(self.x, Tensor) else self._streamed(self.x, chunks)
        ):
            changed = x if self.augment is None else self.augment(x, generator)
            yield Batch(self.encoding.normalise(changed), self.target.index_select(0, index), index)

    def _order(self, generator: torch.Generator) -> Tensor:
        """The rows of one pass, in their order."""
        rows = torch.from_numpy(np.asarray(self.rows, dtype=np.int64))
        if self._probabilities is not None:
            weights = self._probabilities.detach().to("cpu", torch.float64)
            return rows[torch.multinomial(weights, len(rows), replacement=True, generator=generator)]
        return rows[torch.randperm(len(rows), generator=generator)] if self.shuffle else rows

    def _chunks(self, order: Tensor) -> tuple[Tensor, ...]:
        """The order cut into batches; when shuffled, a last batch of one sample joins the one before."""
        chunks = torch.split(order, self.batch_size)
        if len(chunks) > len(self):  # batch normalisation cannot train on a single sample
            return (*chunks[:-2], torch.cat(chunks[-2:]))
        return chunks

    def _generator(self, stream: int, device: torch.device | str) -> torch.Generator:
        state = np.random.SeedSequence(self.seed, spawn_key=(self._epoch, stream)).generate_state(
            1, np.uint64
        )
        return torch.Generator(device).manual_seed(int(state[0]))

    def _cut(self, x: Tensor, chunks: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, Tensor]]:
        sizes = [len(chunk) for chunk in chunks]
        for index in torch.split(torch.cat(chunks).to(self.device), sizes):  # moved in one copy
            yield x.index_select(0, index), index

    def _streamed(self, files: ImageFiles, chunks: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, Tensor]]:
        loader = DataLoader(
            _Decoded(files, threads=1 if self.workers else None),
            sampler=chunks,
            batch_size=None,  # a chunk is one item: decoded whole, by one process
            num_workers=self.workers,
            pin_memory=torch.device(self.device).type == "cuda",
            generator=torch.Generator(),  # else the loader would draw from the global one
        )
        for x, index in zip(loader, chunks, strict=True):
            yield x.to(self.device, non_blocking=True), index.to(self.device)


class _Decoded(torch.utils.data.Dataset[Tensor]):
    """Image files as a data set whose items are batches."""

    def __init__(self, files: ImageFiles, threads: int | None) -> None:
        self.files = files
        self.threads = threads

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self.files.decoded(rows.numpy(), self.threads)

    def __len__(self) -> int:
        return len(self.files)
