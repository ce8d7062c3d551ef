"""Dense prediction: a class for every pixel, with pixels or whole images as the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from steelyard import _checks as check

if TYPE_CHECKING:
    from collections.abc import Callable


class PerImage(nn.Module):
    """A loss of classes (N, C), made one of images: each image's loss is the mean over its pixels.

    Takes logits (N, C, ...) and target (N, ...), usually (N, C, H, W) and (N, H, W), and gives (N,).

    Args:
        loss: any callable ``((M, C), (M,)) -> (M,)``.

    >>> import torch
    >>> from steelyard.losses import CrossEntropy
    >>> PerImage(CrossEntropy())(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64))
    tensor([1.0986, 1.0986])
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss
        self.separable = getattr(loss, "separable", True)
        self.reduction = getattr(loss, "reduction", "none")  # other than "none" is for Objective to refuse

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N,) losses of the images."""
        value: Tensor = self.loss(*as_rows(logits, target))
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
