"""The answer in words: what the numbers allow to be said, and what they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.report.comparison import ALPHA
from steelyard.report.measures import called, count, joined, p_phrase, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from steelyard.report.comparison import Comparison
    from steelyard.report.summary import Row, Summary


def headline(summary: Summary) -> str:
    """Two sentences or three: the method that validation chose, against the baseline, on the test samples."""
    rows = {row.method: row for row in summary.methods if row.runs}
    if not any(row.trained for row in rows.values()):
        return "No run has finished, so there is nothing to compare."
    if summary.baseline not in rows:
        return f"The baseline {summary.baseline} has no finished run, so no method is compared with it."
    return f"{_learned_nothing(summary)}{_answer(summary, rows)}"


def details(summary: Summary) -> Iterator[str]:
    """What qualifies the headline: training again, the operating point, few samples, missing runs."""
    best = lead_comparison(summary)
    if best is not None:
        yield _over_runs(summary, best)
    yield from _best_on_test(summary)
    yield from _operating_point(summary)
    yield from _few_positives(summary)
    yield from _not_asked_for(summary)
    broken = len(summary.failures)
    if broken:
        yield f"{count(broken, 'run')} failed and {'is' if broken == 1 else 'are'} left out of every figure."
    if summary.missing:
        yield f"The comparison is not complete: {count(summary.missing, 'run')} still to be trained."


def lead(summary: Summary) -> str | None:
    """The method that the headline speaks of: the chosen one, else that which looks best on the test."""
    return summary.chosen.method if summary.chosen else summary.leader


def lead_comparison(summary: Summary) -> Comparison | None:
    """The comparison that the headline speaks of; of a chosen baseline that with its nearest rival."""
    deciding = [one for one in summary.comparisons if one.measure == summary.deciding.key]
    named = [one for one in deciding if one.method == lead(summary)]
    asked = [one for one in deciding if one.method not in summary.added]
    sign = 1 if summary.deciding.better == "higher" else -1
    return max(named or asked, key=lambda one: sign * one.difference, default=None)


def _learned_nothing(summary: Summary) -> str:
    """Methods whose models are no better than a coin, named before anything else."""
    trained = [row.method for row in summary.methods if row.trained and row.runs]
    if not summary.degenerate:
        return ""
    if len(summary.degenerate) == len(trained):
        return f"No method learned anything: {trained[0]} {summary.degenerate[trained[0]]}. "
    each = joined([f"{name} {sign}" for name, sign in summary.degenerate.items()])
    return f"Not learned: {each}. "


def _answer(summary: Summary, rows: Mapping[str, Row]) -> str:
    baseline, best, name = summary.baseline, lead_comparison(summary), lead(summary)
    if best is None or name is None:
        return f"{_figure(summary, rows[baseline], opening=True)} No other method finished with it."
    how = (
        "Validation chose"
        if summary.chosen
        else "Without validation samples none is chosen; on the test the best is"
    )
    difference, better = _difference(summary, best), _better(summary, best)
    if name == baseline:
        figures = f"{how} {baseline}, the baseline: {_figure(summary, rows[baseline])}"
        if _shown(summary, best) and better:
            return f"{figures} {best.method} is shown to be better on the test: {difference}."
        return f"{figures} No method is shown to be better; the nearest is {best.method}: {difference}."
    theirs = f"{baseline} {_reaches(summary)} {_percent(summary, rows[baseline])}."
    figures = f"{how} {name}: {_figure(summary, rows[name])} {theirs}"
    if _shown(summary, best):
        return f"{figures} It is shown to be {'better' if better else 'worse'}: {difference}."
    verdict = "No difference is shown" if best.runs > 1 else "One run shows no difference"
    return f"{figures} {verdict}: {difference}."


def _better(summary: Summary, one: Comparison) -> bool:
    return one.difference > 0 if summary.deciding.better == "higher" else one.difference < 0


def _figure(summary: Summary, row: Row, *, opening: bool = False) -> str:
    """What a method reaches on the test samples, as a sentence."""
    start = f"{row.method} " if opening else "it "
    text = f"{_at(summary)}{start}{_reaches(summary)} {_percent(summary, row)} on the test samples."
    return text[0].upper() + text[1:] if opening and summary.critical else text


def _percent(summary: Summary, row: Row) -> str:
    figure = summary.deciding.text(row.cells[summary.deciding.key].mean)
    if not summary.deciding.percent:
        return f"{figure} per sample"
    return f"{figure} % false alarms" if summary.critical else f"{figure} %"


def _at(summary: Summary) -> str:
    if not summary.critical or not summary.deciding.percent:
        return ""
    return f"at {percent(summary.at_tpr)} sensitivity for {_listed(summary.critical)} "


def _reaches(summary: Summary) -> str:
    if not summary.deciding.percent:
        return "costs"
    return "raises" if summary.critical else "reaches a balanced accuracy of"


def _pre_chosen(summary: Summary, one: Comparison) -> bool:
    """Whether validation named it before the test samples were looked at: one test needs no correction."""
    return summary.chosen is not None and one.method == summary.chosen.method


def _shown(summary: Summary, one: Comparison) -> bool:
    return one.p_value < ALPHA if _pre_chosen(summary, one) else one.shown


def _difference(summary: Summary, one: Comparison) -> str:
    """The difference with its interval and p, which Holm's correction allows for where the test chose."""
    column = summary.deciding
    points = " points" if column.percent else ""
    found = f"difference {column.change(one.difference)}{points}"
    if one.runs == 1:
        return f"{found}, without an interval, as another training may change it by any amount"
    low, high, p_value = one.corrected_low, one.corrected_high, one.p_holm
    if _pre_chosen(summary, one):
        low, high, p_value = one.low, one.high, one.p_value
    bounds = f"{column.change(low)} to {column.change(high)}"
    return f"{found}, 95 % interval {bounds} over trainings and test samples, {p_phrase(p_value)}"


