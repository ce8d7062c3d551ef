"""The critical-difference diagram (Demšar, JMLR 2006): average ranks, and who is not told from whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.report.figure import INK, MUTED, SURFACE, Look, Plot, axes, short, svg
from steelyard.report.measures import joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from steelyard.report.ranks import Ranked, Ranking

_ROW = 0.27  # inches of a label, and of the ruler
_BAR = 0.17


def critical_difference_diagram(ranking: Ranking) -> Plot:
    """Average ranks on an axis, best at the left; a bar joins methods that are not told apart."""
    ordered = ranking.best_first
    looks = {one.method: Look(place) for place, one in enumerate(ranking.methods)}
    labels = len(ordered) * _ROW
    bars = len(ranking.groups) * _BAR
    ends = max(len(ordered), 1 + ranking.critical_difference)  # the ruler may be longer than the axis
    with axes(0.5 + 2 * _ROW + bars + labels) as (figure, ax):
        # One unit of y is an inch, downward from the axis of ranks.
        ax.set(xlim=(0.9, ends + 0.1), ylim=(bars + labels + 0.2, -2 * _ROW))
        _axis(ax, len(ordered))
        _ruler(ax, ranking.critical_difference)
        average = {one.method: one.average_rank for one in ordered}
        for place, group in enumerate(ranking.groups):
            y = _BAR * (place + 1)
            bar = [average[group[0]] - 0.03, average[group[-1]] + 0.03]
            ax.plot(bar, [y, y], color=INK, linewidth=4, solid_capstyle="butt")
        _labels(ax, ordered, looks, bars + 0.2)
        drawing = svg(figure, "critical_difference")
    rows = [
        (one.method, one.average_rank, *(one.method in group for group in ranking.groups)) for one in ordered
    ]
    columns = ("method", "average_rank", *(f"group_{n + 1}" for n in range(len(ranking.groups))))
    title = "Average ranks with the critical difference"
    return Plot("critical_difference", title, _finding(ranking, ordered), drawing, columns, rows)


def _axis(ax: Axes, methods: int) -> None:
    """The axis of ranks at y = 0, with nothing else of a frame."""
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.plot([1, methods], [0, 0], color=MUTED, linewidth=0.9)
    for rank in range(1, methods + 1):
        ax.plot([rank, rank], [-0.06, 0], color=MUTED, linewidth=0.9)
        ax.text(rank, -0.09, f"{rank}", ha="center", va="bottom", color=MUTED, fontsize=9)


def _ruler(ax: Axes, width: float) -> None:
    y = -1.55 * _ROW
    ax.plot([1, 1 + width], [y, y], color=INK, linewidth=1.2)
    for end in (1, 1 + width):
        ax.plot([end, end], [y - 0.05, y + 0.05], color=INK, linewidth=1.2)
    ax.text(1 + width / 2, y - 0.06, f"critical difference {width:.2f}", ha="center", va="bottom", fontsize=9)


def _labels(ax: Axes, ordered: Sequence[Ranked], looks: dict[str, Look], start: float) -> None:
    """Names at the left, each with a line to its place on the axis; best first, no two lines cross."""
    edge = ax.get_xlim()[0]
    for place, one in enumerate(ordered):
        y, look = start + _ROW * (place + 0.5), looks[one.method]
        ax.plot([one.average_rank, one.average_rank, edge], [0, y, y], color=look.colour, linewidth=1.1)
        ax.plot(one.average_rank, 0, look.marker, color=look.colour, ms=8, mec=SURFACE, zorder=3)
        ax.annotate(f"{short(one.method)}  {one.average_rank:.2f}", (edge, y), xytext=(-5, 0), ha="right",
                    va="center", textcoords="offset points", fontsize=10)  # fmt: skip


def _finding(ranking: Ranking, ordered: Sequence[Ranked]) -> str:
    ranks = ", ".join(f"{one.method} {one.average_rank:.2f}" for one in ordered)
    bars = "; ".join(joined(group) for group in ranking.groups)
    said = f"Bars join methods that are not told apart: {bars}." if bars else "All methods are told apart."
    return (
        f"Best first: {ranks}. Methods whose average ranks lie less than {ranking.critical_difference:.2f} "
        f"apart are not told apart (Nemenyi's test, 5 %). {said}"
    )
