"""The command `sample`: a table of the embeddings at points or in polygons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import NOTHING_LEFT, Overwrite, ShapesCrs, ShapesLayer, Until
from tessera_engine.cli.options import Device, From, Json, Layout, Like, Memory, Quiet, S1Units, Threads, To
from tessera_engine.cli.signals import interruptible
from tessera_engine.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from tessera_engine.scene import Scene


@app.command()
def sample(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Output folders of embed or convert, of any places and years; or a scene folder."
        ),
    ],
    shapes: Annotated[
        Path,
        typer.Argument(
            help="Points or polygons: CSV with lon and lat, GeoPackage, GeoParquet, shapefile, ..."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="Table to write: FILE.parquet (GeoParquet), .gpkg, .geojson or .csv."
        ),
    ],
    pool: Annotated[
        str | None,
        typer.Option(
            help="For polygons: mean, std, median, or several like mean,std. Default: mean.", metavar="HOW"
        ),
    ] = None,
    layer: ShapesLayer = None,
    shapes_crs: ShapesCrs = None,
    buffer: Annotated[
        str | None,
        typer.Option(help="Let the shapes grow by this length, like 50m. Lines need it.", metavar="LENGTH"),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(
            help="Column with the ids, which must be unique. Default: the column 'id', which may repeat ids."
        ),
    ] = None,
    year: Annotated[
        int | None,
        typer.Option(help="Use this year only. Default: all years of an output; the best one of a scene."),
    ] = None,
    until: Until = None,
    dim: Annotated[int | None, typer.Option(help="Keep the first 16, 32, 64 or 128 dimensions.")] = None,
    model: Annotated[
        str | None, typer.Option(help="For a scene: model name or file; see 'model list'. Default: demo.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="For a scene: run the network in int8, and round to int8 codes.")
    ] = False,
    backend: Annotated[str, typer.Option(help="For a scene: backend that runs the model.")] = "auto",
    device: Device = "auto",
    layout: Layout = None,
    start: From = None,
    end: To = None,
    like: Like = None,
    s1_units: S1Units = None,
    memory: Memory = None,
    threads: Threads = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Treat every warning about the scene as an error.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a table of the embeddings at your points or polygons.

    The pixels of a polygon are pooled. Your columns are kept. Several outputs give a row for each shape and year. From
    a scene, only the pixels of the shapes are embedded, and no output is left.

    Example: tessera-engine sample scene_dir.embeddings points.csv -o table.parquet
    """
    from tessera_engine.analysis.sampling.sample import sample as make
    from tessera_engine.formats.opening import holds_embeddings
    from tessera_engine.model.installed import DEFAULT_MODEL, open_model
    from tessera_engine.running import loading
    from tessera_engine.running.options import RunOptions

    def scene_of(path: Path) -> Scene:
        return _open_scene(path, layout, year, start, end, like, s1_units)

    RunOptions.given({"memory": memory})
    opened = [path if holds_embeddings(path) else scene_of(path) for path in sources]
    loaded: Any = model or DEFAULT_MODEL
    if all(isinstance(each, Path) for each in opened):
        _refuse_in_vain(
            opened,
            {"model": model, "int8": int8, "layout": layout, "like": like}
            | {"start": start and start.date(), "end": end and end.date()}
            | {"s1_units": s1_units, "threads": threads, "strict": strict}
            | {name: value for name, value in (("backend", backend), ("device", device)) if value != "auto"},
        )
    else:
        file = open_model(loaded, "int8" if int8 else None)
        loaded = loading.load(file, backend, threads, lambda text: console.say(text, quiet), device)
    with interruptible(NOTHING_LEFT):
        made = make(
            opened,
            shapes,
            out,
            overwrite=overwrite,
            progress=console.progress_for(quiet, json),
            announce=lambda text: console.say(text, quiet),
            model=loaded,
            pool=pool,
            layer=layer,
            shapes_crs=shapes_crs,
            buffer=buffer,
            id=id,
            dim=dim,
            year=year,
            until=until and until.date(),
            memory=memory,
            strict=strict,
        )
    for note in made.notes:
        console.say(note, quiet and not note.startswith("warning: "))
    if json:
        console.print_json(
            {"out": str(made.out), "rows": made.rows, "empty": made.empty, "columns": list(made.columns)}
        )
        return
    console.print_line(made.out)
    console.say(f"{made.rows:,} rows, {made.rows - made.empty:,} of them with an embedding", quiet)


def _refuse_in_vain(sources: list[Any], given: dict[str, Any]) -> None:
    """Refuse what is about embedding a scene where there is none.

    Raises:
        InputError: something of it was given.
    """
    for name, value in given.items():
        if value:
            raise InputError(
                f"{name}={value} is about embedding a scene, and {sources[0]} holds embeddings already; leave it out"
            )


def _open_scene(
    path: Path,
    layout: str | None,
    year: int | None,
    start: datetime | None,
    end: datetime | None,
    like: Path | None,
    s1_units: str | None,
) -> Scene:
    from tessera_engine.scenes import open_scene

    return open_scene(
        path,
        layout=layout,
        year=year,
        start=start and start.date(),
        end=end and end.date(),
        like=like,
        s1_units=s1_units,
    )
