"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli.app import Json, Quiet, Threads, app, interruptible
from tessera_engine.cli.embeddings import (
    NOTHING_LEFT,
    Band,
    Labels,
    LabelsCrs,
    Layer,
    Nodata,
    OfYear,
    Overwrite,
    Several,
    Until,
)


@app.command()
def evaluate(
    embeddings: Several,
    labels: Labels,
    field: Annotated[str | None, typer.Option(help="Field or column to predict; not for rasters.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the report and its figure. Default: print the report."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Method: linear, knn, forest, boosting or mlp; may be repeated. Default: the first three."
        ),
    ] = None,
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
    threads: Threads = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure how well embeddings predict your labels.

    Compares every stored form and prefix, with confidence intervals. Scores are cross-validated over spatial blocks.
    Of a store that embed --every made, it compares the periods: how early in the season your labels can be predicted.
    Several outputs are measured together, and each beside that.

    Example: tessera-engine evaluate scene_dir.embeddings --labels fields.gpkg --field crop
    """
    from tessera_engine.analysis.maps.evaluate import evaluate as measure
    from tessera_engine.analysis.maps.report import document
    from tessera_engine.analysis.reporting.as_markdown import to_markdown
    from tessera_engine.cli import console

    with interruptible(NOTHING_LEFT):
        found = measure(
            embeddings,
            labels,
            field,
            out,
            method=method,
            regression=regression,
            block=block,
            layer=layer,
            labels_crs=labels_crs,
            band=band,
            nodata=nodata,
            year=year,
            until=until and until.date(),
            threads=threads,
            overwrite=overwrite,
            progress=not quiet,
        )
    for note in found.notes:
        console.say(f"note: {note}", quiet)
    if json:
        console.print_json(found.to_dict() | ({} if out is None else {"out": str(out)}))
    elif out is not None:
        console.print_line(out)
        console.say(f"see {out / 'report.html'}", quiet)
    else:
        console.print_text(to_markdown(document(found)))
