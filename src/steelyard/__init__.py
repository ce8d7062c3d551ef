"""Train classifiers that do not miss the rare class.

Everything loads on first use, so that ``import steelyard`` and ``steelyard --help`` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from steelyard._checks import InputError

if TYPE_CHECKING:
    from steelyard import (
        catalog,
        constraints,
        data,
        functional,
        hooks,
        losses,
        metrics,
        models,
        objective,
        records,
        testing,
        training,
        uncertainty,
        weighting,
    )
    from steelyard.constraints import AUCConstraint, FalseAlarmConstraint
    from steelyard.objective import LOW, Objective, TwoScale, UncertaintyMargin

__version__ = "0.1.0"

_HOME = {
    "AUCConstraint": "steelyard.constraints",
    "FalseAlarmConstraint": "steelyard.constraints",
    "LOW": "steelyard.objective",
    "Objective": "steelyard.objective",
    "TwoScale": "steelyard.objective",
    "UncertaintyMargin": "steelyard.objective",
}

__all__ = [
    "LOW",
    "AUCConstraint",
    "FalseAlarmConstraint",
    "InputError",
    "Objective",
    "TwoScale",
    "UncertaintyMargin",
    "catalog",
    "constraints",
    "data",
    "functional",
    "hooks",
    "losses",
    "metrics",
    "models",
    "objective",
    "records",
    "testing",
    "training",
    "uncertainty",
    "weighting",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in __all__:
        return import_module(f"steelyard.{name}")
    raise AttributeError(f"module 'steelyard' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
