"""What ranks over several data sets allow to be said, and what they do not."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from steelyard.report.comparison import ALPHA
from steelyard.report.measures import count, joined, p_phrase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steelyard.report.ranks import Ranking

FEW_DATA_SETS = 5


def headline(ranking: Ranking) -> str:
    """Whether the methods differ, and which comes first."""
    over = f"Over {len(ranking.data_sets)} data sets"
    test = f"(Friedman's test, {p_phrase(ranking.friedman_p)})"
    first, last = ranking.best_first[0], ranking.best_first[-1]
    lead = [one.method for one in ranking.methods if one.average_rank == first.average_rank]
    have, are = ("have", "are") if len(lead) > 1 else ("has", "is")
    best = f"{joined(lead)} {have} the best average rank, {first.average_rank:.2f}"
    if ranking.friedman_p >= ALPHA:
        if len(lead) == len(ranking.methods):
            return f"{over} the methods have equal average ranks {test}."
        worst = f"the worst is {last.average_rank:.2f}, of {last.method}"
        return f"{over} the methods are not shown to differ {test}. {best}; {worst}."
    apart, near = _from_the_best(ranking)
    if not apart:
        return f"{over} the methods differ {test}. {best}, yet Nemenyi's test tells no two of them apart."
    but = f", not from {joined(near)}" if near else ""
    return f"{over} the methods differ {test}. {best}, and {are} shown to differ from {joined(apart)}{but}."


def details(ranking: Ranking) -> Iterator[str]:
    """What qualifies the headline: few data sets, what ranks leave out, methods and runs that are missing."""
    yield from _power(ranking)
    if ranking.friedman_p >= ALPHA:
        yield (
            "Nemenyi's test is meant for methods that Friedman's test has shown to differ; here its bars "
            "show only how far apart average ranks would have to lie."
        )
    yield (
        "A rank says who comes first, not by how much, and hides the spread between runs; the pages of the "
        "single studies have both."
    )
    yield from _not_independent(ranking)
    for one in ranking.left_out:
        yield f"{one.method} is left out: it has no figure for {joined(one.lacks)}."
    for data_set in ranking.data_sets:
        if data_set.failed:
            yield f"{data_set.name}: {count(data_set.failed, 'run')} failed; means are over the others."
        if data_set.missing:
            yield f"{data_set.name}: {count(data_set.missing, 'run')} still to be trained."


def _from_the_best(ranking: Ranking) -> tuple[list[str], list[str]]:
    """The methods that Nemenyi's test tells from the best, and the others behind it."""
    first, *others = ranking.best_first
    behind = [one for one in others if one.average_rank > first.average_rank]
    near = [
        one.method for one in behind if one.average_rank - first.average_rank < ranking.critical_difference
    ]
    return [one.method for one in behind if one.method not in near], near


def _power(ranking: Ranking) -> Iterator[str]:
    data_sets, methods = len(ranking.data_sets), len(ranking.methods)
    if data_sets < FEW_DATA_SETS:
        yield (
            f"{data_sets} data sets are too few to conclude that methods are equal: below about "
            f"{FEW_DATA_SETS} Friedman's and Nemenyi's tests have next to no power, and their p-values "
            "are rough."
        )
    if ranking.least_p >= ALPHA:
        yield (
            f"Even if every data set ranked the methods alike, Friedman's test could not fall below "
            f"{p_phrase(ranking.least_p)} here."
        )
    widest = methods - 1
    if ranking.critical_difference > widest:
        needed = math.ceil(data_sets * (ranking.critical_difference / widest) ** 2)
        yield (
            f"Nemenyi's critical difference, {ranking.critical_difference:.2f}, is larger than any "
            f"difference that {methods} methods can have ({widest}): no two can be told apart. That takes "
            f"at least {needed} data sets."
        )


def _not_independent(ranking: Ranking) -> Iterator[str]:
    often = Counter(data_set.source for data_set in ranking.data_sets)
    for source, times in often.items():
        if times > 1:
            yield (
                f"{source} stands behind {times} of the data sets, in different settings; the tests take "
                "data sets as independent, so their p-values are too small here."
            )
