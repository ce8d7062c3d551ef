"""How one model is trained: everything of a run but its data, its model and its method."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ZeroOrMore = Annotated[float, Field(ge=0, allow_inf_nan=False)]

OF_METHODS = ("lr", "momentum", "weight_decay", "clip")  # which a method may have of its own: focal(lr=0.01)


class Frozen(BaseModel):
    """A record that is checked once, refuses unknown keys and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Recipe(Frozen):
    """Optimiser, schedule and stopping of a training run. The descriptions are the command's help.

    >>> Recipe(optimizer="sgd", lr=0.001, epochs=100).momentum
    0.9
    """

    epochs: Count = Field(30, description="passes over the training samples")
    steps: Count | None = Field(
        None, description="steps after which to stop, where that is sooner than the end of the epochs"
    )
    batch_size: Count = Field(128, description="samples per step")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adamw", description="sgd has Nesterov's momentum")
    lr: AboveZero = Field(0.002, description="learning rate")
    momentum: Share = Field(0.9, description="of sgd")
    weight_decay: ZeroOrMore = Field(1e-4, description="decay of the model's weights")
    schedule: Literal["constant", "step", "cosine"] = Field("cosine", description="of the learning rate")
    milestones: tuple[Share, ...] = Field(
        (0.5, 0.75), description="of schedule step: shares of the training after which the rate drops"
    )
    drop: AboveZero = Field(0.1, description="of schedule step: factor of each drop")
    warmup: ZeroOrMore = Field(0.0, description="epochs over which the learning rate rises from zero")
    clip: AboveZero | None = Field(None, description="largest norm of the model's gradient")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="in which the model computes")
    augment: str | None = Field(
        None, description="random changes of training images: crop, flip, vflip, joined by +"
    )
    patience: Count | None = Field(None, description="epochs without a better monitor after which to stop")
    monitor: str = Field(
        "val_balanced_accuracy",
        description="measure on the validation samples by which the best epoch is known",
    )
    keep: Literal["best", "last"] = Field(
        "last", description="the epoch whose weights are kept: the last, or the best by the monitor"
    )
