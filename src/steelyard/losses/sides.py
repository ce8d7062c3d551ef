"""What a target decides between: the classes of a sample, or the two sides of each of its labels."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from steelyard import _checks as check
from steelyard.functional import two_class_logits


class Sides(Protocol):
    """How a target picks its logits of a sample, and which side each of them is on."""

    count: int
    each: tuple[int, ...]  # the shape of what is known of one sample

    def check_input(self, logits: Tensor, target: Tensor) -> None:
        """Refuse shapes and types that cannot be meant; looks at no value."""

    def number(self, target: Tensor) -> Tensor:
        """(N, *each) the sides that the target is on, counted from 0."""

    def own(self, logits: Tensor, target: Tensor, bias: Tensor | None) -> Tensor:
        """(N, *each) what speaks for the target: its logits less the bias, of the sign that is right."""

    def changed(self, logits: Tensor, target: Tensor, change: Tensor) -> Tensor:
        """The logits after ``change`` (N, *each) is added to what speaks for the target."""

    def exclusive(self, logits: Tensor) -> Tensor:
        """Logits (..., C) of classes that exclude each other, from (passes, N, outputs)."""

    def names(self, what: str) -> list[str]:
        """Columns of a history that hold ``what`` of each side, in the order of their numbers."""


class Classes:
    """One class per sample, targets (N,): every class is a side."""

    each: tuple[int, ...] = ()

    def __init__(self, outputs: int) -> None:
        self.count = outputs

    def check_input(self, logits: Tensor, target: Tensor) -> None:
        """As every loss."""
        if target.ndim == 2 and target.shape == logits.shape:
            raise check.InputError(
                f"expected one class per sample, target of shape (N,), got {tuple(target.shape)}; where a "
                "sample may have several labels, give the margin a loss of labels, as in "
                "loss=steelyard.losses.BinaryCrossEntropy()."
            )
        check.logits_and_target(logits, target)

    def number(self, target: Tensor) -> Tensor:
        """The class."""
        return target.long()

    def own(self, logits: Tensor, target: Tensor, bias: Tensor | None) -> Tensor:
        """The logit of the class."""
        own = logits.gather(1, target.unsqueeze(1)).squeeze(1)
        return own if bias is None else own - bias[target]

    def changed(self, logits: Tensor, target: Tensor, change: Tensor) -> Tensor:
        """The other classes keep their logits."""
        return logits.scatter_add(1, target.unsqueeze(1), change.to(logits).unsqueeze(1))

    def exclusive(self, logits: Tensor) -> Tensor:
        """The logits."""
        return logits

    def names(self, what: str) -> list[str]:
        """``class_uncertainty[3]``: by the number of the class."""
        return [f"class_{what}[{c}]" for c in range(self.count)]


class Labels:
    """Several labels per sample, targets (N, L) of 0 and 1: without each label, then with each, 2L sides."""

    def __init__(self, outputs: int) -> None:
        self.count, self.labels = 2 * outputs, outputs
        self.each: tuple[int, ...] = (outputs,)

    def check_input(self, logits: Tensor, target: Tensor) -> None:
        """The logits must be of as many labels as the model has."""
        if logits.ndim != 2 or logits.shape[1:] != self.each or target.shape != logits.shape:
            raise check.InputError(
                f"expected logits and target of shape (N, {self.labels}), a column for each label, "
                f"got {tuple(logits.shape)} and {tuple(target.shape)}."
            )
        check.raw_scores(logits)

    def number(self, target: Tensor) -> Tensor:
        """The label, and L more where the sample has it."""
        return (target > 0) * self.labels + torch.arange(self.labels, device=target.device)

    def own(self, logits: Tensor, target: Tensor, bias: Tensor | None) -> Tensor:
        """The logit of a label that is there, its negative of one that is not."""
        own = logits if bias is None else logits - bias
        return torch.where(target > 0, own, -own)

    def changed(self, logits: Tensor, target: Tensor, change: Tensor) -> Tensor:
        """Raised where the label is there, lowered where it is not."""
        return logits + torch.where(target > 0, change, -change).to(logits)

    def exclusive(self, logits: Tensor) -> Tensor:
        """Of each label two classes: without it, with it."""
        return two_class_logits(logits)

    def names(self, what: str) -> list[str]:
        """``uncertainty_without[3]``, ``uncertainty_with[3]``: by the number of the label."""
        return [f"{what}_{side}[{label}]" for side in ("without", "with") for label in range(self.labels)]
