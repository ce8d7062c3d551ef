"""From the store of a comparison to its numbers, words and page; trains nothing, needs no torch."""

from steelyard.report.gallery import wanted
from steelyard.report.summary import Summary
from steelyard.report.terminal import terminal_table
from steelyard.report.writing import write

__all__ = ["Summary", "terminal_table", "wanted", "write"]
