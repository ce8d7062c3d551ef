"""Dense prediction: a class for every pixel, with pixels or whole images as the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard import _checks as check
from steelyard.functional.gradients import per_sample
from steelyard.losses.wrapper import LossWrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from steelyard.losses.loss import Reduction


class PerImage(LossWrapper):
    """A loss of classes (N, C), made one of images: each image's loss is the mean over its pixels.

    Takes logits (N, C, ...) and target (N, ...), usually (N, C, H, W) and (N, H, W), and gives (N,).

    Args:
        loss: any callable ``((M, C), (M,)) -> (M,)``. One that remembers samples knows a pixel by its image.
        reduction: as in :class:`steelyard.losses.Loss`.

    >>> import torch
    >>> from steelyard.losses import CrossEntropy
    >>> PerImage(CrossEntropy())(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64))
    tensor([1.0986, 1.0986])
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], reduction: Reduction = "none") -> None:
        super().__init__(loss, reduction)

    def check_input(self, logits: Tensor, target: Tensor) -> None:
        """Left to :func:`as_rows` and to the loss of pixels."""

    def losses_of(self, logits: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
        """(N,) losses of the images."""
        value = per_sample(self.base_of(index_of_rows(index, target)), *as_rows(logits, target))
        return value.unflatten(0, target.shape).flatten(1).mean(1) if target.ndim > 1 else value


def as_rows(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Every pixel as a sample of its own: (N, C, ...) and (N, ...) become (M, C) and (M,).

    Pixels follow each other image by image, row by row. Logits (N, C) stay as they are.

    >>> import torch
    >>> [tuple(x.shape) for x in as_rows(torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, 5))]
    [(40, 3), (40,)]

    Raises:
        InputError: if the target does not give one class for each pixel.
    """
    if logits.ndim < 2 or target.shape != logits.shape[:1] + logits.shape[2:]:
        raise check.InputError(
            "expected logits of shape (N, C, ...) and target of shape (N, ...), "
            f"got {tuple(logits.shape)} and {tuple(target.shape)}."
        )
    return logits.movedim(1, -1).flatten(0, -2), target.flatten()


def index_of_rows(index: Tensor | None, target: Tensor) -> Tensor | None:
    """The (M,) index of each pixel, in the order of :func:`as_rows`: the (N,) one of its image.

    >>> import torch
    >>> index_of_rows(torch.tensor([7, 9]), torch.zeros(2, 1, 3)).tolist()
    [7, 7, 7, 9, 9, 9]
    """
    return index if index is None else index.repeat_interleave(target[:1].numel())
