"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    Overwrite,
    Several,
    Until,
)
from tessera_engine.cli.options import Json, Quiet, Threads
from tessera_engine.cli.signals import interruptible
from tessera_engine.errors import InputError


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
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            help="Instead, show how the accuracy grows with the number of labels: of random ones, and of those that "
            "suggest chooses.",
        ),
    ] = False,
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
    In a store made by embed --every, it compares the periods: how early in the season your labels can be predicted.
    Several outputs are measured together, and each on its own.

    Example: tessera-engine evaluate scene_dir.embeddings --labels fields.gpkg --field crop
    """
    from tessera_engine.analysis.maps.evaluate import evaluate as measure
    from tessera_engine.analysis.maps.report import document
    from tessera_engine.analysis.reporting.as_markdown import to_markdown

    if curve:
        if len(embeddings) > 1 or method or regression or until or threads:
            raise InputError(
                "--curve measures one output with logistic regression; leave out --method, --regression, --until and "
                "--threads"
            )
        source = (labels, field, layer, labels_crs, band, nodata)
        _curve(embeddings[0], source, block, year, out, (overwrite, quiet, json))
        return
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
            progress=console.progress_for(quiet, json),
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


def _curve(
    embeddings: Path,
    source: tuple[Path, str | None, str | None, str | None, int | None, float | None],
    block: float | None,
    year: int | None,
    out: Path | None,
    how: tuple[bool, bool, bool],
) -> None:
    from tessera_engine.analysis.labels.pixels import LabelSource
    from tessera_engine.analysis.maps.curve import learning_curve
    from tessera_engine.analysis.maps.curve_report import curve_document, write_curve
    from tessera_engine.analysis.reporting.as_markdown import to_markdown
    from tessera_engine.formats.opening import open_embeddings

    overwrite, quiet, json = how
    opened, labels = open_embeddings(embeddings, year=year), LabelSource(*source)
    with interruptible(NOTHING_LEFT), console.progress_bar("learning", quiet, "draws", json) as report:
        if out is None:
            found = learning_curve(opened, labels, block, report)
        else:
            found = write_curve(opened, labels, block, out, overwrite, report)
    for note in found.notes:
        console.say(f"note: {note}", quiet)
    if json:
        console.print_json(found.to_dict() | ({} if out is None else {"out": str(out)}))
    elif out is not None:
        console.print_line(out)
        console.say(f"see {out / 'report.html'}", quiet)
    else:
        console.print_text(to_markdown(curve_document(found)))
