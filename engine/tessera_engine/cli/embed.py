"""The command `embed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tessera_engine.cli.app import (
    Device,
    From,
    Json,
    Layout,
    Like,
    Memory,
    Quiet,
    S1Units,
    Threads,
    To,
    Year,
    app,
    aside,
    interruptible,
)
from tessera_engine.errors import InputError
from tessera_engine.formats.registry import appendable, described

if TYPE_CHECKING:
    from tessera_engine.scene import Scene, Window


@app.command()
@interruptible("give the same command again: it goes on with what is finished")
def embed(
    scene: Annotated[str, typer.Argument(help="Scene folder: products, a d-pixel tile or a folder of them.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Output folder. Default: SCENE's name + '.embeddings', here."),
    ] = None,
    model: Annotated[str, typer.Option(help="Model name or file; see 'model list'.")] = "demo",
    int8: Annotated[
        bool, typer.Option("--int8", help="Run the network in int8 and store int8 codes with scales.")
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(help="Of the network alone: fp32 or int8; fp16 or qdq of a file for GPUs."),
    ] = None,
    stored_as: Annotated[
        str | None,
        typer.Option("--store", help="What is stored: int8 or float32."),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(help="Keep the first 16, 32, 64 or 128 dimensions. Default: all."),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(help="What runs the model: auto, fused, onnxruntime, openvino, tensorrt or torch."),
    ] = "auto",
    device: Device = "auto",
    format: Annotated[str, typer.Option(help=f"{described()}.")] = "cog",
    quicklook: Annotated[
        str,
        typer.Option(help="What the picture shows: pca, clusters, or rgb: the scene itself, in true colour."),
    ] = "pca",
    window: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option(help="Only this part, in pixels.", metavar="COL ROW WIDTH HEIGHT"),
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Only this part, in degrees.", metavar="W S E N"),
    ] = None,
    layout: Layout = None,
    year: Year = None,
    start: From = None,
    end: To = None,
    like: Like = None,
    s1_units: S1Units = None,
    memory: Memory = None,
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier output.")] = False,
    append: Annotated[
        bool, typer.Option("--append", help=f"Add to the {' or '.join(appendable())} output at --out.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where a run was interrupted.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a scene about which there is any warning.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Embed a scene: GeoTIFFs, a quicklook and a STAC item in one folder.

    Example: tessera-engine embed scene_dir/ --int8
    """
    from tessera_engine import api
    from tessera_engine.cli import console
    from tessera_engine.running.memory import parse_size
    from tessera_engine.scenes import open_scene

    if int8 and precision not in (None, "int8"):
        raise InputError(
            f"--int8 and --precision {precision} contradict each other; use --precision and --store"
        )
    wanted = "int8" if int8 else precision
    opened = open_scene(
        scene,
        layout=layout,
        year=year,
        start=start and start.date(),
        end=end and end.date(),
        like=like,
        s1_units=s1_units,
    )
    loaded = api.load_model(model, wanted, backend, threads, lambda text: console.say(text, quiet), device)
    facts = loaded.facts
    if facts.name == "demo":
        console.say(
            "note: the demo model shows how the engine works; it is not a published TESSERA model "
            "('tessera-engine model import' brings one)",
            quiet,
        )
    region = _region(opened, window, bbox)
    console.say(
        f"{opened.name}: {region.width} x {region.height} px, model {facts.name} {facts.precision}, "
        f"{loaded.backend.description}, {loaded.threads} threads",
        quiet,
    )
    limit = parse_size(memory) if memory else None
    with console.progress_bar("embedding", quiet, "px") as progress:
        done = aside(
            lambda: api.embed(
                opened,
                loaded,
                out,
                window=region,
                dim=dim,
                stored_as="int8" if int8 and stored_as is None else stored_as,
                format=format,
                quicklook=quicklook,
                memory=limit,
                overwrite=overwrite,
                append=append,
                restart=restart,
                strict=strict,
                progress=progress,
                announce=lambda text: console.say(text, quiet),
            )
        )
    total = sum(done.seconds.values())
    if json:
        console.print_json(
            {
                "out": str(done.out),
                "pixels": done.pixels,
                "with_data": done.with_data,
                "seconds": {stage: round(seconds, 3) for stage, seconds in done.seconds.items()},
                "findings": [finding.to_dict() for finding in done.findings],
            }
        )
    else:
        print(done.out)
    console.say(
        f"{done.with_data:,} of {done.pixels:,} px embedded in {total:.1f} s; "
        f"look at {done.out / 'quicklook.png'}",
        quiet,
    )


def _region(scene: Scene, window: Any, bbox: Any) -> Window:
    from tessera_engine.geo import check_window, window_of_bbox
    from tessera_engine.scene import Window

    if window and bbox:
        raise InputError("--window and --bbox can't both be given")
    if bbox:
        return window_of_bbox(scene.grid, bbox)
    return check_window(scene.grid, Window(*window)) if window else scene.grid.window
