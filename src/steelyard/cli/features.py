"""The verbs that use a model's features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard._checks import InputError
from steelyard.cli import answers
from steelyard.cli.verbs import AsJson, Device, app

Model = Annotated[Path, typer.Argument(help="folder of `steelyard train`, or of one run of a comparison")]


@app.command()
def features(
    model: Annotated[
        str,
        typer.Argument(
            help="folder of `steelyard train`, or of one run of a comparison; "
            'or a network of timm, as in "timm(name=vgg16.tv_in1k)"'
        ),
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="labelled samples, in the form of the training data")
    ],
    group: Annotated[
        str | None, typer.Option("--group", help="with timm(...): column whose equal values stay together")
    ] = None,
    metadata: Annotated[
        str | None, typer.Option("--metadata", help="with timm(...): table that gives each image its group")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help=".npz file to write")] = Path("features.npz"),
    target: Annotated[str | None, typer.Option("--target", help="column that holds the class")] = None,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out",
            help="leave out what the model was trained on; its validation samples become the training part",
        ),
    ] = False,
    device: Device = "auto",
) -> None:
    """Write what the last layer of a trained model reads of each sample, as DATA for `steelyard compare`.

    Of the data that the model was trained on, training, validation and test samples stay what they were.
    With a network of timm (extra `vision`) no trained model is needed.
    """
    from steelyard.studies.backbone import write_backbone_features
    from steelyard.studies.config import Data
    from steelyard.studies.features import write_features
    from steelyard.words import Word

    if model.partition("(")[0] == "timm" and not Path(model).exists():
        if held_out:
            raise InputError("--held-out is for a run, which knows what it was trained on; leave it out.")
        asked = Data(source=data, target=target, group=group, metadata=metadata)
        count = write_backbone_features(Word.parse(model), asked, out, device=device)
    elif group or metadata:
        raise InputError("--group and --metadata are for a network of timm; a run knows those of its data.")
    else:
        count = write_features(Path(model), data, out, target=target, held_out=held_out, device=device)
    typer.echo(f"features of {count} samples: {out}")


@app.command()
def verify(
    model: Model,
    data: Annotated[str, typer.Argument(metavar="DATA", help="folder of images, as NAME/NAME_0001.jpg")],
    pairs: Annotated[Path, typer.Option("--pairs", help="list of pairs in the format of LFW's pairs.txt")],
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Tell pairs of images of the same class from others by the cosine of the model's features."""
    from steelyard.studies.features import verify as judge

    found = judge(model, data, pairs, device=device)
    figures = {
        "accuracy": found.accuracy.mean,
        "spread": found.accuracy.spread,
        "folds": len(found.accuracy.fold_accuracy),
        "pairs": found.pairs,
    }
    answers.figures(figures, as_json)