def _over_runs(summary: Summary, best: Comparison) -> str:
    """What the runs say, and how many would be needed."""
    if best.runs == 1:
        change = summary.deciding.change
        samples = f"{change(best.samples_low)} to {change(best.samples_high)}"
        return (
            f"One run per method: over other test samples alone the difference of {best.method} would lie at "
            f"{samples}. Give --seeds for an interval that holds for another training."
        )
    agree = f"{best.same_side} of {best.runs} runs have the sign of the mean difference"
    if best.difference == 0:
        agree = "the mean difference is 0"
    text = f"{best.method} against {best.baseline}: {agree}."
    if _shown(summary, best):
        return text
    if best.runs_needed is None:
        return f"{text} More runs alone could not show such a difference: it takes more test samples."
    if best.runs_needed <= best.runs:
        return text
    return f"{text} About {best.runs_needed} runs would show such a difference, by the spread seen so far."


def _best_on_test(summary: Summary) -> Iterator[str]:
    """The method that looks best on the test samples, where validation chose another."""
    rows = {row.method: row for row in summary.methods}
    if summary.chosen is None or summary.leader in (None, summary.chosen.method):
        return
    row = rows[str(summary.leader)]
    yield (
        f"{row.method} looks best on the test samples ({_percent(summary, row)}); a method picked by the "
        "test looks better there than it is."
    )


def _not_asked_for(summary: Summary) -> Iterator[str]:
    """Rows that the command added by itself."""
    for name, why in summary.added.items():
        yield f"{name} was not asked for: {why}."


def _operating_point(summary: Summary) -> Iterator[str]:
    if not summary.critical or lead(summary) is None:
        return
    used = {one.method: one for one in summary.decisions if one.in_use}
    parts = [
        f"{name} finds {100 * used[name].sensitivity.value:.1f} % "
        f"({100 * used[name].sensitivity.low:.1f} to {100 * used[name].sensitivity.high:.1f}) and raises "
        f"{100 * used[name].false_alarms.value:.1f} % false alarms"
        for name in dict.fromkeys([str(lead(summary)), summary.baseline])
        if name in used
    ]
    if parts:
        yield f"In use: {summary.promise}"
        yield f"At that threshold, on the test samples, {'; '.join(parts)}."
    else:
        yield (
            "No threshold was chosen on held-out samples, so what would be found and raised in use "
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
