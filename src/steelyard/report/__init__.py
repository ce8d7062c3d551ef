"""From the stores of comparisons to numbers, words and pages; trains nothing, needs no torch."""

from steelyard.report.gallery import wanted
from steelyard.report.ranking import Ranking
from steelyard.report.summary import Summary
from steelyard.report.terminal import ranks_table, terminal_table
from steelyard.report.tuning import TuningSummary
from steelyard.report.writing import write, write_ranks, write_tuning

__all__ = [
    "Ranking",
    "Summary",
    "TuningSummary",
    "ranks_table",
    "terminal_table",
    "wanted",
    "write",
    "write_ranks",
    "write_tuning",
]
