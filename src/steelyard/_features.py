"""The features of any network: what its last linear layer reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from steelyard._checks import InputError

if TYPE_CHECKING:
    from torch import Tensor


def last_linear(model: nn.Module) -> nn.Linear:
    """The linear layer that makes the logits of ``model``.

    It is the one that the model names by an attribute ``last_linear``, as every
    :class:`steelyard.models.Classifier` does; else the linear layer that was registered last.

    Raises:
        InputError: if there is none.

    >>> last_linear(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    Linear(in_features=8, out_features=3, bias=True)
    """
    linear = [part for part in model.modules() if isinstance(part, nn.Linear)]
    layer: Any = getattr(model, "last_linear", linear[-1] if linear else None)
    if not isinstance(layer, nn.Linear):
        raise InputError(
            f"{type(model).__name__} does not end in a linear layer, whose input would be the features; "
            "give it one, or name it by an attribute last_linear of the model."
        )
    return layer


class LastInput:
    """Keeps what the last linear layer of ``model`` read in the last forward pass, with its gradient.

    Copy model and keeper together, ``copy.deepcopy((model, keeper))``, and the copies belong together. A copy
    forgets what was kept.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> features, _ = LastInput(model), model(torch.zeros(2, 4))
    >>> features.rows(2).shape
    torch.Size([2, 8])
    """

    def __init__(self, model: nn.Module) -> None:
        layer = last_linear(model)
        self.size = layer.in_features
        self._kept: Tensor | None = None
        self.remove = layer.register_forward_pre_hook(self).remove

    def __call__(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        """The hook."""
        self.keep(args[0])

    def keep(self, features: Tensor) -> None:
        """Keep these (N, ``size``), as if the layer had read them."""
        self._kept = features

    def rows(self, count: int) -> Tensor:
        """The features (N, ``size``) of the last forward pass, if they are of ``count`` samples.

        Raises:
            InputError: if they are of other samples, or there was no forward pass.
        """
        if self._kept is None or self._kept.shape != (count, self.size):
            found = "nothing yet" if self._kept is None else f"features of shape {tuple(self._kept.shape)}"
            raise InputError(
                f"expected the model to have run on these {count} samples just before, but its last linear "
                f"layer read {found}; compute the logits with the model that the loss was given."
            )
        return self._kept

    def __getstate__(self) -> dict[str, Any]:
        return {"size": self.size, "_kept": None}  # what is kept belongs to a graph, which cannot be copied
