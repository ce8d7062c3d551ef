"""Networks of timm, pretrained or not, below a head of our own; the only file that imports it."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from steelyard import _checks as check
from steelyard._checks import InputError
from steelyard.models.classifier import Classifier, image_shape
from steelyard.words import Word

if TYPE_CHECKING:
    from collections.abc import Sequence

WORD = "timm"  # the word of these networks
_NAME = "resnet18.a1_in1k"  # the network where none is named
_SMALLEST = 32  # pixels of a side: most of these networks divide it by 32


def from_timm(
    input_shape: tuple[int, ...],
    num_classes: int,
    name: str = _NAME,
    *,
    pretrained: bool = True,
    weights: str | None = None,
    image_size: int | None = None,
    hidden: int = 0,
    dropout: float = 0.0,
) -> Classifier:
    """Any image network of timm (extra ``vision``), pretrained or not, and a head for the classes.

    Images are brought to the size, the mean and the deviation that the network was trained with; grey ones
    become three equal channels. After the network's own pooling follow dropout, with ``hidden`` above 0 a
    fully connected layer with ReLU and dropout once more, and the last linear layer.

    Args:
        input_shape: (channels, height, width), 1 or 3 channels of at least 8x8.
        num_classes: C >= 1 logits.
        name: as in ``timm.list_models()``, with or without the tag of its weights.
        pretrained: fetch timm's weights, once, into its cache; else they are random.
        weights: ``.safetensors`` file with the weights of the network, in place of timm's.
        image_size: >= 32, side of the images that the network sees, in place of its own.
        hidden: >= 0 units of the layer between the network and the last one; 0 for no such layer.
        dropout: probability in [0, 1] before each linear layer of ours.

    Raises:
        InputError: without timm, for an unknown name, weights that cannot be had or do not fit, or another
            value outside its range.
    """
    shape = image_shape(WORD, input_shape, num_classes)
    check.between("dropout", dropout, 0, 1)
    check.whole("hidden", hidden, 0)
    if not isinstance(pretrained, bool):
        raise InputError(f"pretrained must be true or false, got {pretrained!r}.")
    if shape[0] not in (1, 3):
        raise InputError(f"{WORD} reads images of 1 or 3 channels, got {shape[0]}.")
    config = _config(name)
    size = _seen(config, image_size)
    net = _network(name, config, size, pretrained=pretrained and weights is None)
    if weights is not None:
        _load(net, name, Path(weights).expanduser())
    if image_size is not None:
        _try(net, name, image_size)
    width = net.head_hidden_size
    layers = [AsPretrained(size, config.mean, config.std), net, nn.Dropout(dropout)]
    if hidden:
        layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
    return PretrainedClassifier(nn.Sequential(*layers), nn.Linear(hidden or width, num_classes))


class PretrainedClassifier(Classifier):
    """A classifier that brings images to the mean and deviation of its own network."""

    standardises = True


class AsPretrained(nn.Module):
    """Images as a pretrained network reads them: three channels, its size, its mean and deviation.

    Args:
        size: (height, width) that images are brought to, by linear interpolation.
        mean: of each channel of images in 0..1.
        std: of each channel, > 0.

    >>> AsPretrained((4, 4), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))(torch.ones(2, 1, 8, 8))[0, :, 0, 0]
    tensor([1., 1., 1.])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.size = tuple(size)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, 1 or 3, H, W) in 0..1 to (N, 3, *size)."""
        if x.shape[-2:] != self.size:
            x = interpolate(x, self.size, mode="bilinear", antialias=True)
        return (x - self.mean) / self.std


def seen_size(word: Word) -> tuple[int, int]:
    """(height, width) of the images that the network of ``word`` sees, whatever it is given.

    Raises:
        InputError: without timm, for an unknown name, or a size below 32.
    """
    return _seen(_config(word.params.get("name", _NAME)), word.params.get("image_size"))


def without_weights(word: Word) -> Word:
    """The word of the same model, which loads nothing: for weights that are kept elsewhere.

    >>> str(without_weights(Word.parse("timm(name=vgg16, weights=vgg.safetensors, hidden=512)")))
    'timm(name=vgg16, hidden=512, pretrained=false)'
    """
    if word.name != WORD:
        return word
    params = {name: value for name, value in word.params.items() if name != "weights"}
    return Word(word.name, {**params, "pretrained": False})


def _timm() -> Any:
    try:
        return import_module("timm")
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
        raise InputError(
            f'the model {WORD} needs the extra vision: pip install "steelyard[vision]" ({error}).'
        ) from error


def _config(name: str) -> Any:
    """What timm knows of the network ``name``: size, mean and deviation of its images, and more."""
    timm = _timm()
    known = {*timm.list_models(), *timm.list_models(pretrained=True)}
    if name not in known:
        near = difflib.get_close_matches(str(name), sorted(known), n=3)
        hint = f" Near: {', '.join(near)}." if near else ""
        raise InputError(f"timm has no network {name!r}.{hint} timm.list_models() names all.")
    return timm.get_pretrained_cfg(name)


def _seen(config: Any, image_size: int | None) -> tuple[int, int]:
    if image_size is not None:
        return (check.whole("image_size", image_size, _SMALLEST),) * 2
    _, height, width = config.input_size
    return height, width


def _network(name: str, config: Any, size: tuple[int, int], *, pretrained: bool) -> Any:
    """The network without its classifier: from images to features (N, ``head_hidden_size``)."""
    fixed = config.fixed_input_size and size != config.input_size[1:]
    own = {"img_size": size} if fixed else {}
    try:
        return _timm().create_model(name, pretrained=pretrained, num_classes=0, **own)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        reason = str(error).partition(". ")[0].rstrip(".")
        raise InputError(
            f"cannot get the weights of {name}: {reason}. Connect to the network once, or give "
            "weights=FILE.safetensors, or pretrained=false for random ones."
        ) from error


def _load(net: nn.Module, name: str, path: Path) -> None:
    """Put the tensors in the file ``path``, but for those of a classifier, into ``net``."""
    if path.suffix.lower() != ".safetensors":
        raise InputError(f"expected weights as a .safetensors file, which holds no code, got {path}.")
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights.")
    try:
        kept = import_module("safetensors.torch").load_file(path)
    except import_module("safetensors").SafetensorError as error:
        raise InputError(f"cannot read {path}: {error}.") from error
    named: Any = getattr(net, "pretrained_cfg", {}).get("classifier") or ()
    classifier = tuple(f"{part}." for part in ([named] if isinstance(named, str) else named))
    kept = {key: value for key, value in kept.items() if not key.startswith(classifier)}
    expected, got = ({key: tuple(t.shape) for key, t in some.items()} for some in (net.state_dict(), kept))
    wrong = sorted(key for key in {*expected, *got} if expected.get(key) != got.get(key))
    if wrong:
        raise InputError(
            f"{path} does not fit {name}: {len(wrong)} tensors differ, such as {wrong[0]}, expected of shape "
            f"{expected.get(wrong[0], 'none')}, got {got.get(wrong[0], 'none')}."
        )
    net.load_state_dict(kept)


def _try(net: nn.Module, name: str, side: int) -> None:
    """Require that ``net`` can read images of this side."""
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"{name} cannot read images of {side} x {side} pixels: {reason}.") from error
    net.train(training)
