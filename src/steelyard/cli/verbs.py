"""One function per verb. A verb turns words into objects, calls one function and prints the answer."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from steelyard import __version__
from steelyard._checks import InputError
from steelyard.cli.options import study_options
from steelyard.studies.config import Study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from steelyard.studies.store import Store

app = typer.Typer(
    name="steelyard",
    help="Train classifiers that do not miss the rare class, and compare methods honestly on your data.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
datasets_app = typer.Typer(help="List the built-in data sets, or fetch one.", invoke_without_command=True)
app.add_typer(datasets_app, name="datasets")

Out = Annotated[
    Path, typer.Option("--out", help="folder of the study; it is made, and gone on with when it is there")
]
Workers = Annotated[int, typer.Option("--workers", help="trainings at the same time")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps")]
AsJson = Annotated[bool, typer.Option("--json", help="print the answer as JSON")]
Quiet = Annotated[bool, typer.Option("--quiet", help="show no progress")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"steelyard {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it")
    ] = False,
) -> None: ...


@app.command()
@study_options()
def compare(
    asked: Study,
    out: Out = Path("steelyard-study"),
    workers: Workers = 1,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare methods on DATA and write the answer as a page.

    The same splits, initial weights and batch order for every method of a seed. What is finished in the
    folder is not trained again.
    """
    from steelyard.studies.compare import with_baseline

    _reported(_trained(with_baseline(asked), out, workers, device, quiet), as_json)


@app.command()
@study_options("methods", "seeds", "folds")
def train(
    asked: Study,
    method: Annotated[str, typer.Option("--method", help="a method, as in low(lam=0.1)")] = "ce",
    out: Out = Path("steelyard-model"),
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train one method on DATA and keep the model for `steelyard predict`."""
    from steelyard.training import NotFiniteError
    from steelyard.words import Word

    word = Word.parse(method)
    asked = asked.model_copy(update={"methods": (word,), "seeds": 1, "folds": None})
    store = _trained(asked, out, 1, device, quiet)
    for failed in (stored.failure for stored in store.runs() if stored.failure):
        raise NotFiniteError(failed)
    rows = [row for row in store.results() if (row["split"], row["method"]) == ("test", str(word))]
    show_figures({row["metric"]: float(row["value"]) for row in rows}, as_json)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="folder of `steelyard train`, or of one run of a comparison")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="samples to predict; labels are not needed")],
    out: Annotated[Path, typer.Option("--out", help="CSV file to write")] = Path("predictions.csv"),
    critical: Annotated[
        str | None, typer.Option("--critical", help="classes that must not be missed")
    ] = None,
    at_tpr: Annotated[
        float | None, typer.Option("--at-tpr", help="sensitivity asked for, on validation")
    ] = None,
    device: Device = "auto",
) -> None:
    """Write the probability of every class for each sample of DATA.

    With critical classes also the decision at the threshold that reaches the sensitivity on validation.
    """
    from steelyard.studies.predict import write_predictions
    from steelyard.words import split

    count = write_predictions(model, data, out, critical=split(critical or ""), at_tpr=at_tpr, device=device)
    typer.echo(f"{count} samples predicted: {out}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="folder of `steelyard train`, or of one run of a comparison")],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="labelled samples, in the form of the training data")
    ],
    target: Annotated[str | None, typer.Option("--target", help="column that holds the class")] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a trained model on labelled DATA that it has not seen."""
    from steelyard.studies.predict import evaluate_on

    show_figures(evaluate_on(model, data, target=target, device=device), as_json)


@app.command("report")
def make_report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="folders of comparisons")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder of the page over several (default: steelyard-ranks)"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the page of a finished comparison again from its files; trains nothing.

    With several comparisons, of the same methods on different data sets, also a page that ranks the methods
    over all of them.
    """
    from steelyard import report
    from steelyard.studies.store import Store

    stores = [Store(folder) for folder in folders]
    if len(stores) > 1:
        folder = out or Path("steelyard-ranks")
        table = report.ranks_table(report.write_ranks(stores, folder))
        return _answer(table, folder, as_json)
    if out is not None:
        raise InputError("--out is for the page over several comparisons; give more than one folder.")
    return _answer(report.terminal_table(report.write(stores[0])), stores[0].folder, as_json)


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(metavar="STUDY", help="an experiment of a paper; `list` names them")],
    scale: Annotated[
        str, typer.Option("--scale", help="quick: an honest small version; full: as the paper")
    ] = "quick",
    out: Annotated[Path | None, typer.Option("--out", help="folder (default: the name of the study)")] = None,
    workers: Workers = 1,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Run an experiment of a paper again and show the paper's figures beside ours."""
    from steelyard import _checks as check
    from steelyard.studies.reproduce import beside_the_paper, experiment, experiments

    if name == "list":
        rows = [(known, experiment(known).title, experiment(known).source) for known in experiments()]
        return _table("Experiments", ("name", "what", "source"), rows)
    asked = experiment(name)
    check.one_of("scale", scale, ("quick", "full"))
    folder = out or Path(f"{name}-{scale}")
    results = {}
    for part, wanted in asked.studies("full" if scale == "full" else "quick").items():
        store = _trained(wanted, folder / part, workers, device, quiet)
        _reported(store, as_json=False)
        results[part] = store.results()
    return _beside(beside_the_paper(asked, results))


