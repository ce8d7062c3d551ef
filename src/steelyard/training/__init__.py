"""The training loop. It receives objects and names no concrete method."""

from steelyard.training.loop import NotFiniteError, fit, predict
from steelyard.training.recorder import WeightRecorder
from steelyard.training.rehearsal import rehearse

__all__ = ["NotFiniteError", "WeightRecorder", "fit", "predict", "rehearse"]
