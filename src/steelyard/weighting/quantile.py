"""A quantile of recent losses, for weightings that ask whether a loss is large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from steelyard import _checks as check
from steelyard import _ranks

if TYPE_CHECKING:
    from torch import Tensor


class RunningQuantile(nn.Module):
    """Moving average of a quantile of each batch's losses; in training, of the joint batch of all ranks.

    Args:
        momentum: in [0, 1], the share that stays of the former value. The first batch sets the value.

    >>> running = RunningQuantile(momentum=0.5)
    >>> running(torch.tensor([1.0, 2.0, 3.0]), 0.5), running(torch.tensor([4.0]), 0.5)
    (tensor(2.), tensor(3.))
    """

    value: Tensor

    def __init__(self, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = check.between("momentum", momentum, 0, 1)
        self.register_buffer("value", torch.tensor(torch.nan, dtype=torch.float64))

    def forward(self, loss: Tensor, share: Tensor | float) -> Tensor:
        """The average, a scalar like ``loss`` (N,), after the quantile ``share`` of these losses joined it.

        A ``share`` that is a tensor has the type and the device of ``loss``. In evaluation mode
        nothing joins the average.
        """

        def of_rows(rows: Tensor) -> Tensor:
            return torch.quantile(rows, share).expand(len(rows))

        now = _ranks.on_joint_rows(of_rows, loss) if self.training else of_rows(loss)
        value = now[0].to(self.value)
        known = value.where(self.value.isnan(), self.value)
        if self.training:
            known = torch.lerp(value, known, self.momentum)
            self.value.copy_(known)
        return known.to(loss)
