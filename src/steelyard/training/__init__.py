"""The training loop. It receives objects and names no concrete method."""

from steelyard.training.dynamics import SampleRecorder
from steelyard.training.last_layer import features, learn_last_layer
from steelyard.training.loop import NotFiniteError, fit, predict
from steelyard.training.phases import fit_phases
from steelyard.training.recorder import WeightRecorder
from steelyard.training.rehearsal import rehearse

__all__ = [
    "NotFiniteError",
    "SampleRecorder",
    "WeightRecorder",
    "features",
    "fit",
    "fit_phases",
    "learn_last_layer",
    "predict",
    "rehearse",
]
