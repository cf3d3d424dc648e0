"""Arguments and options of the commands that work on embeddings."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

Embeddings = Annotated[Path, typer.Argument(help="Output folder of embed or convert.")]
Several = Annotated[list[Path], typer.Argument(help="Output folders of embed or convert, by one model.")]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", help="Folder for the results. Default: in the current folder.")
]
OfYear = Annotated[int | None, typer.Option("--year", help="Year to use, if the output has several.")]
Until = Annotated[
    datetime | None,
    typer.Option(
        "--until",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="Period to use, if the output has several: its last day.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")]
Labels = Annotated[
    Path,
    typer.Option(
        help="Labels: points or polygons (GeoPackage, shapefile, GeoJSON, KML, GeoParquet, ...), a CSV table with "
        "coordinates, or a GeoTIFF."
    ),
]
Layer = Annotated[
    str | None, typer.Option(help="Layer of the labels. Default: the only layer that has the field.")
]
LabelsCrs = Annotated[
    str | None,
    typer.Option(help="CRS of the labels' coordinates, such as EPSG:32631. Default: what the file says."),
]
SHAPES_LAYER = "Layer of the shapes. Default: the only layer that has some."
SHAPES_CRS = "CRS of the shapes' coordinates, such as EPSG:32631. Default: what the file says."
ShapesLayer = Annotated[str | None, typer.Option("--layer", help=SHAPES_LAYER)]
ShapesCrs = Annotated[
    str | None,
    typer.Option(help=SHAPES_CRS),
]
Band = Annotated[int | None, typer.Option(help="Band of a raster of labels, from 1. Default: the only one.")]
Nodata = Annotated[
    float | None,
    typer.Option(help="Number that is no label. Default: the nodata value that a raster declares."),
]

NOTHING_LEFT = "nothing was published, and earlier results are as they were; give the same command again"
"""What `interruptible` reports."""
