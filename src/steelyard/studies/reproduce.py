"""The papers' experiments as data: what they did, what they found, and what comes out here."""

from __future__ import annotations

import re
from collections import defaultdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml
from pydantic import Field

from steelyard import _checks as check
from steelyard.recipe import Frozen
from steelyard.studies.config import Study, study

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Scale = Literal["quick", "full"]


class PaperFigure(Frozen):
    """One number that a paper prints, in the unit of our measure."""

    method: str  # the word of the method here
    row: str = ""  # what follows the word in the table of methods, as ", ensemble, thinned test"
    minus: str = ""  # word of the method to which the number is the difference; empty: it stands for itself
    measure: str
    value: float
    part: str = ""
    among: tuple[str, ...] = ()  # methods of which the paper reports the best as `method`
    spread: float | None = None  # standard deviation, where the paper gives one
    place: str = ""  # table or figure of the paper


class PaperTable(Frozen):
    """Figures of a paper that share all but method and measure."""

    place: str
    part: str = ""
    row: str = ""
    measures: tuple[str, ...]  # of the columns
    values: dict[str, tuple[float | tuple[float, float], ...]]  # by method; with a spread in pairs

    def figures(self) -> Iterator[PaperFigure]:
        """Row by row."""
        for method, values in self.values.items():
            for measure, value in zip(self.measures, values, strict=True):
                mean, spread = value if isinstance(value, tuple) else (value, None)
                same = {"part": self.part, "row": self.row, "place": self.place}
                yield PaperFigure(method=method, measure=measure, value=mean, spread=spread, **same)


class Experiment(Frozen):
    """An experiment of a paper: one study, or several that differ in a few settings (its parts)."""

    title: str
    source: str  # paper, section, tables and figures
    note: str = ""  # where the paper is silent or this differs from it, in words
    study: dict[str, Any]  # the paper's settings
    quick: dict[str, Any]  # what the honest small version changes
    backbone: dict[str, Any] | None = None  # data, model and training whose features the parts have as data
    parts: dict[str, dict[str, Any]] = Field({"": {}})  # name -> what it changes, under `quick` there alone
    figures: tuple[PaperFigure, ...] = ()
    tables: tuple[PaperTable, ...] = ()
    own_data: bool = False  # whether the data, and what is critical in it, is the user's to name

    @property
    def all_figures(self) -> list[PaperFigure]:
        """The single ones, then those of the tables."""
        return [*self.figures, *(figure for table in self.tables for figure in table.figures())]

    def backbone_study(self, scale: Scale) -> Study | None:
        """The one plain training on whose features the parts run; None where they have data of their own."""
        if self.backbone is None:
            return None
        return study(_of_part({"methods": ["ce"], "seeds": 1}, self.backbone, scale))

    def studies(self, scale: Scale, data: str | None = None, **other: Any) -> dict[str, Study]:
        """The studies to run, by part.

        Args:
            scale: As the paper, or the small version.
            data: Source of the samples, in place of the experiment's own; where it has a backbone, the file
                of its features or others.
            other: Settings of a study, in place of the experiment's own; None leaves those.

        Raises:
            InputError: if the experiment has no data of its own and none is given.
        """
        if self.own_data and not (data and other.get("critical")):
            raise check.InputError(
                f"{self.title!r} is for data of your own: give --data FOLDER and --critical CLASS."
            )
        base = _merged(self.study, self.quick) if scale == "quick" else self.study
        changed = {key: value for key, value in other.items() if value is not None}
        changed |= {"data": {"source": data}} if data else {}
        parts = {part: _of_part(base, changes, scale) for part, changes in self.parts.items()}
        return {part: study(_merged(settings, changed)) for part, settings in parts.items()}


def experiments() -> list[str]:
    """Names of the experiments that can be run again."""
    folder = files("steelyard.studies") / "papers"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def experiment(name: str) -> Experiment:
    """The experiment called ``name``."""
    check.one_of("experiment", name, experiments())
    text = (files("steelyard.studies") / "papers" / f"{name}.yaml").read_text(encoding="utf-8")
    return Experiment.model_validate(yaml.safe_load(text))


def beside_the_paper(
    asked: Experiment, results: Mapping[str, Sequence[Mapping[str, str]]]
) -> list[dict[str, Any]]:
    """For every figure of the paper what came out here: mean, standard deviation and number of runs.

    Args:
        asked: The experiment.
        results: Rows of ``results.csv`` by part.
    """
    results = {part: [*rows, *_chosen(asked, part, rows)] for part, rows in results.items()}
    found: dict[tuple[str, str, str], dict[tuple[str, ...], float]] = defaultdict(dict)
    for part, rows in results.items():
        for row in rows:
            if row["split"] == "test":
                run = row["seed"], row["fold"], row.get("member", "")
                name = re.sub(r", ensemble of \d+", ", ensemble", row["method"])
                found[part, name, row["metric"]][run] = float(row["value"])
    table = []
    for figure in asked.all_figures:
        of_runs = found[figure.part, figure.method + figure.row, figure.measure]
        if figure.minus:
            others = found[figure.part, figure.minus + figure.row, figure.measure]
            of_runs = {key: value - others[key] for key, value in of_runs.items() if key in others}
        ours = np.array(list(of_runs.values()))
        row = figure.model_dump() | {"n": len(ours), "ours": None, "sd": None}
        if len(ours):
            row["ours"] = float(ours.mean())
            row["sd"] = float(ours.std(ddof=1)) if len(ours) > 1 else None
        table.append(row)
    return table


def _chosen(asked: Experiment, part: str, rows: Sequence[Mapping[str, str]]) -> Iterator[Mapping[str, str]]:
    """The best of the methods among which a figure's is chosen, as rows of that figure's method.

    The best has the largest mean over the runs: on validation samples where the part holds some out,
    elsewhere on the test samples, as the papers do.
    """
    for figure in asked.figures:
        mine = [
            row
            for row in rows
            if figure.part == part and row["method"] in figure.among and row["metric"] == figure.measure
        ]
        judge = "val" if any(row["split"] == "val" for row in mine) else "test"
        values: dict[str, list[float]] = defaultdict(list)
        for row in mine:
            if row["split"] == judge:
                values[row["method"]].append(float(row["value"]))
        best = max(values, key=lambda method: np.mean(values[method]), default=None)
        yield from ({**row, "method": figure.method} for row in mine if row["method"] == best)


def _of_part(base: Mapping[str, Any], changes: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    """``base`` with the changes of a part, at the quick scale with those that it makes there alone too."""
    merged = _merged(base, {key: value for key, value in changes.items() if key != "quick"})
    return _merged(merged, changes.get("quick", {})) if scale == "quick" else merged


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, nested keys one by one."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
