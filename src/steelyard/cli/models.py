"""The verbs that use trained models: predictions for new samples, and what these models are worth on them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from steelyard._checks import InputError
from steelyard.cli import answers
from steelyard.cli.verbs import AsJson, Device, SkipUnreadable, app

Adjust = Annotated[
    str | None,
    typer.Option("--adjust", help="change predictions: logit-adjustment, prior-shift or temperature"),
]


@app.command()
def predict(  # noqa: PLR0913, PLR0917 - each is an option of the command
    model: Annotated[Path, typer.Argument(help="folder of `steelyard train`, or of one run of a comparison")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="samples to predict; labels are not needed")],
    out: Annotated[Path, typer.Option("--out", help="CSV file to write")] = Path("predictions.csv"),
    critical: Annotated[
        str | None, typer.Option("--critical", help="classes that must not be missed")
    ] = None,
    at_tpr: Annotated[float | None, typer.Option("--at-tpr", help="sensitivity asked for")] = None,
    confidence: Annotated[
        float | None, typer.Option("--confidence", help="with which new samples reach it; 0: no guarantee")
    ] = None,
    adjust: Adjust = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="also by Monte-Carlo dropout; the model needs dropout")
    ] = False,
    skip_unreadable: SkipUnreadable = False,
    device: Device = "auto",
) -> None:
    """Write the probability of every class for each sample of DATA.

    With critical classes also the decision, the threshold, what it promises, and from how many critical
    samples.
    """
    from steelyard.studies.outcomes import adjustment
    from steelyard.studies.predict import OperatingPoint, write_predictions
    from steelyard.words import names

    point = OperatingPoint(critical=names(critical or ""), at_tpr=at_tpr, confidence=confidence)
    count, kept = write_predictions(
        model,
        data,
        out,
        point=point,
        how=adjustment(adjust),
        uncertainty=uncertainty,
        skip_unreadable=skip_unreadable,
        device=device,
    )
    typer.echo(f"{count} samples predicted: {out}")
    if kept is not None:
        typer.echo(f"The threshold: {kept.value:.6g}. {kept.promise}")
        if kept.shortfall:
            typer.echo(f"steelyard: no sensitivity is promised: {kept.shortfall}", err=True)


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 - each is an option of the command
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="folders of models, or that of one comparison"),
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="new labelled samples, in the form of the training data")
    ],
    target: Annotated[str | None, typer.Option("--target", help="column that holds the class")] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="column of the groups (default: as in training)")
    ] = None,
    metadata: Annotated[
        str | None, typer.Option("--metadata", help="table that gives each image its group")
    ] = None,
    part: Annotated[
        str | None,
        typer.Option("--part", help="train, val, test or all (default: the test part where there are parts)"),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="judge also on samples that the model was trained on")
    ] = False,
    adjust: Adjust = None,
    skip_unreadable: SkipUnreadable = False,
    out: Annotated[
        Path, typer.Option("--out", help="folder of the page, where a comparison is judged")
    ] = Path("steelyard-evaluation"),
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Judge trained models on labelled DATA that they have not seen; trains and chooses nothing.

    One model or several give figures with intervals. A comparison gives a page: every method and seed, their
    ensembles, and the tests against the baseline.
    """
    from steelyard import report
    from steelyard.studies.confirm import judge, judge_study, several_models
    from steelyard.studies.newdata import NewData
    from steelyard.studies.outcomes import adjustment
    from steelyard.studies.store import Store

    new = NewData(
        source=data,
        target=target,
        group=group,
        metadata=metadata,
        part=part,
        skip_unreadable=skip_unreadable,
        anyway=anyway,
    )
    how = adjustment(adjust)
    if len(models) == 1 and several_models(models[0]):
        if how is not None:
            raise InputError("--adjust is for models; the page of a comparison shows every adjustment.")
        command = shlex.join(["steelyard", *sys.argv[1:]])
        store, dataset = judge_study(Store(models[0]), new, out, device=device, command=command)
        answers.reported(store, as_json, dataset)
        return answers.notes(() if as_json else store.facts()["notes"])
    found = [report.confirmed(judge(model, new, how, device=device)) for model in models]
    return answers.confirmed(found, as_json)
