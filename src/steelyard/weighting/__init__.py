"""Weightings: what a batch's samples deserve, from what the loss says of them."""

from steelyard.weighting.exponentiated import ExponentiatedWeighting
from steelyard.weighting.importance import ImportanceSampling
from steelyard.weighting.low import LOWWeighting
from steelyard.weighting.mentor import MentorNetWeighting
from steelyard.weighting.paced import SelfPacedWeighting
from steelyard.weighting.weighting import Weighting

__all__ = [
    "ExponentiatedWeighting",
    "ImportanceSampling",
    "LOWWeighting",
    "MentorNetWeighting",
    "SelfPacedWeighting",
    "Weighting",
]
