"""Command `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli.app import Json, Quiet, Threads, app, interruptible
from tessera_engine.cli.maps import NOTHING_LEFT, Embeddings, OfYear, Overwrite


@app.command()
def evaluate(
    embeddings: Embeddings,
    labels: Annotated[
        Path, typer.Option(help="Points or polygons (GeoJSON, GeoPackage, ...), or a GeoTIFF.")
    ],
    field: Annotated[str | None, typer.Option(help="The field of points or polygons to tell.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for report and figure. Default: none, print it."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="linear, knn or forest; may be given again. Default: all three."),
    ] = None,
    regression: Annotated[
        bool, typer.Option("--regression", help="Labels are numbers, not classes.")
    ] = False,
    block: Annotated[
        float | None,
        typer.Option(
            help="Side of the blocks that are left out, in metres. Default: a fifth of the labelled part."
        ),
    ] = None,
    year: OfYear = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Tell what each stored form and prefix is worth for your labels, and how sure that is (by spatial blocks).

    Example: tessera-engine evaluate scene_dir.embeddings --labels fields.gpkg --field crop
    """
    from tessera_engine.analysis.maps.evaluate import evaluate as measure
    from tessera_engine.analysis.maps.evaluation_files import write_evaluation
    from tessera_engine.analysis.maps.learn import METHODS
    from tessera_engine.analysis.maps.report import markdown
    from tessera_engine.cli import console
    from tessera_engine.formats.opening import open_embeddings
    from tessera_engine.machine import check_threads

    opened = open_embeddings(embeddings, year=year)
    with interruptible(NOTHING_LEFT), console.progress_bar("evaluating", quiet, "scores") as progress:
        found = measure(
            opened,
            labels,
            field=field,
            methods=method or METHODS,
            regression=regression,
            block_metres=block,
            threads=check_threads(threads),
            progress=progress,
        )
        if out is not None:
            write_evaluation(found, opened, out, overwrite)
    for note in found.notes:
        console.say(f"note: {note}", quiet)
    if json:
        console.print_json(found.to_dict() | ({} if out is None else {"out": str(out)}))
    elif out is not None:
        print(out)
        console.say(f"look at {out / 'report.md'} and {out / 'report.png'}", quiet)
    else:
        print(markdown(found), end="")
