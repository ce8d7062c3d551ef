"""The training loop. It receives objects and names no concrete method."""

from steelyard.training.loop import NotFiniteError, fit, predict
from steelyard.training.recorder import SampleRecorder

__all__ = ["NotFiniteError", "SampleRecorder", "fit", "predict"]
