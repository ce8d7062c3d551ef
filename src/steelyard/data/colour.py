"""Colour constancy: take the colour of the light out of an image, so that images taken elsewhere compare."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import torch

from steelyard import _checks as check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

_CHUNK = 100  # images changed at a time: their powers take four times the memory


def shades_of_grey(x: Tensor, power: float = 6) -> Tensor:
    """Shades of grey: divides each image by the colour of its light, its channels' Minkowski means.

    The light of an image is ``e_c = (mean over pixels of x_c ** power) ** (1 / power)``, and channel c is
    multiplied by ``|e| / (sqrt(3) e_c)``: grey light changes nothing, and under bluer light the image
    comes out the same. Values are rounded; those above 255 become 255. A channel without light stays black.

    Args:
        x: (N, 3, H, W) uint8.
        power: >= 1; 1 takes the light from the mean colour ("grey world"), a large one from the brightest.

    Returns:
        (N, 3, H, W) uint8; each image depends on itself alone.

    Raises:
        InputError: if the images have no three channels, or ``power`` is below 1.

    References:
        Finlayson, Trezzi, "Shades of gray and colour constancy", Color Imaging Conference 2004, with
        power 6. For dermoscopy: Barata, Celebi, Marques, "Improving dermoscopy image classification using
        color constancy", IEEE Journal of Biomedical and Health Informatics 19(3), 2015.

    >>> bluish = torch.tensor([60, 60, 120], dtype=torch.uint8).view(1, 3, 1, 1)
    >>> shades_of_grey(bluish).flatten()
    tensor([85, 85, 85], dtype=torch.uint8)
    """
    check.at_least("power", power, 1)
    if x.ndim != 4 or x.shape[1] != 3:
        raise check.InputError(
            f"expected images (N, 3, H, W) in colour, got the shape {tuple(x.shape)}; leave colour out."
        )
    return torch.cat([_without_light(chunk, power) for chunk in x.split(_CHUNK)])


def _without_light(x: Tensor, power: float) -> Tensor:
    values = (torch.arange(256, device=x.device) / 255).double()
    powers = values.pow(power).float()  # of the 256 values there are, instead of every pixel
    light = powers[x.int()].mean((2, 3), dtype=torch.float64).pow(1 / power)
    gain = light.norm(dim=1, keepdim=True) / (3**0.5 * light.where(light > 0, 1.0))
    return x.mul(gain.float()[:, :, None, None]).round_().clamp_(max=255).byte()


COLOURS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType({"shades-of-grey": shades_of_grey})
