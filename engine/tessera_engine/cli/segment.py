"""The command `segment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import NOTHING_LEFT, Embeddings, OfYear, Overwrite, Until
from tessera_engine.cli.options import Json, Memory, Quiet
from tessera_engine.cli.signals import interruptible


@app.command()
def segment(
    embeddings: Embeddings,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="File to write: .gpkg, .parquet (GeoParquet by the fiboa specification) or .csv. Default: "
            "NAME.segments.gpkg in the current folder.",
        ),
    ] = None,
    scale: Annotated[
        float, typer.Option(help="Size of the segments: larger numbers give larger segments.")
    ] = 100.0,
    min_area: Annotated[
        float,
        typer.Option(
            help="Area of the smallest segment, in hectares. Smaller ones join their most similar neighbour."
        ),
    ] = 0.1,
    dim: Annotated[
        int | None, typer.Option(help="Compare only the first 16, 32, 64 or 128 dimensions.")
    ] = None,
    year: OfYear = None,
    until: Until = None,
    memory: Memory = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Find fields and patches without labels.

    Writes polygons of neighbouring pixels with similar embeddings, with their area and their mean embedding. The
    polygons don't overlap, and together cover every pixel with data.

    Example: tessera-engine segment scene_dir.embeddings -o fields.gpkg
    """
    from tessera_engine.analysis.segments.make import segment as find

    with interruptible(NOTHING_LEFT):
        found = find(
            embeddings,
            out,
            scale=scale,
            min_area=min_area,
            dim=dim,
            year=year,
            until=until and until.date(),
            memory=memory,
            overwrite=overwrite,
            progress=console.progress_for(quiet, json),
        )
    total, median = found.hectares
    if json:
        console.print_json(
            {"out": str(found.out), "segments": found.count, "hectares": total, "median_hectares": median}
        )
        return
    console.print_line(found.out)
    console.say(f"{found.count:,} segments, {total:,.1f} ha in all, {median:.2f} ha in the median", quiet)
