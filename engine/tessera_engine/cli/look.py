"""The commands `info`, `doctor` and `simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import NOTHING_LEFT
from tessera_engine.cli.options import From, Json, Layout, Like, Quiet, S1Units, Season, To, Year
from tessera_engine.cli.signals import interruptible


@app.command()
def info(
    target: Annotated[str, typer.Argument(help="Scene folder, output folder, model name or model file.")],
    layout: Layout = None,
    year: Year = None,
    start: From = None,
    end: To = None,
    season: Season = None,
    like: Like = None,
    s1_units: S1Units = None,
    json: Json = False,
) -> None:
    """Show what is in a scene, a model or an output.

    For a scene, it also shows how much of the year is clear, what is suspicious, and the time and memory to embed it on
    this machine.

    Example: tessera-engine info scene_dir/
    """
    from tessera_engine.cli.pages.info import describe

    described = describe(
        target,
        console.say,
        layout=layout,
        year=year,
        start=start and start.date(),
        end=end and end.date(),
        season=season,
        like=like,
        s1_units=s1_units,
    )
    if json:
        console.print_json(described)
        return
    if described["kind"] == "scene":
        from tessera_engine.cli.pages.scene import print_scene

        print_scene(described)
        return
    console.print_table(list(described.items()))


@app.command()
def doctor(json: Json = False) -> None:
    """Show this machine's CPU, GPU, backends, drivers and models.

    Example: tessera-engine doctor
    """
    from tessera_engine.cli.pages.doctor import examine

    found = examine()
    if json:
        console.print_json(found)
    else:
        console.print_table(list(found.items()))


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder to write the scene into.")],
    size: Annotated[int, typer.Option(min=1, help="Width and height in pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Random seed. The same seed gives the same scene.")] = 0,
    year: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of the year. Another year has the same land, other weather, and other crops on some fields.",
        ),
    ] = 0,
    climate: Annotated[
        str, typer.Option(help="Climate: atlantic, mediterranean, continental, boreal, monsoon or pampas.")
    ] = "atlantic",
    quiet: Quiet = False,
) -> None:
    """Make a simulated scene, with its true land cover.

    The scene is a d-pixel tile with fields, forest, water, clouds and both orbits of Sentinel-1.

    Example: tessera-engine simulate scene_dir --size 256
    """
    from tessera_engine.simulate import simulate as make

    with interruptible(NOTHING_LEFT), console.progress_bar("simulating", quiet, "dates") as progress:
        make(folder, size, seed, progress, climate, year)
    console.print_line(folder)
