"""How one model is trained: everything of a run but its data, its model and its method."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ZeroOrMore = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Frozen(BaseModel):
    """A record that is checked once, refuses unknown keys and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Recipe(Frozen):
    """Optimiser, schedule and stopping of a training run.

    >>> Recipe(optimizer="sgd", lr=0.001, epochs=100).momentum
    0.9
    """

    epochs: Count = 30
    batch_size: Count = 128
    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: AboveZero = 0.002
    momentum: Share = 0.9  # of SGD, with Nesterov's correction
    weight_decay: ZeroOrMore = 1e-4
    schedule: Literal["constant", "step", "cosine"] = "cosine"
    milestones: tuple[Share, ...] = (
        0.5,
        0.75,
    )  # of `step`: shares of the training after which the rate drops
    drop: AboveZero = 0.1  # of `step`: factor of each drop
    warmup: ZeroOrMore = 0.0  # epochs over which the learning rate rises linearly from zero
    clip: AboveZero | None = None  # largest norm of the gradient over all parameters
    precision: Literal["float32", "bfloat16"] = "float32"
    augment: str | None = None  # "crop+flip" and the like, for images
    patience: Count | None = None  # epochs without a better validation measure after which training stops
    monitor: str | None = None  # the validation measure; None: the study's choice
    keep: Literal["best", "last"] = (
        "best"  # the epoch whose weights are kept; "best" needs validation samples
    )
