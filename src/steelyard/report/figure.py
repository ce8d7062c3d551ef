"""Figures as inline SVG that follow the page's theme, with their data and their finding in words."""

from __future__ import annotations

import io
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

# Colours of no meaning to the eye: the page puts its own in their place, for light and for dark.
INK, MUTED, LINE, ACCENT, SURFACE = "#b00001", "#b00002", "#b00003", "#b00004", "#b00005"
_THEME = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    ACCENT: "var(--accent)",
    SURFACE: "var(--surface)",
}
SERIES = 7  # colours of the palette (Okabe and Ito's, which colour-blind eyes tell apart)
MARKERS = "osD^vPX"
DASHES = ("solid", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (7, 1.6, 1.2, 1.6)))
_LEGEND = 66  # letters that fit beside one another in a legend
WIDTH = 5.6  # inches at 72 dots: the width at which the text is as large as the page's small print

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names of classes may hold dollar signs
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture, what it shows in words, and the numbers behind it."""

    name: str  # of its file under plots/
    title: str
    finding: str  # the alternative text: what a reader would see
    svg: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Look:
    """How one method is drawn in every plot: colour, marker and dashes, so that it reads in grey too."""

    place: int

    @property
    def colour(self) -> str:
        """A stand-in that becomes ``var(--s0)`` ... ``var(--s6)`` in the page."""
        return f"#a0000{self.place % SERIES}"

    @property
    def marker(self) -> str:
        """One marker a method."""
        return MARKERS[self.place % len(MARKERS)]

    @property
    def dash(self) -> Any:
        """One dash pattern a method."""
        return DASHES[self.place % len(DASHES)]


class _AfterTraining(Look):
    """How rows made after training are drawn: in the colour of the text."""

    @property
    def colour(self) -> str:
        return INK


AFTER_TRAINING = _AfterTraining(0)


@contextmanager
def axes(height: float = 3.5, width: float = WIDTH) -> Iterator[tuple[Figure, Axes]]:
    """A figure of one pair of axes in the page's style."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=72, layout="constrained")
        yield figure, figure.subplots()


def legend(ax: Axes, count: int) -> None:
    """A legend above the axes, where it covers nothing."""
    if count:
        sizes = [len(text) + 8 for text in ax.get_legend_handles_labels()[1]]  # 8: the line before the name
        columns = count if sum(sizes) <= _LEGEND else max(1, _LEGEND // max(sizes))
        ax.figure.legend(loc="outside upper left", ncols=columns, handlelength=2.6, columnspacing=1.4)


def svg(figure: Figure, name: str) -> str:
    """``figure`` as an SVG element for the page; the same figure always gives the same text."""
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the reader's own fonts draw the names
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    return _for_page(buffer.getvalue(), name)


def _for_page(text: str, name: str) -> str:
    """Keep the drawing alone: no prolog, no fixed size or font, no id that nothing refers to."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    used = set(re.findall(r"""(?:href="#|url\(#)([\w-]+)""", text))
    # Only what stands inside a tag is touched: the names in the text stay as they are.
    text = re.sub(r"<[^<>]+>", lambda tag: _clean(tag[0], name, used), text)
    text = re.sub(r"<defs>\s*</defs>", "", text)
    return re.sub(r"\s*\n\s*", "\n", text)


def _clean(tag: str, name: str, used: set[str]) -> str:
    """One tag with the page's colours, its own ids and no more digits than a screen can show."""
    if tag.startswith("<svg"):
        box = re.search(r'viewBox="[^"]*"', tag)
        return f'<svg {box[0] if box else ""} aria-hidden="true" focusable="false">'
    tag = tag.replace("xlink:href=", "href=")
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", tag)
    tag = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag)
    tag = re.sub(r"(href=\"#|url\(#)([\w-]+)", rf"\1{name}-\2", tag)
    for stand_in, real in _THEME.items():
        tag = tag.replace(stand_in, real)
    tag = re.sub(r"#a0000(\d)", r"var(--s\1)", tag)
    return re.sub(r"(-?\d+\.\d{2})\d+", r"\1", tag)


def short(name: str, length: int = 22) -> str:
    """``name`` cut for a label; control characters, which no file of text may hold, are dropped."""
    clean = "".join(sign if sign.isprintable() else " " for sign in name)
    return clean if len(clean) <= length else f"{clean[: length - 1]}…"


def listed(parts: Sequence[str]) -> str:
    """Findings of several methods as one sentence."""
    return "; ".join(parts) + "."
