"""The training loop. It receives objects and names no concrete method."""

from steelyard.training.last_layer import features, learn_last_layer
from steelyard.training.loop import NotFiniteError, fit, predict
from steelyard.training.recorder import WeightRecorder

__all__ = ["NotFiniteError", "WeightRecorder", "features", "fit", "learn_last_layer", "predict"]
