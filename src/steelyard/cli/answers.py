"""What the verbs share: a comparison brought to its end, and answers on the terminal."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from steelyard.data import Dataset
    from steelyard.report import Confirmed, Summary, TuningSummary
    from steelyard.studies.config import Study
    from steelyard.studies.store import Store


def trained(asked: Study, out: Path, workers: int, device: str, quiet: bool) -> Store:
    """Bring a comparison to its end and show how it goes."""
    from steelyard.cli.progress import Watcher
    from steelyard.studies.compare import compare as run_comparison

    command = shlex.join(["steelyard", *sys.argv[1:]])
    with Watcher(Console(stderr=True, quiet=quiet), asked) as watcher:
        return run_comparison(asked, out, watcher, workers=workers, device=device, command=command)


def features_of(backbone: Study, folder: Path, device: str, quiet: bool) -> Path:
    """Train ``backbone`` in ``folder`` and write the features of samples that it never learnt from, once."""
    from steelyard.studies.features import write_features

    store, out = trained(backbone, folder / "backbone", 1, device, quiet), folder / "features.npz"
    if not out.exists():
        write_features(store.folder, backbone.data.source, out, held_out=True, device=device)
    return out


def require_test(asked: Study) -> None:
    """Refuse a comparison without test samples before its trainings, not after them."""
    if "test" not in asked.parts:
        raise InputError(
            "a comparison needs test samples, got --test-fraction 0; that is for `steelyard train`."
        )


def reported(store: Store, as_json: bool, dataset: Dataset | None = None) -> None:
    """Write the page of a comparison, with pictures of its samples, and print the answer."""
    from steelyard import report
    from steelyard.studies.samples import keep_samples

    keep_samples(store, report.wanted(store), dataset)
    compared(report.write(store), store.folder, as_json)


def compared(summary: Summary, out: Path, as_json: bool) -> None:
    """The answer of a comparison: its table, its headline, the command that comes next."""
    from steelyard import report

    promise = [f"In use: {summary.promise}"] if summary.promise else []
    following = [f"Next: {line}" for line in summary.following[:1]]
    answer(report.terminal_table(summary), out, as_json, [summary.headline, *promise, *following])


def answer(found: Table, out: Path, as_json: bool, lines: Sequence[str] = ()) -> None:
    """The main table of a page, what it means, and where the page is."""
    if as_json:
        typer.echo((out / "summary.json").read_text(encoding="utf-8"))
        return
    console = Console()
    console.print(found)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"The page: {out / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def notes(said: Sequence[str]) -> None:
    """What is to be known of the samples behind an answer."""
    for note in said:
        Console().print(f"Note: {note}", highlight=False, markup=False, soft_wrap=True)


def chosen(summary: TuningSummary, out: Path, as_json: bool) -> None:
    """What a search chose, and what to do next."""
    if as_json:
        typer.echo((out / "tuning.json").read_text(encoding="utf-8"))
        return
    rows = [
        (one.method, one.chosen.word, f"{one.chosen.value:.3f}", str(len(one.trials)))
        for one in summary.methods
    ]
    table("Chosen on validation samples", ("method", "chosen", summary.monitor, "trials"), rows)
    for line in (f"The page: {out / 'report.html'}", f"Compare on fresh seeds: {summary.following}"):
        Console().print(line, highlight=False, markup=False, soft_wrap=True)


def beside(rows: Sequence[dict[str, Any]]) -> None:
    """The paper's figures beside ours; of methods that this scale leaves out only the number."""
    run = [row for row in rows if row["ours"] is not None]
    shown = [
        (
            row["part"],
            " minus ".join(filter(None, (row["method"], row["minus"]))) + row["row"],
            row["measure"],
            f"{row['value']:g}",
            f"{row['ours']:.4g} ± {row['sd'] or 0:.2g} (n = {row['n']})",
        )
        for row in run
    ]
    if shown:
        table("Beside the paper", ("part", "method", "measure", "paper", "ours"), shown)
    if len(run) < len(rows):
        typer.echo(f"{len(rows) - len(run)} more figures of the paper are of methods that were not run.")


def kept(store: Store, as_json: bool) -> None:
    """The figures of the only method of ``store`` on the samples that were held out for the answer."""
    part, name = ("test" if "test" in store.study.parts else "val"), str(store.study.methods[0])
    rows = [row for row in store.results() if (row["split"], row["method"]) == (part, name)]
    if part == "val":
        said = (
            "the figures are of the validation samples, which chose the threshold" if rows else "no figures"
        )
        typer.echo(f"steelyard: nothing is tested: {said}; `steelyard evaluate` judges new samples", err=True)
    figures({row["metric"]: float(row["value"]) for row in rows}, as_json)


def figures(found: dict[str, float], as_json: bool) -> None:
    """One number for each measure."""
    from steelyard import report

    if as_json:
        typer.echo(report.as_json(found))
    else:
        table("", ("measure", "value"), [(name, f"{value:.4f}") for name, value in found.items()])


def confirmed(found: Sequence[Confirmed], as_json: bool) -> None:
    """The figures of models on new samples."""
    from steelyard import report

    if as_json:
        each = [one.as_dict() for one in found]
        typer.echo(report.as_json(each[0] if len(each) == 1 else each))
    else:
        Console().print(report.confirmed_table(found))


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Rows of text."""
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(*columns, title=title or None, title_justify="left", box=SIMPLE)
    for row in rows:
        drawn.add_row(*map(escape, row))
    Console().print(drawn)
