"""The answer in words: what the numbers allow to be said, and what they do not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from steelyard.metrics import smallest_wilcoxon_p
from steelyard.report.comparison import ALPHA
from steelyard.report.measures import called, count, joined, p_phrase, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steelyard.report.comparison import Comparison
    from steelyard.report.measures import Measure
    from steelyard.report.summary import Row, Summary


def headline(summary: Summary) -> str:
    """One sentence or two: the best method against the baseline in the deciding measure."""
    rows = {row.method: row for row in summary.methods if row.trained and row.runs}
    if not rows:
        return "No run has finished, so there is nothing to compare."
    if summary.baseline not in rows:
        return f"The baseline {summary.baseline} has no finished run, so no method is compared with it."
    best = lead_comparison(summary)
    if best is None:
        return _alone(summary, rows[summary.baseline])
    better = best.difference > 0 if summary.deciding.better == "higher" else best.difference < 0
    return _against(summary, best, better=better)


def details(summary: Summary) -> Iterator[str]:
    """What qualifies the headline: training again, the operating point, few samples, missing runs."""
    best = lead_comparison(summary)
    if best is not None:
        yield _over_runs(best)
    yield from _operating_point(summary)
    yield from _few_positives(summary)
    broken = len(summary.failures)
    if broken:
        yield f"{count(broken, 'run')} failed and {'is' if broken == 1 else 'are'} left out of every figure."
    if summary.missing:
        yield f"The comparison is not complete: {count(summary.missing, 'run')} still to be trained."


def lead_comparison(summary: Summary) -> Comparison | None:
    """The comparison that the headline speaks of."""
    rivals = [one for one in summary.comparisons if one.measure == summary.deciding.key]
    sign = 1 if summary.deciding.better == "higher" else -1
    return max(rivals, key=lambda one: sign * one.difference, default=None)


def _alone(summary: Summary, row: Row) -> str:
    figure = summary.deciding.text(row.cells[summary.deciding.key].mean)
    noun = " false alarms" if summary.critical else ""
    found = _sentence(f"{_opening(summary)}{row.method} {_reaches(summary)} {figure} %{noun}.")
    return f"{found} No other method finished with it."


def _against(summary: Summary, best: Comparison, *, better: bool) -> str:
    column = summary.deciding
    ours, theirs = column.text(best.value), column.text(best.baseline_value)
    noun = " false alarms" if summary.critical else ""
    figures = f"{best.method} {_reaches(summary)} {ours} %{noun}, {best.baseline} {theirs} %"
    sure = _difference(column, best)
    if better and best.shown:
        return _sentence(f"{_opening(summary)}{figures}; {sure}.{_another_training(best)}")
    if better:
        return f"No method is shown to be better than {best.baseline}. " + _sentence(
            f"{_opening(summary)}{figures}; {sure}."
        )
    wanted = "raises fewer false alarms than" if summary.critical else "has a higher balanced accuracy than"
    return (
        _sentence(f"{_opening(summary)}no method {wanted} {best.baseline} ({theirs} %). ")
        + f"The nearest, {best.method}, {_reaches(summary)} {ours} %; {sure}."
    )


def _difference(column: Measure, one: Comparison) -> str:
    bounds = f"{column.change(one.low)} to {column.change(one.high)}"
    over = f"95 % interval {bounds}, {p_phrase(one.p_holm)} over test samples"
    return f"difference {column.change(one.difference)} points, {over}"


def _opening(summary: Summary) -> str:
    if not summary.critical:
        return ""
    return f"at {percent(summary.at_tpr)} sensitivity for {_listed(summary.critical)}, "


def _reaches(summary: Summary) -> str:
    return "raises" if summary.critical else "reaches a balanced accuracy of"


def _another_training(best: Comparison) -> str:
    """What the runs say against a difference that stands over test samples."""
    if best.runs == 1:
        return " There is one run per method: training again may change it."
    if best.p_runs < ALPHA:
        return ""
    same = f"{best.same_side} of {best.runs} runs agree"
    return f" Training again may change it: {same}, {p_phrase(best.p_runs)} over runs."


def _over_runs(best: Comparison) -> str:
    if best.runs == 1:
        return "One run per method says nothing of another training; ask for more seeds."
    agree = f"{best.same_side} {'points' if best.same_side == 1 else 'point'} the same way as the mean"
    if best.difference == 0:
        agree = "the mean difference is 0"
    text = (
        f"Of {best.runs} runs paired by seed and fold {agree}; "
        f"the corrected t-test over runs gives {p_phrase(best.p_runs)}."
    )
    least = smallest_wilcoxon_p(best.runs)
    if least < ALPHA:
        return text
    needed = next(n for n in range(best.runs, 100) if smallest_wilcoxon_p(n) < ALPHA)
    return (
        f"{text} A signed-rank test over {best.runs} runs cannot fall below p = {least:.2g}, "
        f"however large the difference; it needs {needed}."
    )


def _operating_point(summary: Summary) -> Iterator[str]:
    if not summary.critical or lead_comparison(summary) is None:
        return
    rows = {row.method: row for row in summary.methods}
    parts = []
    for name in dict.fromkeys([summary.leader or summary.baseline, summary.baseline]):
        found, alarms = (rows[name].cells.get(key) for key in ("sensitivity", "false_alarm_rate"))
        if found is not None and alarms is not None and not math.isnan(found.mean):
            parts.append(
                f"{name} finds {100 * found.mean:.1f} % and raises {100 * alarms.mean:.1f} % false alarms"
            )
    if parts:
        yield (
            f"In use the threshold comes from validation: chosen there for {percent(summary.at_tpr)}, "
            f"on the test set {'; '.join(parts)}."
        )
    else:
        yield (
            "No threshold was chosen on validation samples, so what would be found and raised in use "
            "is not known."
        )


def _few_positives(summary: Summary) -> Iterator[str]:
    if summary.few_positives:
        yield (
            f"The test set holds only {count(summary.positives, 'sample')} of {_listed(summary.critical)}: "
            f"one more or less moves the sensitivity by {100 / summary.positives:.1f} points. "
            "Read every figure at an operating point with that in mind."
        )


def _listed(names: tuple[str, ...]) -> str:
    return joined([called(name) for name in names])


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] if text.startswith(("at ", "no ")) else text
