"""Decision curves: what acting on a model's alarms is worth, whatever a miss costs against an alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from steelyard import metrics
from steelyard.report.figure import INK, MUTED, Look, Plot, axes, legend, listed, short, svg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from steelyard.report.evidence import Evidence

_GRID = np.linspace(0.01, 0.99, 99)


def net_benefit(evidence: Evidence, looks: Mapping[str, Look]) -> Plot:
    """Net benefit of each method at each threshold probability (Vickers and Elkin, 2006), mean over runs."""
    rows: list[tuple[Any, ...]] = []
    findings = []
    share = float(np.mean([run.positive.mean() for runs in evidence.finished.values() for run in runs]))
    everybody = share - (1 - share) * _GRID / (1 - _GRID)
    with axes(4.3) as (figure, ax):
        ax.axhline(0, color=INK, linewidth=0.9)
        ax.plot(_GRID, everybody, color=MUTED, linewidth=0.9, dashes=(2, 3))
        best = share
        for name, runs in evidence.finished.items():
            each = np.array([metrics.net_benefit(run.positive, expit(run.score), _GRID) for run in runs])
            mean, sd = each.mean(axis=0), each.std(axis=0)
            look = looks[name]
            ax.plot(_GRID, mean, color=look.colour, linestyle=look.dash, label=short(name))
            ax.fill_between(_GRID, mean - sd, mean + sd, color=look.colour, alpha=0.13, linewidth=0)
            rows += [
                (name, *map(float, point)) for point in zip(_GRID.round(2), mean, sd, everybody, strict=True)
            ]
            findings.append(f"{name} {_range(mean > np.maximum(everybody, 0))}")
        ax.set(
            xlim=(0, 1),
            ylim=(-0.15 * best, 1.1 * best),
            xlabel="Probability from which on to act",
            ylabel="Net benefit, true alarms per sample",
        )
        legend(ax, len(findings))
        drawing = svg(figure, "net_benefit")
    finding = (
        "Acting from a probability of p on takes p / (1 - p) of a true alarm off for each false one. The "
        "dotted line is to act on every sample, the line at 0 to act on none. Better than both: "
        + listed(findings)
    )
    columns = ("method", "probability", "net_benefit", "sd", "act_on_all")
    return Plot("net_benefit", "Decision curve: what acting is worth", finding, drawing, columns, rows)


def _range(useful: NDArray[np.bool_]) -> str:
    """The longest stretch of probabilities without a gap."""
    stretches = np.split(np.arange(len(useful)), np.flatnonzero(np.diff(useful)) + 1)
    longest = max((one for one in stretches if useful[one[0]]), key=len, default=None)
    return "nowhere" if longest is None else f"from {_GRID[longest[0]]:.2f} to {_GRID[longest[-1]]:.2f}"
