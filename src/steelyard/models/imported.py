"""A user's own network, by the import path of the function that makes it."""

from __future__ import annotations

import importlib
import inspect
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from steelyard._checks import InputError
from steelyard.models.classifier import Classifier, Maker

if TYPE_CHECKING:
    from collections.abc import Callable


def from_path(path: str) -> Maker:
    """Import the maker at ``path``, such as ``my_package.nets:make``; the working folder is searched first.

    What it makes is tried on two samples of zeros. A network that is no :class:`Classifier` becomes one whose
    features are the input of the last ``nn.Linear`` that the trial ran through; if there is none, the logits.

    Args:
        path: ``module:attribute``; the attribute is called as ``make(input_shape, num_classes, **params)``.

    Returns:
        A maker of the same form as those in ``MODELS``.

    Raises:
        InputError: if nothing callable is found there; and, from the maker, if the call does not fit the
            signature, or gives no ``nn.Module`` that turns a batch (2, ...) into logits (2, C).

    >>> make = from_path("steelyard.models.mlp:mlp")
    >>> make((30,), 2)(torch.zeros(5, 30)).shape
    torch.Size([5, 2])
    """
    make = _imported(path)

    def checked(input_shape: tuple[int, ...], num_classes: int, **params: Any) -> Classifier:
        try:
            inspect.signature(make).bind(input_shape, num_classes, **params)
        except TypeError as error:
            raise InputError(
                f"{path!r} must accept (input_shape, num_classes, **params) with the parameters given "
                f"({', '.join(params) or 'none'}): {error}."
            ) from error
        net = make(input_shape, num_classes, **params)
        if not isinstance(net, nn.Module):
            raise InputError(f"{path!r} must return a torch.nn.Module, got {type(net).__name__}.")
        last = _try(path, net, input_shape, num_classes)
        return net if isinstance(net, Classifier) else ImportedClassifier(net, last)

    return checked


class ImportedClassifier(Classifier):
    """A whole network as the backbone, with its features looked up inside it.

    The network runs unchanged, so the head only passes its logits on. To exchange the head, make a
    :class:`Classifier` in your own code.

    Args:
        net: from a batch (N, ...) to logits (N, C).
        last: name in ``net`` of the layer whose input (N, D) is the features; None: the logits are.
    """

    def __init__(self, net: nn.Module, last: str | None) -> None:
        super().__init__(net, nn.Identity())
        self.last = last

    @property
    def last_linear(self) -> nn.Linear | None:
        """The layer ``last``, which has to give the logits themselves."""
        layer = None if self.last is None else self.backbone.get_submodule(self.last)
        return layer if isinstance(layer, nn.Linear) else None

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, C) of a batch ``x`` (N, ...)."""
        logits: Tensor = self.backbone(x)
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Features (N, D) of a batch ``x`` (N, ...): the input of the layer ``last``."""
        if self.last is None:
            return self.forward(x)
        seen: list[Tensor] = []
        layer = self.backbone.get_submodule(self.last)
        hook = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        try:
            self.backbone(x)
        finally:
            hook.remove()
        return seen[-1]

    @property
    def in_sequence(self) -> tuple[nn.Module, ...]:
        """The network as a whole: the head stands inside it."""
        return (self.backbone,)


def _imported(path: str) -> Callable[..., Any]:
    module_name, colon, name = path.partition(":")
    if not (colon and name and module_name and not module_name.startswith(".")):
        raise InputError(f"expected a model as 'package.module:function', got {path!r}.")
    if str(Path.cwd()) not in sys.path:  # a console command lacks what `python -m` has
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"cannot import {module_name!r} for the model {path!r}: {error}. "
            "Run from the folder that holds it, or install it."
        ) from error
    make: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(make):
        fault = "is not callable" if hasattr(module, name) else "does not exist"
        raise InputError(
            f"expected a function that makes a model at {path!r}, but {name!r} {fault} in {module.__file__}."
        )
    return make


def _try(path: str, net: nn.Module, input_shape: tuple[int, ...], num_classes: int) -> str | None:
    """Run two samples of zeros through ``net``; return the name of its last linear layer that read (2, D)."""
    ran: list[str] = []

    def note(name: str, _: nn.Module, args: tuple[Any, ...]) -> None:
        if args and args[0].ndim == 2 and len(args[0]) == 2:
            ran.append(name)

    linear = [(name, layer) for name, layer in net.named_modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_pre_hook(partial(note, name)) for name, layer in linear]
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            logits = net(torch.zeros(2, *input_shape))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"the model of {path!r} fails on a batch of shape {(2, *input_shape)}: {reason}"
        ) from error
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, Tensor) or logits.shape != (2, num_classes):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"the model of {path!r} must turn a batch of shape {(2, *input_shape)} into logits of shape "
            f"{(2, num_classes)}, got {got}."
        )
    return ran[-1] if ran else None
