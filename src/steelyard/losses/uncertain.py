"""Margins set by uncertainty: of each class, and of each sample."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

from steelyard import _checks as check
from steelyard import _ranks
from steelyard.functional import misclassification_probability
from steelyard.functional.gradients import per_sample
from steelyard.functional.uncertainty import MEASURES
from steelyard.losses.margin import FORMS, SCALE, AngularMargin
from steelyard.records import Batch, LoggedValue
from steelyard.uncertainty import require_dropout, stochastic_logits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from steelyard.losses.loss import Reduction

FormName = Literal["large-margin", "additive", "arcface", "sphereface"]
Measure = Literal["variance", "entropy", "mutual-information"]


class UncertaintyMargin(AngularMargin):
    """Margins of classes by their uncertainty: the less sure the model is of a class, the larger its margin.

    Plain training comes first. Then, at the start of each epoch, :meth:`observe` measures by Monte-Carlo
    dropout how unsure the model is of each training sample; the mean over a class's samples, divided by the
    largest of all classes and multiplied by ``max_margin``, is the class's margin, or no margin where that is
    smaller. Epochs are told by ``start_epoch``; without it there is no margin.

    With a ``loss`` of L labels per sample 2L sides take the place of the classes: the samples without each
    label, then those with it. The uncertainty is that of the label, as of two classes.

    Args:
        model: as in :class:`AngularMargin`; it needs dropout.
        form: of the margin: ``"large-margin"``, ``"additive"``, ``"arcface"`` or ``"sphereface"``.
        max_margin: of the most uncertain class; None: 3, 0.35, 0.4 and 3, in the order of the forms.
        passes: >= 1, of Monte-Carlo dropout.
        measure: of a sample's uncertainty; see :mod:`steelyard.functional.uncertainty`.
        plain: in [0, 1), share of the epochs in which training is plain.
        loss: as in :class:`AngularMargin`.
        strength: as there; None: 0.2 for the forms that multiply the angle, 1 for the others.
        anneal: as there, but a share of the epochs with margins of classes.
        scale: as there, for the forms of cosines.
        reduction: as there.

    References:
        Khan, Hayat, Zamir, Shen, Shao, "Striking the right balance with uncertainty", CVPR 2019, section 4.
    """

    class_margin: Tensor
    class_uncertainty: Tensor

    def __init__(  # noqa: PLR0913 - each is a setting of the method
        self,
        model: nn.Module | None,
        *,
        form: FormName = "large-margin",
        max_margin: float | None = None,
        passes: int = 10,
        measure: Measure = "variance",
        plain: float = 0.4,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        strength: float | None = None,
        anneal: float = 0.5,
        scale: float = SCALE,
        reduction: Reduction = "none",
    ) -> None:
        what = FORMS[check.one_of("form of margin", form, FORMS)]
        strength = what.strength if strength is None else strength
        scale = scale if what.head == "cosine" else 1.0
        super().__init__(model, form, loss, strength, anneal, scale, reduction)
        require_dropout(cast("nn.Module", model))  # now, and not when the first epochs are over
        largest = what.largest if max_margin is None else max_margin
        self.max_margin = check.between("max_margin", largest, self.form.none, self.form.most)
        self.passes = check.whole("passes", passes, 1)
        self.measure = MEASURES[check.one_of("measure of uncertainty", measure, MEASURES)]
        self.plain = check.between("plain", plain, 0, 1)
        self.register_buffer("class_margin", torch.full((self.sides.count,), float(self.form.none)))
        self.register_buffer("class_uncertainty", torch.full((self.sides.count,), torch.nan))
        self.epoch, self.epochs, self.phase = 0, 0, "plain"

    def margins(self, target: Tensor) -> Tensor:
        """The margins of the targets' classes, (N,), or of the sides of their labels, (N, L)."""
        return self.class_margin[self.sides.number(target)]

    @torch.no_grad()
    def observe(self, model: nn.Module, train: Iterable[Batch | tuple[Tensor, Tensor, Tensor]]) -> None:
        """Set the margins of the epoch to come by what ``model`` is unsure of; does nothing while plain.

        Args:
            model: as it is after the epoch before.
            train: every training sample once, in any order, as :class:`steelyard.records.Batch` or as tuples
                (x, target, index).
        """
        if self.phase == "plain":
            return
        sums = torch.zeros(2, *self.class_margin.shape, device=self.class_margin.device)
        with _own_chance(self.epoch, self.class_margin.device):
            for batch in train:
                x, target, index = (batch.x, batch.target, batch.index) if isinstance(batch, Batch) else batch
                logits = self.outputs(stochastic_logits(model, x, self.passes).float())
                logits = self.sides.exclusive(logits)
                unsure = self.measure(logits)
                figures = torch.stack([unsure, torch.ones_like(unsure)])
                sums.index_add_(1, self.sides.number(target).flatten(), figures.flatten(1))
                self.see_samples(logits, target, index)
        total, count = _ranks.joint_rows(sums[None])[0].sum(0)
        self.class_uncertainty.copy_(total / count)  # NaN for a class without samples, which needs no margin
        known = self.class_uncertainty.nan_to_num(0)
        self.class_margin.copy_(
            (self.max_margin * known / known.amax()).nan_to_num(0).clamp_min(self.form.none)
        )

    def see_samples(self, logits: Tensor, target: Tensor, index: Tensor) -> None:
        """Look at the logits of some training samples, (passes, N, C) or of labels (passes, N, L, 2)."""

    def values_to_log(self) -> dict[str, LoggedValue]:
        """The uncertainty of each class or side by its number, NaN while plain."""
        values = zip(self.sides.names("uncertainty"), self.class_uncertainty.tolist(), strict=True)
        return {name: LoggedValue(value, title="") for name, value in values}  # the page sets it beside sizes

    def extra_repr(self) -> str:
        """The largest margin."""
        return f"max_margin={self.max_margin}, passes={self.passes}"

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Choose the phase and set the margin's strength; ``epoch`` counts from 0."""
        self._set_epoch(epoch, epochs)
        first, last = self._phases(epochs)
        super().start_epoch(max(0, epoch - first), max(1, last - first))

    def get_extra_state(self) -> Tensor:
        """The epoch and their number, kept on the host: the device would be waited for in every step."""
        return torch.tensor([self.epoch, self.epochs], device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """What :meth:`get_extra_state` gave."""
        self._set_epoch(*state.tolist())

    def _set_epoch(self, epoch: int, epochs: int) -> None:
        self.epoch, self.epochs = epoch, epochs
        first, last = self._phases(epochs)
        self.phase = "plain" if not epochs or epoch < first else "classes" if epoch < last else "samples"

    def _phases(self, epochs: int) -> tuple[int, int]:
        """The first epoch with margins of classes, and the first with those of samples."""
        return round(self.plain * epochs), epochs - self._sample_epochs(epochs)

    def _sample_epochs(self, epochs: int) -> int:  # noqa: ARG002 - a subclass has some
        return 0


class SampleUncertaintyMargin(UncertaintyMargin):
    """Margins of classes by uncertainty, and in the last epochs a stricter one for unsure samples.

    As :class:`UncertaintyMargin` until then. With F the probability that the sample is taken for another
    class (:func:`steelyard.functional.misclassification_probability`), psi of the margin becomes
    ``(1 - F) psi`` where psi is above 0: no relief for what is wrong already. F = 0 leaves the margin of the
    class.

    Args:
        model: as in :class:`UncertaintyMargin`.
        num_samples: rows of the training set; every index is below it.
        last: epochs of it, but at most a quarter of all.
        form: as in :class:`UncertaintyMargin`, like all that follow.
        max_margin: of the most uncertain class.
        passes: of Monte-Carlo dropout.
        measure: of a sample's uncertainty.
        plain: share of the epochs in which training is plain.
        loss: as in :class:`AngularMargin`.
        strength: of the margin.
        anneal: share of the epochs with margins of classes.
        scale: of cosines.
        reduction: as in :class:`Loss`.

    References:
        Khan et al., CVPR 2019, section 5, with 1 - F in place of the F of eq. 15, which contradicts its text.
    """

    factor: Tensor

    def __init__(  # noqa: PLR0913 - each is a setting of the method
        self,
        model: nn.Module | None,
        num_samples: int,
        *,
        last: int = 10,
        form: FormName = "large-margin",
        max_margin: float | None = None,
        passes: int = 10,
        measure: Measure = "variance",
        plain: float = 0.4,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        strength: float | None = None,
        anneal: float = 0.5,
        scale: float = SCALE,
        reduction: Reduction = "none",
    ) -> None:
        super().__init__(
            model,
            form=form,
            max_margin=max_margin,
            passes=passes,
            measure=measure,
            plain=plain,
            loss=loss,
            strength=strength,
            anneal=anneal,
            scale=scale,
            reduction=reduction,
        )
        self.last = check.whole("last", last, 1)
        self.register_buffer(
            "factor", torch.ones(check.whole("num_samples", num_samples, 1), *self.sides.each)
        )

    def remembers_samples(self, index: Tensor | None) -> bool:
        """In the last epochs."""
        return self.phase == "samples" or super().remembers_samples(index)

    def losses_of(self, logits: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
        """The (N,) losses, in the last epochs with the factors of these samples."""
        if self.phase != "samples":
            return super().losses_of(logits, target, index)
        if index is None:
            raise check.InputError(
                "in its last epochs the margin is of single samples: expected index, their rows in the "
                "training set, as in objective(logits, target, index)."
            )
        factor = self.factor[index]
        changed = self.with_margin(
            logits, target, self.margins(target), lambda psi: self.factor_of(psi, factor)
        )
        return per_sample(self.base_of(index), changed, target)

    def factor_of(self, psi: Tensor, factor: Tensor) -> Tensor:
        """(N,) what psi is multiplied by, of what :meth:`see_samples` kept."""
        return torch.where(psi > 0, factor, 1.0)

    def see_samples(self, logits: Tensor, target: Tensor, index: Tensor) -> None:
        """Keep what psi of each sample is multiplied by."""
        if self.phase == "samples":
            self.factor[index] = 1 - misclassification_probability(logits, target)

    def _sample_epochs(self, epochs: int) -> int:
        return min(self.last, max(1, epochs // 4))


class LiteralSampleMargin(SampleUncertaintyMargin):
    """Margins of classes and samples by uncertainty, by the letter of the printed equation.

    As :class:`SampleUncertaintyMargin`, but psi is multiplied by F, whatever its sign (eq. 15). A sample that
    is surely right then has a target's logit of about 0. It is here to be compared with.
    """

    def factor_of(self, psi: Tensor, factor: Tensor) -> Tensor:  # noqa: ARG002 - by the letter, whatever psi
        """F."""
        return 1 - factor


@contextmanager
def _own_chance(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout that depends on ``seed`` alone, and leaves the training's own random numbers as they are."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
