"""Labels under test: vector files and rasters, read onto the grid of an output."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path
from random import Random

import numpy as np
from fuzz.mutations import NUMBERS, TEXTS
from fuzz.watch import Place

from tessera_engine.analysis.areas.design import sample_design
from tessera_engine.analysis.class_map import open_class_map
from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.cli.console import print_table
from tessera_engine.formats.opening import open_embeddings
from tessera_engine.scene import Grid


def prepare(place: Place) -> Grid:
    """The grid of the output that the labels belong to."""
    return open_embeddings(place.made / "outputs" / "cog").grid


def mutate_cells(rng: Random, data: bytes) -> bytes:
    """A table in which cells are something else."""
    rows = [line.split(b",") for line in data.split(b"\n")]
    for _ in range(rng.choice((1, 2, 8))):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = str(rng.choice((*TEXTS[:-1], *NUMBERS))).encode("utf-8", "replace")
    return b"\n".join(b",".join(row) for row in rows)


def labels(place: Place, grid: Grid, seed: str, data: bytes) -> None:
    """One file of labels."""
    path = place.inputs / Path(seed.replace("+", "/")).name
    path.write_bytes(data)
    place.ready()
    _read(path, grid, zlib.crc32(data) if "fields" not in seed else 1)


def shapefile(place: Place, grid: Grid, seed: str, data: bytes) -> None:
    """One of the files of a shapefile."""
    for path in (place.made / "labels").glob("points.*"):
        if path.suffix in (".dbf", ".prj", ".shx", ".shp", ".cpg"):
            shutil.copy(path, place.inputs)
    number = zlib.crc32(data)
    path = place.inputs / "points.shp"
    path.write_bytes(data)
    if number % 3 == 0:  # the damaged bytes as the table of values
        table = (place.made / "labels" / "points.dbf").read_bytes()
        path.with_suffix(".dbf").write_bytes(
            table[: number % len(table)] + data[:50] + table[number % len(table) + 50 :]
        )
    place.ready()
    _read(path, grid, number)


def _read(path: Path, grid: Grid, number: int) -> None:
    regression = number % 4 == 0
    found = read_labels(LabelSource(path, "value" if regression else "crop"), grid, regression, 20_000)
    assert len(found) > 0
    assert (
        (found.cols >= 0) & (found.cols < grid.width) & (found.rows >= 0) & (found.rows < grid.height)
    ).all()
    assert not regression or np.isfinite(found.values).all()


def class_names(place: Place, _: object, seed: str, data: bytes) -> None:
    """Names of classes that GDAL keeps beside a raster: nothing in them stops the map from being used."""
    raster = place.inputs / "crops.tif"
    if not raster.exists():
        shutil.copy(place.made / "labels" / "raster.tif", raster)
    raster.with_name("crops.tif.aux.xml").write_bytes(data)
    place.ready()
    found = open_class_map("map", raster)
    assert list(found.names) == list(found.pixels)
    assert all(found.names.values())
    print_table(list(found.names.items()))
    if zlib.crc32(data) % 8 == 0:
        out = place.out / f"points.{('csv', 'geojson', 'gpkg')[zlib.crc32(data) // 8 % 3]}"
        sample_design(raster, out, per_class=2, show_class=True, overwrite=True)
