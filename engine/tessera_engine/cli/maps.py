"""The commands `map` and `apply`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import (
    NOTHING_LEFT,
    Band,
    Labels,
    LabelsCrs,
    Layer,
    Nodata,
    OfYear,
    Out,
    Overwrite,
    Several,
    Until,
)
from tessera_engine.cli.options import Json, Memory, Quiet, Threads
from tessera_engine.cli.signals import interruptible

if TYPE_CHECKING:
    from tessera_engine.analysis.maps.apply import Applied
    from tessera_engine.analysis.maps.make import Map

Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Also write the probability of each class, a band each.")
]


@app.command(name="map")
def map_labels(
    embeddings: Several,
    labels: Labels,
    field: Annotated[str | None, typer.Option(help="Field or column to map; not for rasters.")] = None,
    out: Out = None,
    train: Annotated[
        Path | None,
        typer.Option(help="Embeddings at the labels, by the same model. Default: the embeddings to map."),
    ] = None,
    by_segment: Annotated[
        Path | None,
        typer.Option(
            help="Polygons that get one class each, such as those of 'segment' or parcels. Default: map by pixel.",
            metavar="FILE",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="Method: linear (logistic or ridge regression), knn, forest, boosting, mlp (small neural network), or "
            "auto: the best of them in cross-validation."
        ),
    ] = "linear",
    context: Annotated[
        int | None,
        typer.Option(
            help="Also learn from mean and spread of the embeddings in a square of 3 or 5 pixels. Default: no, or what "
            "--method auto finds."
        ),
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="All classes weigh the same, however many labels they have.")
    ] = False,
    test: Annotated[
        Path | None,
        typer.Option(help="Independent labels with the same field, to score the map on as well."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="File (.model) to keep the classifier in, for the command apply.")
    ] = None,
    probabilities: Probabilities = False,
    applicability: Annotated[
        bool,
        typer.Option(
            "--applicability",
            help="Also map how dissimilar pixels are to the labels, and where the map can't be trusted.",
        ),
    ] = False,
    regression: Annotated[
        bool, typer.Option("--regression", help="The labels are numbers, not classes.")
    ] = False,
    block: Annotated[
        float | None,
        typer.Option(help="Side of the validation blocks, in metres. Default: a fifth of the labelled area."),
    ] = None,
    layer: Layer = None,
    labels_crs: LabelsCrs = None,
    band: Band = None,
    nodata: Nodata = None,
    year: OfYear = None,
    until: Until = None,
    train_year: Annotated[
        int | None, typer.Option(help="Year to use from --train, if it has several.")
    ] = None,
    train_until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="DATE", help="Period to use from --train, if it has several."
        ),
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Use only the first 16, 32, 64 or 128 dimensions.")] = None,
    memory: Memory = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Map scenes from labels, and report the map's accuracy.

    The accuracy is cross-validated over spatial blocks: it holds for places without labels near them.

    Example: tessera-engine map scene_dir.embeddings --labels points.geojson --field crop
    """
    from tessera_engine.analysis.maps.make import map as make

    with interruptible(NOTHING_LEFT):
        made = make(
            embeddings,
            labels,
            field,
            out,
            train=train,
            by_segment=by_segment,
            method=method,
            context=context,
            balance=balance,
            test=test,
            save=save,
            probabilities=probabilities,
            applicability=applicability,
            regression=regression,
            block=block,
            layer=layer,
            labels_crs=labels_crs,
            band=band,
            nodata=nodata,
            dim=dim,
            year=year,
            until=until and until.date(),
            train_year=train_year,
            train_until=train_until and train_until.date(),
            memory=memory,
            threads=threads,
            overwrite=overwrite,
            progress=console.progress_for(quiet, json),
        )
    _show(made, "report.html", quiet, json)


@app.command(name="apply")
def apply_classifier(
    classifier: Annotated[
        Path, typer.Argument(help="File that map --save wrote, or a small ONNX network from elsewhere.")
    ],
    embeddings: Several,
    out: Out = None,
    probabilities: Probabilities = False,
    year: OfYear = None,
    until: Until = None,
    memory: Memory = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Map other scenes, years or zones with a saved classifier.

    Needs embeddings of the model that the classifier was learned from. Its accuracy is that of its own labels.

    Example: tessera-engine apply crops.model 2024.embeddings -o crops-2024
    """
    from tessera_engine.analysis.maps.apply import apply
    from tessera_engine.analysis.maps.drawing import PICTURE

    with interruptible(NOTHING_LEFT):
        made = apply(
            classifier,
            embeddings,
            out,
            probabilities=probabilities,
            year=year,
            until=until and until.date(),
            memory=memory,
            threads=threads,
            overwrite=overwrite,
            progress=console.progress_for(quiet, json),
        )
    _show(made, PICTURE if len(embeddings) == 1 else f"*/{PICTURE}", quiet, json)


def _show(made: Map | Applied, see: str, quiet: bool, json: bool) -> None:
    """Print what was made: with `json` the whole report, else what people want to see first.

    Args:
        made: the finished map.
        see: the file in its folder to look at.
        quiet: print the results alone.
        json: print JSON.
    """
    from tessera_engine.cli.pages.map_report import lines, tables

    for note in made.notes:
        console.say(f"note: {note}", quiet)
    first, *further = lines(made.report)
    if made.report.get("r2", 0) < 0:
        console.say(f"note: {first}", quiet)
    if json:
        console.print_json({"out": str(made.out), **made.report})
    else:
        console.print_line(made.out)
        for table in tables(made.report):
            console.print_table(table.rows, table.header)
    for line in (f"{first}; see {made.out / see}", *further):
        console.say(line, quiet)
