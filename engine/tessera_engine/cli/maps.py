"""The command `map`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli.app import Json, Memory, Quiet, Threads, app, interruptible
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
        str, typer.Option(help="Method: linear (logistic or ridge regression), knn or forest.")
    ] = "linear",
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
    from tessera_engine.analysis.maps.quality import quality
    from tessera_engine.cli import console

    with interruptible(NOTHING_LEFT):
        made = make(
            embeddings,
            labels,
            field,
            out,
            train=train,
            by_segment=by_segment,
            method=method,
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
            progress=not quiet,
        )
    for note in made.notes:
        console.say(f"note: {note}", quiet)
    report = made.report
    picture = made.out / ("map.png" if len(embeddings) == 1 else "*/map.png")
    if json:
        console.print_json({"out": str(made.out), **report})
        return
    console.print_line(made.out)
    if "classes" in report:
        rows = [
            (name, *(f"{each[score]:.2f}" for score in ("precision", "recall", "f1")), each["labels"])
            for name, each in report["classes"].items()
        ]
        console.print_table(rows, ("class", "precision", "recall", "F1", "labels"))
        scores = f"accuracy {report['accuracy']:.3f}, balanced {report['balanced_accuracy']:.3f}"
        if not report["accuracy_known"]:
            scores = quality(report)
    else:
        scores = f"R2 {report['r2']:.3f}, RMSE {report['rmse']:.4g}, MAE {report['mae']:.4g}"
    console.say(
        f"{scores}, in {report['folds']} folds over {report['blocks']} blocks of {report['block_metres']:g} m; "
        f"see {picture}",
        quiet,
    )
