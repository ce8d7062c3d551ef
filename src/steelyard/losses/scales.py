"""Two-scale losses: sure samples are read on a larger scale, so that the others rule the training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from steelyard import _checks as check
from steelyard.functional import is_sure, loss_and_logit_grad, weight_norm_product
from steelyard.functional.gradients import per_sample
from steelyard.functional.per_sample import at_least_float32
from steelyard.losses.wrapper import LossWrapper
from steelyard.records import LoggedValue

if TYPE_CHECKING:
    from collections.abc import Callable

    from steelyard.losses.loss import Reduction

SEPARATION = 10.0  # the paper's R2 / R1 at the start
_LAYERS = (
    nn.Linear,
    nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


TITLES = {
    "scale_1": "Scale of the unsure samples (R1)",
    "scale_2": "Scale of the sure samples (R2)",
    "separation": "Separation of the scales",
    "weight_norm": "Product of the weights' norms (R)",
}


class Scaled(LossWrapper):
    """A per-sample loss of the logits times a factor; a subclass says which by :meth:`factors`.

    Args:
        loss: any callable ``(logits, target) -> (N,)`` that reads row i alone for value i; cross-entropy if
            None.
        eta: > 0, the margin in units of the model's logits from which on a sample is sure; None: never.
        lr_factor: > 0, by which :func:`steelyard.training.fit` multiplies the learning rate for the scales.
            In a loop of your own put ``objective.parameters()`` into a parameter group of the optimiser.
        reduction: as in :class:`Loss`.
    """

    sure: Tensor

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor] | None,
        eta: float | None,
        lr_factor: float,
        reduction: Reduction,
    ) -> None:
        super().__init__(loss, reduction)
        if isinstance(self.base, Scaled):
            raise check.InputError(
                f"a {type(self).__name__} over a {type(self.base).__name__} has two sets of scales; "
                "give it a loss that has none."
            )
        if hasattr(self.base, "heads"):
            raise check.InputError(
                f"{type(self.base).__name__} reads the angles of the model's own logits, which must not be "
                f"scaled before; give the margin the scales: its parameter loss."
            )
        if not self.separable:
            raise check.InputError(
                f"expected a loss whose value i reads sample i alone, since each sample has its own scale; "
                f"got {type(self.base).__name__}."
            )
        self.eta = None if eta is None else check.positive("eta", eta)
        self.lr_factor = check.positive("lr_factor", lr_factor)
        # Sure samples and all samples since values were logged last; no training resumes from them.
        self.register_buffer("sure", torch.zeros((), dtype=torch.int64), persistent=False)
        self.seen = 0
        self.last_sure: Tensor | None = None  # (N,), which samples were sure when the loss was last called

    def scales(self) -> dict[str, Tensor]:
        """The scales by name, a key of ``TITLES``; scalars."""
        raise NotImplementedError(f"{type(self).__name__} must define scales().")

    def factors(self) -> tuple[Tensor, Tensor]:
        """The scales of unsure and of sure samples, two scalars."""
        raise NotImplementedError(f"{type(self).__name__} must define factors().")

    def losses_of(self, logits: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
        """The (N,) losses."""
        scaled = self._factor(logits, target) * at_least_float32(logits)
        return per_sample(self.base_of(index), scaled, target)

    def per_sample_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """As of the base loss; the gradient is that of the logits before they are scaled."""
        factor = self._factor(logits, target)
        loss, grad = loss_and_logit_grad(self.base, factor * at_least_float32(logits), target)
        return loss, factor.detach() * grad

    def rescaled(self, logits: Tensor) -> Tensor:
        """The logits on the scale of unsure samples: of predictions no sample's class is known."""
        return self.factors()[0] * logits

    def after_step(self, logits: Tensor, target: Tensor, index: Tensor | None = None) -> None:  # noqa: ARG002 - a hook
        """Count the sure samples among those of the step, which are those that the loss saw last."""
        if self.last_sure is not None:
            self.sure += self.last_sure.count_nonzero()
            self.seen += len(self.last_sure)
            self.last_sure = None

    def values_to_log(self) -> dict[str, LoggedValue]:
        """The share of sure samples in the steps since the last call, and the scales; a device sync."""
        scales = self.scales()
        share = self.sure / torch.full_like(self.sure, self.seen)
        first, *rest = torch.stack([one.detach().float() for one in (share, *scales.values())]).tolist()
        self.sure.zero_()
        self.seen = 0
        logged = {name: LoggedValue(value, TITLES[name]) for name, value in zip(scales, rest, strict=True)}
        if self.eta is None:
            return logged
        title = "Share of training samples that the loss reads as sure"
        return {"well_classified": LoggedValue(first, title, "share"), **logged}

    def extra_repr(self) -> str:
        """The threshold."""
        return "" if self.eta is None else f"eta={self.eta}"

    def _factor(self, logits: Tensor, target: Tensor) -> Tensor:
        below, above = self.factors()
        if self.eta is None:  # one factor a sample here too: a large eta then gives the very same numbers
            return below.expand(len(logits), 1)
        self.last_sure = is_sure(logits, target, self.eta)
        return torch.where(self.last_sure, above, below).unsqueeze(1)


