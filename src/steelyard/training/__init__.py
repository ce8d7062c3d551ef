"""The training loop. It receives objects and names no concrete method."""

from steelyard.training.dynamics import SampleRecorder
from steelyard.training.loop import NotFiniteError, fit, predict
from steelyard.training.phases import fit_phases
from steelyard.training.recorder import WeightRecorder
from steelyard.training.rehearsal import rehearse

__all__ = [
    "NotFiniteError",
    "SampleRecorder",
    "WeightRecorder",
    "fit",
    "fit_phases",
    "predict",
    "rehearse",
]
