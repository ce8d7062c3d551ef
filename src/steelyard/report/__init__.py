"""From the stores of comparisons to numbers, words and pages; trains nothing, needs no torch."""

from steelyard.report.audit import Audit, audit
from steelyard.report.confirmed import Confirmed, confirmed
from steelyard.report.gallery import wanted
from steelyard.report.ranking import Ranking
from steelyard.report.summary import Summary, as_json
from steelyard.report.suspects import shown
from steelyard.report.terminal import audit_table, confirmed_table, ranks_table, terminal_table
from steelyard.report.tuning import TuningSummary
from steelyard.report.writing import write, write_audit, write_ranks, write_tuning

__all__ = [
    "Audit",
    "Confirmed",
    "Ranking",
    "Summary",
    "TuningSummary",
    "as_json",
    "audit",
    "audit_table",
    "confirmed",
    "confirmed_table",
    "ranks_table",
    "shown",
    "terminal_table",
    "wanted",
    "write",
    "write_audit",
    "write_ranks",
    "write_tuning",
]
