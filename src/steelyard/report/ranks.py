"""Several studies of different data sets: how the methods rank over them (Demšar, JMLR 2006)."""

from __future__ import annotations

import dataclasses
import math
import os
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from steelyard._checks import InputError
from steelyard.metrics import average_ranks, critical_difference, friedman_test
from steelyard.report import verdict
from steelyard.report.comparison import ALPHA
from steelyard.report.ranking import DataSet, LeftOut, Place, Ranked, Ranking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from steelyard.report.summary import Summary
    from steelyard.studies.store import Store

Study = tuple["Store", "Summary"]


def rank(studies: Sequence[Study], folder: Path) -> Ranking:
    """Rank the methods that all ``studies`` hold, for a page in ``folder``.

    Raises:
        InputError: if the studies cannot be ranked together: different deciding measures, a data set that
            comes twice, or fewer than two common methods.
    """
    _refuse_different_measures(studies)
    _refuse_a_data_set_twice(studies)
    names, values = _names(studies), _values(studies)
    common = _common(values)
    measure = studies[0][1].deciding
    table = np.array([values[method] for method in common]).T  # (data sets, methods)
    better = -table if measure.better == "lower" else table
    places = np.array([average_ranks([row]) for row in better])
    average = average_ranks(better).tolist()
    test = friedman_test(better)
    width = critical_difference(len(common), len(studies), 1 - ALPHA)
    found = Ranking(
        headline="",
        details=(),
        measure=measure,
        data_sets=tuple(_data_set(*each, folder) for each in zip(names, studies, strict=True)),
        methods=tuple(
            Ranked(method, average[m], tuple(map(Place, table[:, m].tolist(), places[:, m].tolist())))
            for m, method in enumerate(common)
        ),
        left_out=_left_out(names, values),
        friedman_statistic=test.statistic,
        friedman_p=test.p_value,
        least_p=friedman_test([range(len(common))] * len(studies)).p_value,
        critical_difference=width,
        groups=groups(dict(zip(common, average, strict=True)), width),
    )
    return dataclasses.replace(found, headline=verdict.headline(found), details=tuple(verdict.details(found)))


def groups(average: Mapping[str, float], width: float) -> tuple[tuple[str, ...], ...]:
    """The largest groups of two or more methods whose average ranks lie less than ``width`` apart.

    >>> groups({"a": 1.0, "b": 1.5, "c": 2.2, "d": 3.5}, 1.0)
    (('a', 'b'), ('b', 'c'))
    """
    ordered = sorted(average, key=average.__getitem__)
    found, reached = [], 0
    for start, first in enumerate(ordered):
        near = tuple(name for name in ordered[start:] if average[name] - average[first] < width)
        if len(near) > 1 and start + len(near) > reached:  # otherwise a part of the group before
            found.append(near)
        reached = max(reached, start + len(near))
    return tuple(found)


def _refuse_different_measures(studies: Sequence[Study]) -> None:
    (first, leading), *others = studies
    for store, summary in others:
        if summary.deciding != leading.deciding:
            raise InputError(
                f"the studies are decided by different measures ({first.folder}: {leading.deciding.label}; "
                f"{store.folder}: {summary.deciding.label}); give critical classes, and the same "
                "sensitivity, in all of them or in none."
            )


def _refuse_a_data_set_twice(studies: Sequence[Study]) -> None:
    for place, (store, summary) in enumerate(studies):
        for other, earlier in studies[:place]:
            if _what(store, summary) == _what(other, earlier):
                raise InputError(
                    f"{other.folder} and {store.folder} hold studies of the same data set, {summary.name}, "
                    "in the same settings; ranks need different data sets, each once."
                )


def _what(store: Store, summary: Summary) -> tuple[object, ...]:
    return summary.name, store.study.data, summary.critical


def _names(studies: Sequence[Study]) -> list[str]:
    """What the page calls each data set: its name, with the folder where two go by one name."""
    often = Counter(summary.name for _, summary in studies)
    return [
        f"{summary.name} ({store.folder})" if often[summary.name] > 1 else summary.name
        for store, summary in studies
    ]


def _values(studies: Sequence[Study]) -> dict[str, list[float]]:
    """Means of the deciding measure of every trained method, study by study; NaN where there is none."""
    means = [
        {row.method: row.cells[summary.deciding.key].mean for row in summary.methods if row.trained}
        for _, summary in studies
    ]
    every = dict.fromkeys(method for found in means for method in found)
    return {method: [found.get(method, math.nan) for found in means] for method in every}


def _common(values: Mapping[str, Sequence[float]]) -> list[str]:
    """The methods that have a figure in every study."""
    found = [method for method, means in values.items() if all(map(math.isfinite, means))]
    if len(found) < 2:
        raise InputError(
            f"expected at least 2 methods with a figure in every study, got {', '.join(found) or 'none'}; "
            "compare the same methods on every data set."
        )
    return found


def _left_out(names: Sequence[str], values: Mapping[str, Sequence[float]]) -> tuple[LeftOut, ...]:
    lacks = {
        method: tuple(name for name, mean in zip(names, means, strict=True) if not math.isfinite(mean))
        for method, means in values.items()
    }
    return tuple(LeftOut(method, lacking) for method, lacking in lacks.items() if lacking)


def _data_set(name: str, study: Study, folder: Path) -> DataSet:
    store, summary = study
    page = os.path.relpath(store.folder / "report.html", folder).replace(os.sep, "/")
    return DataSet(
        name=name,
        source=summary.name,
        page=quote(page),
        critical=summary.critical,
        training=summary.samples.get("train", 0),
        test=summary.samples.get("test", 0),
        runs=summary.seeds * summary.folds,
        failed=len(summary.failures),
        missing=summary.missing,
    )
