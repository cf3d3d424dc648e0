"""Options that commands share: what runs the model, how much it may take, and which part of a scene is used."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.scenes.registry import LAYOUTS

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.")]
Device = Annotated[
    str,
    typer.Option(
        rich_help_panel="Model",
        help="auto, cpu or cuda. auto uses a GPU if something that runs the model on it is installed.",
    ),
]
DeviceMemory = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="How it runs",
        metavar="SIZE",
        help="Limit of the GPU's memory, like 8GB. Default: what is free.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(rich_help_panel="How it runs", min=1, help="Number of CPU threads. Default: all."),
]

Memory = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="How it runs",
        help="Memory limit, like 2GB. Default: half of the free memory, at most 4GB.",
    ),
]

Layout = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="Scene and time",
        help=f"Read only this layout: {', '.join(LAYOUTS)}. Default: all that the folder has.",
    ),
]
Year = Annotated[
    int | None,
    typer.Option(
        rich_help_panel="Scene and time",
        help="Use this year only. Default: the year with most dates. For d-pixel tiles: the year that they are of.",
    ),
]
From = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        rich_help_panel="Scene and time",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="The first day to use; needs --to.",
    ),
]
To = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        rich_help_panel="Scene and time",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="The last day to use, at most 12 months after --from.",
    ),
]
Season = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="Scene and time",
        metavar="FIRST:LAST",
        help="Use a season, in whole months (2023-11:2024-06) or days (2023-11-15:2024-06-30). d-pixel tiles need "
        "--year too.",
    ),
]
Like = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel="Scene and time",
        help="For products: resample to this raster's grid. Default: their own 10 m grid.",
        metavar="FILE",
    ),
]
S1Units = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="Scene and time",
        help="For products: units of Sentinel-1 (power, amplitude, db or code). Default: what the products say.",
    ),
]