class Normalised(Scaled):
    """A scaled loss of ``z / R``: only the direction of the model's weights matters, not their size.

    The gradient flows through R, :func:`steelyard.functional.weight_norm_product` of all linear and
    convolutional layers; other layers and all biases count as constants. The loss refers to the layers and
    does not own them: its ``state_dict()``, ``parameters()`` and ``to()`` hold the scales alone. Copy model
    and loss together, ``copy.deepcopy((model, loss))``, and the copies belong together; a copy of the loss
    alone keeps a copy of the layers as they were.
    """

    def __init__(
        self,
        model: nn.Module | None,
        loss: Callable[[Tensor, Tensor], Tensor] | None,
        eta: float | None,
        lr_factor: float,
        reduction: Reduction,
    ) -> None:
        super().__init__(loss, eta, lr_factor, reduction)
        if model is None:
            raise check.InputError(
                f"{type(self).__name__} normalises by the weights of the model; give it one."
            )
        # A tuple, so that nn.Module does not take the layers for its own; the layers and not their weights,
        # so that a weight that is exchanged (load_state_dict(assign=True), a parametrisation) is followed.
        self.layers = tuple(layer for layer in model.modules() if isinstance(layer, _LAYERS))
        if not self.layers:
            raise check.InputError(
                f"{type(self).__name__} normalises by the weights of linear and convolutional layers, but "
                f"{type(model).__name__} has none; use TwoScaleSeparation, which does without."
            )
        size = float(self.weight_norm().detach())
        if not (size > 0 and math.isfinite(SEPARATION * size)):
            raise check.InputError(
                f"the product of the norms of the model's {len(self.layers)} layers is {size}; expected a "
                "finite number above 0. Initialise layers that are all zero; for very deep models use "
                "TwoScaleSeparation, which does without."
            )

    def rescaled(self, logits: Tensor) -> Tensor:
        """``R1 z / R``."""
        return super().rescaled(logits) / self.weight_norm()

    def _factor(self, logits: Tensor, target: Tensor) -> Tensor:
        return super()._factor(logits, target) / self.weight_norm()

    def weight_norm(self) -> Tensor:
        """R at this moment, a scalar with gradient."""
        return weight_norm_product([layer.weight for layer in self.layers])


