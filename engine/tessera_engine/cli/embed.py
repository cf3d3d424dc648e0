"""The command `embed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tessera_engine.backends.registry import backend_names
from tessera_engine.cli.app import (
    Device,
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
    app,
    aside,
    interruptible,
)
from tessera_engine.cli.embeddings import ShapesCrs, ShapesLayer
from tessera_engine.errors import InputError
from tessera_engine.formats.registry import appendable, described

if TYPE_CHECKING:
    from tessera_engine.running.options import EmbedOptions


@app.command()
@interruptible("give the same command again: it resumes with what is finished")
def embed(
    scene: Annotated[
        str, typer.Argument(help="Scene folder: products, a d-pixel tile, or a folder of tiles.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Output folder. Default: SCENE's name + '.embeddings', in the current folder."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Model name or file; see 'model list'.")] = "demo",
    int8: Annotated[
        bool, typer.Option("--int8", help="Run the network in int8, and store int8 codes with scales.")
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(help="Network precision: fp32 or int8 (fp16 or qdq with GPU model files)."),
    ] = None,
    stored_as: Annotated[
        str | None,
        typer.Option("--store", help="How embeddings are stored: int8 or float32."),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(help="Keep the first 16, 32, 64 or 128 dimensions. Default: all."),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(help=f"Backend that runs the model: auto, {', '.join(backend_names())}."),
    ] = "auto",
    device: Device = "auto",
    format: Annotated[
        str | None,
        typer.Option(help=f"Output format: {described()}. Default: cog; zarr with --every."),
    ] = None,
    quicklook: Annotated[
        str,
        typer.Option(help="What the picture shows: pca, clusters or rgb (the scene in true colour)."),
    ] = "pca",
    no_truecolour: Annotated[
        bool, typer.Option("--no-truecolour", help="Leave out truecolour.tif, the scene in true colour.")
    ] = False,
    window: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option(help="Embed only this part, in pixels.", metavar="COL ROW WIDTH HEIGHT"),
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            help="Embed only this part, in degrees: west, south, east, north. Across 180 degrees, west is larger.",
            metavar="W S E N",
        ),
    ] = None,
    aoi: Annotated[
        Path | None,
        typer.Option(
            help="Embed only the pixels in these shapes: GeoPackage, shapefile, GeoJSON, GeoParquet, CSV, ...",
            metavar="FILE",
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(
            help="Embed only the pixels of these points: CSV with lon and lat, or any file of shapes.",
            metavar="FILE",
        ),
    ] = None,
    layer: ShapesLayer = None,
    shapes_crs: ShapesCrs = None,
    buffer: Annotated[
        str | None,
        typer.Option(
            help="With --aoi or --points: let the shapes grow by this length, like 50m. Lines need it.",
            metavar="LENGTH",
        ),
    ] = None,
    layout: Layout = None,
    year: Year = None,
    start: From = None,
    end: To = None,
    season: Season = None,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="STEP",
            help="Embed growing periods too, each a step (14d, month) longer than the one before, into one Zarr store.",
        ),
    ] = None,
    min_clear: Annotated[
        int | None,
        typer.Option(min=1, help="Flag pixels with fewer clear Sentinel-2 dates in the quality layer."),
    ] = None,
    like: Like = None,
    s1_units: S1Units = None,
    memory: Memory = None,
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    append: Annotated[
        bool, typer.Option("--append", help=f"Add to the {' or '.join(appendable())} output at --out.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start again instead of resuming an interrupted run.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="When a run is resumed: read all that is finished again, to see whether the scene has changed. "
            "Default: a sample, or all where files were written to.",
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Treat every warning about the scene as an error.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compute the embeddings of a scene.

    Writes GeoTIFFs (or another --format), a quicklook and a STAC item into one folder.

    Example: tessera-engine embed scene_dir/ --int8
    """
    from tessera_engine import api
    from tessera_engine.backends.choosing import choose
    from tessera_engine.cli import console
    from tessera_engine.model.installed import open_model
    from tessera_engine.running.options import RunOptions
    from tessera_engine.running.plan import make_plan
    from tessera_engine.scenes import open_scene
    from tessera_engine.scenes.unused import as_json, note

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
    checked = RunOptions.given(options)
    opened = open_scene(
        scene,
        layout=layout,
        year=year,
        start=start and start.date(),
        end=end and end.date(),
        season=season,
        like=like,
        s1_units=s1_units,
    )
    others = note(opened.reader.unused)
    if others is not None:
        console.say(others, quiet)
    file = open_model(model, "int8" if int8 else precision)
    # Before kernels are compiled
    runs_it = choose(backend, device, file.facts.precision, file.facts).backend
    plan = make_plan(opened, file, out, checked, runs_it)
    loaded = api.load(file, backend, threads, lambda text: console.say(text, quiet), device)
    facts = loaded.facts
    if facts.name == "demo":
        console.say(
            "note: the demo model shows how the engine works; it is not a published TESSERA model "
            "('tessera-engine model import' brings one)",
            quiet,
        )
    size = f"{plan.region.width} x {plan.region.height} px"
    if plan.selected is not None:
        size += f", {len(plan.selected):,} of them selected"
    console.say(
        f"{opened.name}: {size}, model {facts.name} {facts.precision}, "
        f"{loaded.backend.description}, {loaded.threads} threads",
        quiet,
    )

    def announce(text: str) -> None:
        console.say(text, quiet and not _certain(text))

    with console.progress_bar("embedding", quiet, "px") as progress:
        done = aside(lambda: api.carry_out(plan, loaded, progress, announce))
    total = sum(done.seconds.values())
    if json:
        console.print_json(
            {
                "out": str(done.out),
                "pixels": done.pixels,
                "with_data": done.with_data,
                "seconds": {stage: round(seconds, 3) for stage, seconds in done.seconds.items()},
                "findings": [finding.to_dict() for finding in done.findings],
                "unused": as_json(opened.reader.unused),
            }
        )
    else:
        console.print_line(done.out)
    console.say(
        f"{done.with_data:,} of {done.pixels:,} px embedded in {total:.1f} s; "
        f"look at {done.out / 'quicklook.png'}",
        quiet,
    )


def _certain(line: str) -> bool:
    """Whether a line warns of something that is certain: a reader's warning, damage, or a finding of the guard."""
    return line.startswith("warning: ") and ", likely]" not in line