@app.command()
def methods() -> None:
    """List the methods that can be compared, with their parameters, and the models."""
    from steelyard import catalog

    for title, table in (
        ("Losses", catalog.LOSSES),
        ("Weightings (of any loss)", catalog.WEIGHTINGS),
        ("Constraints (beside any loss)", catalog.CONSTRAINTS),
        ("Refits (of the last layer, after plain training)", catalog.REFITS),
        ("Models", catalog.MODELS),
    ):
        rows = [(name, catalog.parameters(make), catalog.claim(make)) for name, make in table.items()]
        _table(title, ("word", "parameters", "what it is"), rows)


@datasets_app.callback()
def datasets(context: typer.Context) -> None:
    """List the built-in data sets and whether they are there."""
    if context.invoked_subcommand is None:
        from steelyard.data import BUILTIN, data_root

        rows = [
            (
                name,
                "there"
                if (data_root() / name).is_dir() or name == "digits"
                else f"steelyard datasets fetch {name}",
            )
            for name in BUILTIN
        ]
        _table(f"Data sets under {data_root()}", ("name", ""), rows)


@datasets_app.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(help="mnist, fashion-mnist, cifar10 or cifar100")],
) -> None:
    """Download a data set from its official address and check it. The only verb that uses the network."""
    from steelyard.data import fetch

    typer.echo(f"{name} is at {fetch(name)}")


def _trained(asked: Study, out: Path, workers: int, device: str, quiet: bool) -> Store:
    """Bring a comparison to its end and show how it goes."""
    from steelyard.cli.progress import Watcher
    from steelyard.studies.compare import compare as run_comparison

    command = shlex.join(["steelyard", *sys.argv[1:]])
    with Watcher(Console(stderr=True, quiet=quiet), asked) as watcher:
        return run_comparison(asked, out, watcher, workers=workers, device=device, command=command)


def _reported(store: Store, as_json: bool) -> None:
    """Write the page of a comparison, with pictures of its samples, and print the answer."""
    from steelyard import report
    from steelyard.studies.samples import keep_samples

    keep_samples(store, report.wanted(store))
    _answer(report.terminal_table(report.write(store)), store.folder, as_json)


def _answer(table: Table, out: Path, as_json: bool) -> None:
    if as_json:
        typer.echo((out / "summary.json").read_text(encoding="utf-8"))
        return
    console = Console()
    console.print(table)
    console.print(f"The page: {out / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def _beside(rows: Sequence[dict[str, Any]]) -> None:
    """The paper's figures beside ours."""
    shown = [
        (
            row["part"],
            " minus ".join(filter(None, (row["method"], row["minus"]))),
            row["measure"],
            f"{row['value']:g}",
            "not run"
            if row["ours"] is None
            else f"{row['ours']:.4g} ± {row['sd'] or 0:.2g} (n = {row['n']})",
        )
        for row in rows
    ]
    if shown:
        _table("Beside the paper", ("part", "method", "measure", "paper", "ours"), shown)


def show_figures(figures: dict[str, float], as_json: bool) -> None:
    """Print measures, one a line or as JSON."""
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _table("", ("measure", "value"), [(name, f"{value:.4f}") for name, value in figures.items()])


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, title=title or None, title_justify="left", box=SIMPLE)
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