class TwoScale(Normalised):
    """Loss of ``R1 z / R`` for unsure samples and ``R2 z / R`` for sure ones; both scales are trained.

    They start at R and 10 R, R of the model as it is given (eq. 13 of the source).

    Args:
        model: whose weights are normalised; it has to be the one that makes the logits.
        eta: as in :class:`Scaled`; large values give :class:`SingleScale`.
        loss: as in :class:`Scaled`.
        lr_factor: as in :class:`Scaled`.
        reduction: as in :class:`Loss`.

    Raises:
        InputError: if ``eta`` is not above 0, the model has no weight matrix, or R is 0 or not finite.

    References:
        Berlyand, Creese, Jabin, "A novel multi-scale loss function for classification problems in machine
        learning", 2021.

    >>> model = nn.Linear(2, 2)
    >>> loss = TwoScale(model, eta=0.01)
    >>> logits, target = torch.tensor([[0.1, 0.0], [0.0, 0.1]]), torch.tensor([0, 0])
    >>> loss(logits, target).detach()  # the first is sure: 10 times its logits are read
    tensor([0.3133, 0.7444])
    """

    def __init__(
        self,
        model: nn.Module | None,
        eta: float = 0.01,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        lr_factor: float = 1.0,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, loss, eta, lr_factor, reduction)
        self.scale_1 = nn.Parameter(self.weight_norm().detach())
        self.scale_2 = nn.Parameter(SEPARATION * self.scale_1.detach())

    def scales(self) -> dict[str, Tensor]:
        """R1, R2 and R."""
        return {"scale_1": self.scale_1, "scale_2": self.scale_2, "weight_norm": self.weight_norm()}

    def factors(self) -> tuple[Tensor, Tensor]:
        """R1 and R2."""
        return self.scale_1, self.scale_2


class TwoScaleFixed(TwoScale):
    """Two-scale loss whose scales keep their first values, R and 10 R.

    These are those of eq. 16 of the source; see :class:`TwoScale`.

    >>> [scale.requires_grad for scale in TwoScaleFixed(nn.Linear(2, 2)).parameters()]
    [False, False]
    """

    def __init__(
        self,
        model: nn.Module | None,
        eta: float = 0.01,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, eta, loss, reduction=reduction)
        self.scale_1.requires_grad = self.scale_2.requires_grad = False


class SingleScale(Normalised):
    """Loss of ``R1 z / R`` for every sample, R1 trained from R on: the paper's own baseline.

    It is another and weaker one than the plain loss of z; compare with both.

    Args:
        model: as in :class:`TwoScale`.
        loss: as in :class:`Scaled`.
        lr_factor: as in :class:`Scaled`.
        reduction: as in :class:`Loss`.

    >>> SingleScale(nn.Linear(2, 2))(torch.zeros(1, 2), torch.tensor([0])).detach()
    tensor([0.6931])
    """

    def __init__(
        self,
        model: nn.Module | None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        lr_factor: float = 1.0,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(model, loss, None, lr_factor, reduction)
        self.scale_1 = nn.Parameter(self.weight_norm().detach())

    def scales(self) -> dict[str, Tensor]:
        """R1 and R."""
        return {"scale_1": self.scale_1, "weight_norm": self.weight_norm()}

    def factors(self) -> tuple[Tensor, Tensor]:
        """R1, twice."""
        return self.scale_1, self.scale_1


class TwoScaleSeparation(Scaled):
    """Loss of z itself for unsure samples and of ``separation * z`` for sure ones.

    The separation is trained from 10 on (eq. 17 of the source); under plain descent of cross-entropy it only
    grows. It needs no model: the logits' own scale stays that of the weights.

    Args:
        eta: as in :class:`TwoScale`.
        loss: as in :class:`Scaled`.
        lr_factor: as in :class:`Scaled`.
        reduction: as in :class:`Loss`.

    >>> logits, target = torch.tensor([[0.1, 0.0], [0.0, 0.1]]), torch.tensor([0, 0])
    >>> TwoScaleSeparation(eta=0.01)(logits, target).detach()
    tensor([0.3133, 0.7444])
    """

    def __init__(
        self,
        eta: float = 0.01,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        lr_factor: float = 1.0,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(loss, eta, lr_factor, reduction)
        self.separation = nn.Parameter(torch.tensor(SEPARATION))

    def scales(self) -> dict[str, Tensor]:
        """The separation."""
        return {"separation": self.separation}

    def factors(self) -> tuple[Tensor, Tensor]:
        """1 and the separation."""
        return torch.ones_like(self.separation), self.separation
