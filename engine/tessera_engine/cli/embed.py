"""The command `embed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tessera_engine.backends.registry import backend_names
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import SHAPES_CRS, SHAPES_LAYER
from tessera_engine.cli.help_page import Grouped
from tessera_engine.cli.options import (
    Device,
    DeviceMemory,
    From,
    Json,
    Layout,
    Like,
    Memory,
    Quiet,
    S1Units,
    Season,
    Threads,
    To,
    Year,
)
from tessera_engine.cli.signals import interruptible
from tessera_engine.errors import InputError
from tessera_engine.formats.registry import appendable, described

if TYPE_CHECKING:
    from tessera_engine.running.options import EmbedOptions

MODEL, OUTPUT, PART, SEVERAL, RUN = "Model", "Output", "Part of the scene", "Several scenes", "How it runs"
"""Headings of the help; the options that open a scene are under the one of `tessera_engine.cli.options`."""


def _scenes(ctx: typer.Context, value: list[str] | None) -> list[str]:
    """The scenes; there may be none where `--jobs`, which is read first, names them."""
    if not value and not ctx.resilient_parsing and ctx.params.get("jobs") is None:
        raise InputError("SCENE is missing; give a scene folder, or --jobs FILE")
    return value or []


@app.command(cls=Grouped)
@interruptible("give the same command again: it resumes with what is finished")
def embed(
    scenes: Annotated[
        list[str] | None,
        typer.Argument(
            callback=_scenes,
            metavar="SCENE",
            help="Scene folder: products, a d-pixel tile, or a folder of tiles. Several: one output each, in --out.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            rich_help_panel=OUTPUT,
            help="Output folder. Default: SCENE's name + '.embeddings', in the current folder. With several scenes: "
            "the folder for their outputs.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=OUTPUT, help=f"Output format: {described()}. Default: cog; zarr with --every."
        ),
    ] = None,
    stored_as: Annotated[
        str | None,
        typer.Option("--store", rich_help_panel=OUTPUT, help="How embeddings are stored: int8 or float32."),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=OUTPUT, help="Keep the first 16, 32, 64 or 128 dimensions. Default: all."
        ),
    ] = None,
    quicklook: Annotated[
        str,
        typer.Option(
            rich_help_panel=OUTPUT,
            help="What the picture shows: pca, clusters or rgb (the scene in true colour).",
        ),
    ] = "pca",
    no_truecolour: Annotated[
        bool,
        typer.Option(
            "--no-truecolour",
            rich_help_panel=OUTPUT,
            help="Leave out truecolour.tif, the scene in true colour.",
        ),
    ] = False,
    min_clear: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=OUTPUT,
            help="Flag pixels with fewer clear Sentinel-2 dates in the quality layer.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=OUTPUT, help="Replace an existing output.")
    ] = False,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            rich_help_panel=OUTPUT,
            help=f"Add to the {' or '.join(appendable())} output at --out.",
        ),
    ] = False,
    model: Annotated[
        str, typer.Option(rich_help_panel=MODEL, help="Model name or file; see 'model list'.")
    ] = "demo",
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            rich_help_panel=MODEL,
            help="Run the network in int8, and store int8 codes with scales.",
        ),
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=MODEL,
            help="Network precision: fp32 or int8 (fp16 or qdq with GPU model files).",
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            rich_help_panel=MODEL, help=f"Backend that runs the model: auto, {', '.join(backend_names())}."
        ),
    ] = "auto",
    device: Device = "auto",
    window: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option(
            rich_help_panel=PART, help="Embed only this part, in pixels.", metavar="COL ROW WIDTH HEIGHT"
        ),
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            rich_help_panel=PART,
            help="Embed only this part, in degrees: west, south, east, north. Across 180 degrees, west is larger.",
            metavar="W S E N",
        ),
    ] = None,
    aoi: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=PART,
            help="Embed only the pixels in these shapes: GeoPackage, shapefile, GeoJSON, GeoParquet, CSV, ...",
            metavar="FILE",
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=PART,
            help="Embed only the pixels of these points: CSV with lon and lat, or any file of shapes.",
            metavar="FILE",
        ),
    ] = None,
    layer: Annotated[str | None, typer.Option(rich_help_panel=PART, help=SHAPES_LAYER)] = None,
    shapes_crs: Annotated[str | None, typer.Option(rich_help_panel=PART, help=SHAPES_CRS)] = None,
    buffer: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PART,
            help="With --aoi or --points: let the shapes grow by this length, like 50m. Lines need it.",
            metavar="LENGTH",
        ),
    ] = None,
    layout: Layout = None,
    year: Year = None,
    season: Season = None,
    start: From = None,
    end: To = None,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="STEP",
            rich_help_panel="Scene and time",
            help="Embed growing periods too, each a step (14d, month) longer than the one before, into one Zarr store.",
        ),
    ] = None,
    like: Like = None,
    s1_units: S1Units = None,
    jobs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            is_eager=True,
            rich_help_panel=SEVERAL,
            help="Table (CSV or Parquet) with a row for each scene: scene, out, year, model, or any option of this "
            "command.",
        ),
    ] = None,
    memory: Memory = None,
    device_memory: DeviceMemory = None,
    threads: Threads = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=RUN,
            help="Compute on a Dask cluster, into one Zarr store: the scheduler's address, or local[:N] for N "
            "processes here.",
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", rich_help_panel=RUN, help="Start again instead of resuming an interrupted run."
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            rich_help_panel=RUN,
            help="When a run is resumed: read all that is finished again, to see whether the scene has changed. "
            "Default: a sample, or all where files were written to.",
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", rich_help_panel=RUN, help="Treat every warning about the scene as an error."
        ),
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compute the embeddings of a scene, or of several scenes.

    Writes GeoTIFFs (or another --format), a quicklook and a STAC item into one folder for each scene.

    Example: tessera-engine embed scene_dir/ --int8
    """
    if int8 and precision not in (None, "int8"):
        raise InputError(
            f"--int8 and --precision {precision} contradict each other; use --precision and --store"
        )
    options: EmbedOptions = {
        **({} if format is None else {"format": format}),
        "window": window,
        "bbox": bbox,
        "aoi": aoi,
        "points": points,
        "layer": layer,
        "shapes_crs": shapes_crs,
        "buffer": buffer,
        "dim": dim,
        "stored_as": "int8" if int8 and stored_as is None else stored_as,
        "quicklook": quicklook,
        "every": every,
        "min_clear": min_clear,
        "truecolour": not no_truecolour,
        "memory": memory,
        "overwrite": overwrite,
        "append": append,
        "restart": restart,
        "check": check,
        "strict": strict,
    }
    opening = {
        "layout": layout,
        "year": year,
        "start": start and start.date(),
        "end": end and end.date(),
        "season": season,
        "like": like,
        "s1_units": s1_units,
    }
    loading = {
        "model": model,
        "precision": "int8" if int8 else precision,
        "backend": backend,
        "device": device,
        "device_memory": device_memory,
        "threads": threads,
    }
    if jobs is not None or len(scenes or ()) > 1:
        from tessera_engine.cli.many import embed_all

        # A row of the table may choose another precision than the command line
        as_given = {"int8": int8, "precision": precision, "stored_as": stored_as}
        embed_all(
            jobs, scenes or (), out, {**opening, **loading, **options, **as_given}, quiet, json, cluster
        )
        return
    from tessera_engine.cli.one import Asked, embed_here, embed_on_cluster

    asked = Asked((scenes or [""])[0], out, opening, loading, options, quiet, json)
    if cluster is not None:
        embed_on_cluster(asked, cluster)
    else:
        embed_here(asked)
