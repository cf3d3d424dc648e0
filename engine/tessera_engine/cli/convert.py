"""The commands `convert` and `picture`: embeddings in another format, or as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import NOTHING_LEFT, Embeddings, OfYear, Out, Overwrite, Until
from tessera_engine.cli.options import Quiet
from tessera_engine.cli.signals import interruptible
from tessera_engine.formats.registry import appendable, described, format_named


@app.command()
def convert(
    embeddings: Embeddings,
    format: Annotated[str, typer.Option(help=f"Output format: {described()}.")],
    out: Out = None,
    dim: Annotated[int | None, typer.Option(help="Keep the first 16, 32, 64 or 128 dimensions.")] = None,
    year: Annotated[
        int | None,
        typer.Option(
            help="Year of the observations, if the output does not record it; or the year to use, if it has several.",
        ),
    ] = None,
    crs: Annotated[
        str | None,
        typer.Option(
            help="Bring the embeddings to this CRS, such as EPSG:4326 (nearest pixel, not interpolated)."
        ),
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(help="Size of a pixel in units of the CRS. Default: about as large as now."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Bring the embeddings to the pixels of this raster file.", metavar="FILE"),
    ] = None,
    until: Until = None,
    overwrite: Overwrite = False,
    append: Annotated[
        bool, typer.Option("--append", help=f"Add to the {' or '.join(appendable())} output at --out.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write embeddings in another format or on another grid.

    On another grid, each pixel has the embedding of the pixel in which its centre lies.

    Example: tessera-engine convert scene_dir.embeddings --format zarr --year 2024

    Example: tessera-engine convert scene_dir.embeddings --format cog --crs EPSG:4326 --resolution 0.0001
    """
    from tessera_engine.formats.opening import open_embeddings, stored_years
    from tessera_engine.running.convert import convert as write

    which = year if year in stored_years(embeddings) else None
    opened = open_embeddings(embeddings, dim, which, until and until.date())
    if crs is not None or resolution is not None or like is not None:
        opened = opened.on(crs, resolution, like)
    with interruptible(NOTHING_LEFT):
        made = write(opened, out, format, year=year, overwrite=overwrite, append=append, progress=not quiet)
    written = format_named(format)
    if written.int8_only and opened.stored_as != "int8":
        console.say(f"note: {format} holds int8 codes only, so the float32 embeddings were quantised", quiet)
    if written.lossy:
        console.say(f"note: {format} loses some of the embeddings: {written.lossy}", quiet)
    console.print_line(made)


@app.command()
def picture(
    embeddings: Embeddings,
    quicklook: Annotated[
        str, typer.Option(help="What the picture shows: pca (principal components) or clusters.")
    ] = "pca",
    palette: Annotated[
        Path | None,
        typer.Option(
            help="File of colours shared by pictures of several scenes: used if it exists, written if not.",
            metavar="FILE",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="File to write: .png, or .tif for a GeoTIFF. Default: a PNG named after the "
            "embeddings, in the current folder.",
        ),
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Show only the first 16, 32, 64 or 128 dimensions.")] = None,
    year: OfYear = None,
    until: Until = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw a picture of finished embeddings.

    With --palette, several pictures have the same colours and can be compared.

    Example: tessera-engine picture scene_dir.embeddings --quicklook clusters --palette farm.json
    """
    from tessera_engine.formats.opening import open_embeddings
    from tessera_engine.pictures.make import picture as draw

    with interruptible(NOTHING_LEFT):
        if until is not None:
            opened = open_embeddings(embeddings, dim, year, until.date())
        made = draw(
            embeddings if until is None else opened,
            out,
            quicklook=quicklook,
            palette=palette,
            dim=dim if until is None else None,
            year=year if until is None else None,
            overwrite=overwrite,
            progress=not quiet,
        )
    console.print_line(made.out)
