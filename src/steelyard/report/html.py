"""The pages: each one HTML file that needs nothing else, neither files nor a network."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from importlib import resources
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from steelyard.report import suspects
from steelyard.report.figure import MARKERS, SERIES
from steelyard.report.gallery import galleries, pictures
from steelyard.report.measures import UNKNOWN, number, p_phrase, p_text
from steelyard.report.pairs import sentences
from steelyard.studies.config import as_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from steelyard.report.audit import Audit
    from steelyard.report.evidence import Evidence
    from steelyard.report.figure import Plot
    from steelyard.report.ranking import Ranking
    from steelyard.report.summary import Summary
    from steelyard.report.tuning import TuningSummary
    from steelyard.studies.store import Store

MOST_COLUMNS = 12  # of a table that the page of an audit shows
MOST_PAIRS = 20  # of classes, likewise


def page(evidence: Evidence, summary: Summary, plots: Mapping[str, Sequence[Plot]]) -> str:
    """The text of a study's ``report.html``."""
    shown = pictures(evidence.store)
    return _fill(
        "page.html",
        summary=summary,
        facts=evidence.facts,
        study=evidence.store.study,
        parts=("train", *evidence.store.study.parts),
        configuration=as_yaml(evidence.store.study),
        plots=_drawn(plots),
        galleries=[one.among(shown) for one in galleries(evidence)],
        pictures=shown,
        looks=_looks(evidence.methods),
        tests=_by_measure(summary),
        decided=[list(rules) for _, rules in groupby(summary.decisions, key=attrgetter("method"))],
        phases=sentences(evidence),
    )


def ranks_page(ranking: Ranking, plots: Mapping[str, Sequence[Plot]]) -> str:
    """The text of the ``report.html`` over several studies."""
    return _fill(
        "ranks.html",
        summary=ranking,
        plots=_drawn(plots),
        looks=_looks(one.method for one in ranking.methods),
    )


def audit_page(store: Store, found: Audit, top: int, plot: Plot) -> str:
    """The text of ``audit.html``: the ``top`` of the ranking, pictures of it, pairs of classes."""
    facts, kept = store.facts(), store.values()
    columns = [] if kept is None else kept["column"].tolist()
    values = {} if kept is None else dict(zip(kept["index"].tolist(), kept["value"].tolist(), strict=True))
    return _fill(
        "audit.html",
        summary={"headline": suspects.headline(found), "details": suspects.details(found)},
        name=facts["name"],
        command=facts["command"],
        folds=store.study.folds,
        found=found,
        top=top,
        weighted=found.ranking[0].weight is not None,
        looks_like=[suspects.looks_like(found, one) for one in found.ranking[:top]],
        by_class=suspects.by_class(found),
        strips=suspects.strips(found, top),
        pictures=pictures(store),
        pairs=suspects.pairs(found),
        most_pairs=MOST_PAIRS,
        columns=columns[:MOST_COLUMNS],
        more_columns=max(0, len(columns) - MOST_COLUMNS),
        values={row: value[:MOST_COLUMNS] for row, value in values.items()},
        plots=_drawn({"answer": [plot]}),
    )


def tuning_page(summary: TuningSummary, plots: Mapping[str, Sequence[Plot]]) -> str:
    """The text of the ``report.html`` of a search for parameters."""
    return _fill(
        "tuning.html",
        summary=summary,
        plots=_drawn(plots),
        looks=_looks(one.method for one in summary.methods),
    )


def _fill(template: str, **values: Any) -> str:
    """The text of a page; every name from outside is escaped by the template engine."""
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "p": p_text,
        "p_phrase": p_phrase,
        "duration": duration,
        "memory": memory,
        "plain": number,
        "tight": tight,
        "trimmed": trimmed,
    }
    script = _source("page.js")
    return environment.get_template(template).render(
        **values,
        style=Markup(_source("page.css")),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package
        policy=_policy(script),
    )


def _drawn(plots: Mapping[str, Sequence[Plot]]) -> dict[str, list[tuple[Plot, Markup]]]:
    return {name: [(plot, Markup(plot.svg)) for plot in each] for name, each in plots.items()}  # noqa: S704 - our own drawing


def _looks(methods: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Colour and marker of each method, as :class:`steelyard.report.figure.Look` draws them."""
    return {name: (place % SERIES, MARKERS[place % SERIES]) for place, name in enumerate(methods)}


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(0.25), duration(75), duration(7320)
    ('0.25 s', '1 min 15 s', '2 h 2 min')
    """
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def memory(size: float) -> str:
    """Bytes as people say them.

    >>> memory(300 * 2**20), memory(2.5 * 2**30)
    ('300 MB', '2.5 GB')
    """
    if not math.isfinite(size):
        return UNKNOWN
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"


def tight(text: str) -> str:
    """``text`` whose figures stay on one line with their sign of percent, and a p with its value.

    >>> tight("44 %, p = 0.01").count(" ")
    1
    """
    return re.sub(r"(?<=\d) (?=%)|(?<=\bp) (?=[=<])|(?<=p [=<]) (?=\d)", "\N{NO-BREAK SPACE}", text)


def trimmed(text: str) -> str:
    """A number without decimals that say nothing.

    >>> trimmed("95.0000"), trimmed("2.50")
    ('95', '2.5')
    """
    return text.rstrip("0").rstrip(".") if "." in text else text


def _by_measure(summary: Summary) -> list[tuple[Any, list[Any]]]:
    """The comparisons, measure by measure."""
    found = []
    for measure in summary.measures:
        rows = [one for one in summary.comparisons if one.measure == measure.key]
        if rows:
            found.append((measure, rows))
    return found


def _policy(script: str) -> str:
    """Forbid the page everything but its own parts: not even a script that slipped in would run."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _source(name: str) -> str:
    return resources.files("steelyard.report").joinpath(name).read_text(encoding="utf-8")
