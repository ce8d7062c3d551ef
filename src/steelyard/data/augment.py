"""Augmentation: random changes of images, another one for each sample, on the device where the images are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce
from types import MappingProxyType

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from steelyard._checks import InputError, one_of
from steelyard.words import Word

Augmentation = Callable[[Tensor, Generator], Tensor]


def crop(x: Tensor, generator: Generator, padding: int = 4) -> Tensor:
    """Images ``x`` (N, C, H, W) moved by -padding..padding pixels on each axis, uniformly; black comes in.

    >>> x = torch.ones(2, 1, 4, 4, dtype=torch.uint8)
    >>> crop(x, torch.Generator().manual_seed(0), padding=0).equal(x)
    True
    """
    n, _, height, width = x.shape
    windows = pad(x, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)  # a view, all places at once
    place = torch.randint(2 * padding + 1, (2, n), generator=generator, device=x.device)
    return windows[torch.arange(n, device=x.device), :, place[0], place[1]]


def flip(x: Tensor, generator: Generator) -> Tensor:
    """Images ``x`` (N, C, H, W), each mirrored left to right with probability 1/2."""
    return _mirrored(x, -1, generator)


def vflip(x: Tensor, generator: Generator) -> Tensor:
    """Images ``x`` (N, C, H, W), each turned upside down with probability 1/2."""
    return _mirrored(x, -2, generator)


AUGMENTATIONS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"crop": crop, "flip": flip, "vflip": vflip}
)


def augmentation(text: str) -> Augmentation:
    """The augmentations named in ``text``, one after the other.

    Raises:
        InputError: if a name or parameter is unknown.

    >>> augment = augmentation("crop(padding=2)+flip")
    >>> augment(torch.zeros(5, 3, 8, 8), torch.Generator()).shape
    torch.Size([5, 3, 8, 8])
    """
    steps = [_step(Word.parse(part)) for part in text.split("+")]
    return lambda x, generator: reduce(lambda image, step: step(image, generator), steps, x)


def _step(word: Word) -> Augmentation:
    name = one_of("augmentation", word.name, AUGMENTATIONS)
    for parameter, value in word.params.items():
        one_of(f"parameter of {name}", parameter, ["padding"] if name == "crop" else [])
        if not isinstance(value, int) or value < 0:
            raise InputError(f"padding must be a whole number of pixels of at least 0, got {value!r}.")
    return partial(AUGMENTATIONS[name], **word.params)


def _mirrored(x: Tensor, axis: int, generator: Generator) -> Tensor:
    heads = torch.randint(2, (len(x), 1, 1, 1), generator=generator, device=x.device).bool()
    return torch.where(heads, x.flip(axis), x)
