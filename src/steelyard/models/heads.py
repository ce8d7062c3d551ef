"""Heads whose logits can be read as cosines, so that a loss can set a margin on the angle."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch user knows
from torch import Tensor, nn

from steelyard import _checks as check

KINDS = ("linear", "sphere", "cosine")


class MarginHead(nn.Linear):
    """A linear layer that says how long its logits are: ``logit = length * cos(angle) + bias``.

    Its logits are plain: they know no label and no margin, in training as in prediction. It remembers the
    length of the features of the last batch, with their gradient, for the loss that sets the margin.

    Args:
        in_features: D.
        out_features: C.
        kind: ``"linear"``, ``w_j f + b_j`` as ``nn.Linear``; ``"sphere"``, ``|f| cos``, for which each weight
            vector is divided by its length; ``"cosine"``, the cosines alone. The last two have no bias.

    >>> head = MarginHead(2, 2, "sphere")
    >>> features = torch.tensor([[3.0, 4.0]])
    >>> head(features).abs().amax() <= 5, head.lengths(torch.tensor([0])).detach()
    (tensor(True), tensor([5.]))
    """

    def __init__(self, in_features: int, out_features: int, kind: str = "linear") -> None:
        super().__init__(in_features, out_features, bias=kind == "linear")
        self.kind = check.one_of("kind of head", kind, KINDS)
        self.feature_length: Tensor | None = None

    @classmethod
    def of(cls, layer: nn.Linear, kind: str = "linear") -> Self:
        """The head with the very parameters of ``layer``: an optimiser that knows them goes on with them.

        So does whoever reads what ``layer`` is given, by a hook.

        >>> net = nn.Linear(4, 3)
        >>> head = MarginHead.of(net)
        >>> head.weight is net.weight, bool((head(torch.ones(1, 4)) == net(torch.ones(1, 4))).all())
        (True, True)
        """
        if isinstance(layer, cls) and layer.kind == kind:
            return layer
        with torch.device("meta"):  # where layers draw no initial weights
            head = cls(layer.in_features, layer.out_features, kind)
        head.weight = layer.weight
        head.register_parameter("bias", layer.bias if kind == "linear" else None)
        head._forward_pre_hooks = layer._forward_pre_hooks  # noqa: SLF001 - torch has no public way
        return head.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, C) of features ``x`` (N, D)."""
        if self.kind == "cosine":
            return F.linear(F.normalize(x), F.normalize(self.weight))
        self.feature_length = torch.linalg.vector_norm(
            x, dim=1, dtype=torch.promote_types(x.dtype, torch.float32)
        )
        if self.kind == "sphere":
            return F.linear(x, F.normalize(self.weight))
        return super().forward(x)

    def lengths(self, target: Tensor) -> Tensor:
        """Largest values, less the bias, that logits of the last batch could have.

        Those of the targets' logits, (N,); for targets (N, L), of several labels, those of all, (N, L).

        Raises:
            InputError: if the last batch was not of the size of ``target``.
        """
        if self.kind == "cosine":
            return self.weight.new_ones(target.shape)
        length = self.feature_length
        if length is None or length.shape != target.shape[:1]:
            last = "none yet" if length is None else f"of {len(length)}"
            raise check.InputError(
                f"the margin needs the features of the {len(target)} samples, but the last batch of the "
                f"model's head was {last}; give the loss the logits of the model's last batch."
            )
        if self.kind == "sphere":
            return length if target.ndim == 1 else length.unsqueeze(1).expand(target.shape)
        weight_length: Tensor = torch.linalg.vector_norm(self.weight, dim=1)
        return weight_length[target] * length if target.ndim == 1 else weight_length * length.unsqueeze(1)

    def __getstate__(self) -> dict[str, object]:
        """Without the last batch: its graph can be neither copied nor saved."""
        return {**self.__dict__, "feature_length": None}

    def extra_repr(self) -> str:
        """Sizes and kind."""
        return f"{super().extra_repr()}, kind={self.kind!r}"
