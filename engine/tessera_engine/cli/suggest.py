"""The command `suggest`: points to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import NOTHING_LEFT, LabelsCrs, Layer, OfYear, Overwrite
from tessera_engine.cli.options import Json, Quiet
from tessera_engine.cli.signals import interruptible


@app.command()
def suggest(
    embeddings: Annotated[Path, typer.Argument(help="Output folder of embed or convert, or a map alone.")],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Points to write: .gpkg, .geojson, .parquet (GeoParquet) or .csv."),
    ],
    count: Annotated[int, typer.Option("-n", "--count", help="Number of points.")] = 20,
    labels: Annotated[Path | None, typer.Option(help="What is labelled already, as map takes it.")] = None,
    field: Annotated[
        str | None, typer.Option(help="Field of the labels; the points have an empty column of this name.")
    ] = None,
    map: Annotated[
        Path | None, typer.Option(help="Folder of the map that was made from these labels and embeddings.")
    ] = None,
    layer: Layer = None,
    labels_crs: LabelsCrs = None,
    year: OfYear = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Suggest points whose labels would help most.

    With few labels, the points are like much of the scene and unlike each other. With 40 labels or more, and with
    --map, they lie where the map isn't sure. From a map alone, they lie where it isn't sure, spread over its classes.
    The first point helps most.

    Example: tessera-engine suggest scene_dir.embeddings -n 20 -o next.gpkg
    """
    from tessera_engine.analysis.suggest import suggest as choose

    with interruptible(NOTHING_LEFT):
        found = choose(
            embeddings,
            out,
            labels,
            field,
            overwrite=overwrite,
            count=count,
            map=map,
            layer=layer,
            labels_crs=labels_crs,
            year=year,
        )
    for note in found.notes:
        console.say(f"note: {note}", quiet)
    if json:
        console.print_json({"out": str(found.out), "points": found.points.tolist()})
        return
    console.print_line(found.out)
    console.say(
        f"{len(found.points)} points, in the order in which they help; fill in {field or 'class'} of each",
        quiet,
    )
