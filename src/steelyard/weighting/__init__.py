"""Weightings: what a batch's samples deserve, from what the loss says of them."""

from steelyard.weighting.low import LOWWeighting
from steelyard.weighting.weighting import Weighting

__all__ = ["LOWWeighting", "Weighting"]
