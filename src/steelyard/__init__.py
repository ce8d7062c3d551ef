"""Train classifiers that do not miss the rare class."""

__version__ = "0.1.0"
