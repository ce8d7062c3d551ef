"""What the page calls each measure, which way is better, and how its figures are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
UNKNOWN = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of the table of methods."""

    key: str  # as in results.csv
    label: str
    better: Literal["higher", "lower", "neither"]
    about: str
    percent: bool = True

    def text(self, value: float) -> str:
        """``value`` as the page writes it: in percent with one decimal, or with three decimals.

        >>> Measure("accuracy", "Accuracy", "higher", "").text(0.6251)
        '62.5'
        """
        return number(100 * value, 1) if self.percent else number(value, 3)

    def change(self, value: float) -> str:
        """A difference, always with its sign, in points where the measure is in percent.

        >>> Measure("auc", "AUC", "higher", "", percent=False).change(0.01)
        '+0.010'
        """
        text = self.text(value)
        return text if text.startswith(MINUS) or not math.isfinite(value) else f"+{text}"


def measures(
    critical: bool, at_tpr: float, *, multilabel: bool = False, cost: bool = False
) -> tuple[Measure, ...]:
    """The columns of the table of methods, the one that decides first."""
    if multilabel:
        return _of_labels()
    if not critical:
        return _of_all_classes()
    return (*((_EXPECTED_COST,) if cost else ()), *_of_critical(percent(at_tpr)), *_of_all_classes())


_EXPECTED_COST = Measure(
    "expected_cost",
    "Expected cost per sample",
    "lower",
    "of misses and false alarms at the threshold with the least cost on held-out samples",
    percent=False,
)


def _of_critical(share: str) -> tuple[Measure, ...]:
    fpr = (
        "share of the non-critical test samples raised (one minus the specificity) at the threshold that "
        f"finds {share} of the critical test samples; it ranks methods and looks at the test labels"
    )
    area = "chance that a critical sample scores above another one"
    average = "mean precision over the recall of critical samples"
    about = "at the threshold in use, which held-out samples chose"
    return (
        Measure("fpr_at_tpr", f"False alarms at {share} sensitivity", "lower", fpr),
        Measure("auc", "AUC", "higher", area, percent=False),
        Measure("average_precision", "Average precision", "higher", average, percent=False),
        Measure("sensitivity", "Sensitivity in use", "neither", f"critical test samples found {about}"),
        Measure(
            "false_alarm_rate",
            "False alarms in use",
            "neither",
            f"share of the non-critical test samples raised (one minus the specificity) {about}",
        ),
        Measure(
            "precision",
            "Precision in use",
            "neither",
            f"share of the alarms that are critical, among the test samples, {about}",
        ),
    )


def _of_all_classes() -> tuple[Measure, ...]:
    area = "AUC of each class against the rest, averaged"
    recall = "mean recall over the classes, each sample decided for its most probable class"
    calibration = "expected calibration error: confidence against the share that is right"
    return (
        Measure("balanced_accuracy", "Balanced accuracy", "higher", recall),
        Measure("mean_auc", "Mean AUC", "higher", area, percent=False),
        Measure("mean_f1", "Mean F1", "higher", "F1 of each class, averaged"),
        Measure("g_mean", "G-mean", "higher", "geometric mean of the recalls; 0 if a class is never found"),
        Measure("iba", "IBA", "higher", "index of balanced accuracy, averaged over the samples"),
        Measure("accuracy", "Accuracy", "higher", "share of right decisions; common classes dominate it"),
        Measure("ece", "ECE", "lower", calibration, percent=False),
        Measure("brier", "Brier", "lower", "squared error of the probabilities", percent=False),
    )


def _of_labels() -> tuple[Measure, ...]:
    balanced = "mean of recall and specificity of each label, averaged over the labels"
    area = "chance that a sample with a label scores above one without it, averaged over the labels"
    precision = "average precision of each label, averaged"
    return (
        Measure("balanced_accuracy", "Mean balanced accuracy", "higher", balanced),
        Measure("mean_auc", "Mean AUC", "higher", area, percent=False),
        Measure("mean_average_precision", "Mean average precision", "higher", precision, percent=False),
        Measure("mean_f1", "Mean F1", "higher", "F1 of each label, averaged"),
        Measure("accuracy", "Accuracy", "higher", "share of right answers; absent labels dominate it"),
    )


def percent(share: float) -> str:
    """A share in percent, with as few decimals as it needs.

    >>> percent(0.95), percent(0.995)
    ('95 %', '99.5 %')
    """
    return f"{100 * share:.4g} %"


def p_text(p_value: float) -> str:
    """A p-value as papers write it.

    >>> p_text(0.0004), p_text(0.0123), p_text(0.25)
    ('< 0.001', '0.012', '0.25')
    """
    if math.isnan(p_value):
        return UNKNOWN
    if p_value < 0.001:
        return "< 0.001"
    return f"{p_value:.3f}" if p_value < 0.1 else f"{p_value:.2f}"


def p_phrase(p_value: float) -> str:
    """A p-value within a sentence.

    >>> p_phrase(0.25), p_phrase(0.0)
    ('p = 0.25', 'p < 0.001')
    """
    text = p_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def number(value: float, decimals: int = 2) -> str:
    """A number with a proper minus sign; a dash where it is not known.

    >>> number(0.5), number(-0.001)
    ('0.50', '0.00')
    """
    if not math.isfinite(value):
        return UNKNOWN
    text = f"{value:.{decimals}f}"
    return text.replace("-", MINUS) if float(text) else f"{0:.{decimals}f}"  # no "-0.0"


def called(name: str) -> str:
    """A class within a sentence, where a bare number would read as a figure.

    >>> called("mel"), called("3")
    ('mel', 'class 3')
    """
    return f"class {name}" if name[:1].isdigit() else name


def joined(words: Sequence[str]) -> str:
    """Words as a list within a sentence.

    >>> joined(["ce", "focal", "low"])
    'ce, focal and low'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "run"), count(2, "run")
    ('1 run', '2 runs')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
