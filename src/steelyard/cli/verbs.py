"""One function per verb. A verb turns words into objects, calls one function and prints the answer."""

from __future__ import annotations

import shlex
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from steelyard import __version__
from steelyard._checks import InputError
from steelyard.cli import answers
from steelyard.cli.options import study_options
from steelyard.studies.config import Study

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
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="leave unreadable images out, and say how many")
]
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
    from steelyard.studies.compare import completed

    answers.require_test(asked)
    answers.reported(answers.trained(completed(asked), out, workers, device, quiet), as_json)


@app.command()
@study_options("methods", "seeds", "folds", "ensemble")
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
    asked = asked.model_copy(update={"methods": (word,), "seeds": 1, "folds": None, "ensemble": None})
    store = answers.trained(asked, out, 1, device, quiet)
    for failed in (stored.failure for stored in store.runs() if stored.failure):
        raise NotFiniteError(failed)
    answers.kept(store, as_json)


@app.command("report")
def make_report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="folders of comparisons")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder of the page over several (default: steelyard-ranks)"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the page of a comparison again from its files; trains nothing.

    Of a comparison that is not at its end it shows the runs that are finished. With several comparisons, of
    the same methods on different data sets, also a page that ranks the methods over all of them.
    """
    from steelyard import report
    from steelyard.studies.evaluate import evaluate
    from steelyard.studies.store import Store

    if len(folders) == 1 and (folders[0] / "tuning.json").exists():
        return answers.chosen(report.write_tuning(folders[0]), folders[0], as_json)
    stores = [Store(folder) for folder in folders]
    for store in stores:
        if store.missing() and store.runs():
            store.write_results(evaluate(store))
    if len(stores) > 1:
        folder = out or Path("steelyard-ranks")
        table = report.ranks_table(report.write_ranks(stores, folder))
        return answers.answer(table, folder, as_json)
    if out is not None:
        raise InputError("--out is for the page over several comparisons; give more than one folder.")
    return answers.compared(report.write(stores[0]), stores[0].folder, as_json)


@app.command()
def audit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of a comparison")],
    method: Annotated[
        str | None, typer.Option("--method", help="whose runs to look at (default: the baseline)")
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="rank by probability, or by margin, loss or weight in training")
    ] = "probability",
    per_class: Annotated[
        bool | None,
        typer.Option(
            "--per-class/--no-per-class",
            help="make classes comparable (default: where one has over twice the samples of another)",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="samples that the page shows")] = 48,
) -> None:
    """Rank the training samples of a comparison by how likely their labels are wrong; trains nothing.

    Classes that the models have not learned are not judged. The comparison need not be at its end. Writes
    audit.csv, which cleanlab can read, and the page audit.html into DIR.
    """
    from steelyard import report
    from steelyard.studies.samples import keep_samples, keep_values
    from steelyard.studies.store import Store

    store = Store(folder)
    found = report.audit(store, method, by=by, per_class=per_class)
    rows = report.shown(found, top)
    try:
        keep_samples(store, rows)
        keep_values(store, rows)
    except (InputError, OSError) as error:
        warnings.warn(f"the page lacks samples, the data cannot be read: {error}", stacklevel=1)
    report.write_audit(store, found, top)
    console = Console()
    console.print(report.audit_table(found, rows=10))
    for what, name in (("All samples", "audit.csv"), ("The page", "audit.html")):
        console.print(f"{what}: {folder / name}", highlight=False, markup=False, soft_wrap=True)


@app.command()
@study_options("folds")
def tune(  # noqa: PLR0913, PLR0917 - each is an option
    asked: Study,
    trials: Annotated[int | None, typer.Option("--trials", help="of each method (default: 20)")] = None,
    staged: Annotated[bool, typer.Option("--staged", help="one small grid after the other")] = False,
    trial_seeds: Annotated[int, typer.Option("--trial-seeds", help="trainings that make a trial")] = 1,
    search: Annotated[
        str | None,
        typer.Option(
            "--search",
            help="settings of the training to search for every method too, as in lr,clip=[1, 5], or none "
            "(default: lr; with --staged: none)",
        ),
    ] = None,
    then_compare: Annotated[
        bool, typer.Option("--then-compare", help="compare the chosen words on fresh seeds at the end")
    ] = False,
    out: Out = Path("steelyard-tuning"),
    workers: Workers = 1,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search the parameters of methods by the validation samples; test samples are not looked at.

    As many trials for every method, plain cross-entropy included. What is finished in the folder is not
    trained again.
    """
    from steelyard import report
    from steelyard.cli.progress import TrialWatcher
    from steelyard.studies import tune as tuning

    if then_compare:
        answers.require_test(asked)
    if staged and trials is not None:
        raise InputError("--staged tries all points of its grids; leave --trials out.")
    also = search or ("none" if staged else "lr")
    number = None if staged else tuning.TRIALS if trials is None else trials
    how = tuning.How(number, trial_seeds, "" if also == "none" else also)
    command = shlex.join(["steelyard", *sys.argv[1:]])
    with TrialWatcher(Console(stderr=True, quiet=quiet), asked) as watcher:
        found = tuning.tune(asked, out, watcher, how, workers=workers, device=device, command=command)
    answers.chosen(report.write_tuning(out), out, as_json)
    if then_compare:
        answers.reported(answers.trained(found.study, out / "comparison", workers, device, quiet), as_json)


