"""The numbers of several studies: how methods rank, as one record and as ``summary.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.report.summary import as_json

if TYPE_CHECKING:
    from steelyard.report.measures import Measure


@dataclass(frozen=True, slots=True)
class DataSet:
    """One study, which stands for one data set."""

    name: str  # with the folder, where two go by one name
    source: str  # the name alone
    page: str  # address of its own page, from the page of ranks
    critical: tuple[str, ...]
    training: int  # samples
    test: int
    runs: int  # of each method, as asked
    failed: int  # over all methods
    missing: int


@dataclass(frozen=True, slots=True)
class Place:
    """One method on one data set."""

    value: float  # mean of the deciding measure over the runs
    rank: float  # 1 is best, equals share


@dataclass(frozen=True, slots=True)
class Ranked:
    """One method over all data sets."""

    method: str
    average_rank: float
    places: tuple[Place, ...]  # in the order of the data sets


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A method that cannot be ranked, as it has no figure for some data sets."""

    method: str
    lacks: tuple[str, ...]  # names of these data sets


@dataclass(frozen=True, slots=True)
class Ranking:
    """Methods ranked over several data sets, in numbers and words."""

    headline: str
    details: tuple[str, ...]
    measure: Measure
    data_sets: tuple[DataSet, ...]
    methods: tuple[Ranked, ...]  # in the order of the first study
    left_out: tuple[LeftOut, ...]
    friedman_statistic: float
    friedman_p: float
    least_p: float  # what the test gives when every data set ranks the methods alike
    critical_difference: float  # of average ranks, Nemenyi's test at 5 %
    groups: tuple[tuple[str, ...], ...]  # methods that are not told apart, best first

    @property
    def best_first(self) -> list[Ranked]:
        """The methods by average rank."""
        return sorted(self.methods, key=lambda one: one.average_rank)

    @property
    def best_ranks(self) -> list[float]:
        """The first rank of each data set: 1, or more where several methods share it."""
        return [
            min(ranks) for ranks in zip(*([p.rank for p in one.places] for one in self.methods), strict=True)
        ]

    def as_json(self) -> str:
        """The text of ``summary.json``."""
        return as_json(self)
