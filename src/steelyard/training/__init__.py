"""The training loop. It receives objects and names no concrete method."""

from steelyard.training.loop import NotFiniteError, fit, predict
from steelyard.training.phases import fit_phases
from steelyard.training.recorder import WeightRecorder

__all__ = ["NotFiniteError", "WeightRecorder", "fit", "fit_phases", "predict"]