@app.command()
def reproduce(  # noqa: PLR0913, PLR0917 - each is an option of the command
    name: Annotated[str, typer.Argument(metavar="STUDY", help="an experiment of a paper; `list` names them")],
    scale: Annotated[
        str, typer.Option("--scale", help="quick: an honest small version; full: as the paper")
    ] = "quick",
    methods: Annotated[str | None, typer.Option("--methods", help="only these, as in ce,low(lam=1)")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="another number of seeds")] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="your data, in place of the experiment's own")
    ] = None,
    critical: Annotated[
        str | None, typer.Option("--critical", help="with --data: classes that must not be missed")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder (default: the name of the study)")] = None,
    workers: Workers = 1,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Run an experiment of a paper again and show the paper's figures beside ours."""
    from steelyard import _checks as check
    from steelyard.studies.reproduce import beside_the_paper, experiment, experiments
    from steelyard.words import names, split

    if name == "list":
        rows = [(known, experiment(known).title, experiment(known).source) for known in experiments()]
        return answers.table("Experiments", ("name", "what", "source"), rows)
    asked = experiment(name)
    check.one_of("scale", scale, ("quick", "full"))
    size: Literal["full", "quick"] = "full" if scale == "full" else "quick"
    folder = out or Path(f"{name}-{scale}")
    backbone = asked.backbone_study(size)
    if backbone is not None and data is None:
        data = str(answers.features_of(backbone, folder, device, quiet))
    results = {}
    other: dict[str, Any] = {"methods": split(methods) if methods else None, "seeds": seeds, "data": data}
    other |= {"critical": names(critical) if critical else None}
    for part, wanted in asked.studies(size, **other).items():
        store = answers.trained(wanted, folder / part, workers, device, quiet)
        answers.reported(store, as_json=False)
        results[part] = store.results()
    return answers.beside(beside_the_paper(asked, results))


@app.command()
def methods() -> None:
    """List the methods that can be compared, with their parameters, and the models."""
    from steelyard import catalog
    from steelyard.models import MODELS

    for title, table in (
        ("Losses", catalog.LOSSES),
        ("Losses where a sample may have several labels", catalog.LABEL_LOSSES),
        ("Weightings (of any loss)", catalog.WEIGHTINGS),
        ("Constraints (beside any loss, after a phase of that alone)", catalog.CONSTRAINTS),
        ("Controls (of methods in two phases)", catalog.CONTROLS),
        ("Refits (of the last layer, after plain training)", catalog.REFITS),
        ("Models", MODELS),
    ):
        baseline = (catalog.LABELS if table is catalog.LABEL_LOSSES else catalog.ONE_CLASS).baseline
        rows = [
            (name, catalog.parameters(make, baseline), catalog.claim(make)) for name, make in table.items()
        ]
        answers.table(title, ("word", "parameters", "what it is"), rows)


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
        answers.table(f"Data sets under {data_root()}", ("name", ""), rows)


@datasets_app.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(help="mnist, fashion-mnist, cifar10 or cifar100")],
) -> None:
    """Download a data set from its official address and check it. The only verb that uses the network."""
    from steelyard.data import fetch

    typer.echo(f"{name} is at {fetch(name)}")
