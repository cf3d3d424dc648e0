"""geotessera's tree: a scene cut into cells of 0.1 degrees, each with its own place on Earth.

A cell is the smallest block of the scene's own pixels that holds all of its 0.1 degrees, so nothing is resampled and
neighbours share the pixels at their edge. Pixels without data have the scale +inf. geotessera's NaN means water; the
engine doesn't know where water is, so the landmasks are land everywhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import array_bounds
from rasterio.warp import transform_bounds

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.durable import link
from tessera_engine.files.staging import RasterFile
from tessera_engine.files.text import write_text
from tessera_engine.formats.embeddings.sentinels import NO_DATA_SCALE, to_sentinels
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.format import Content
from tessera_engine.formats.geotessera.reading import (
    EMBEDDINGS_FOLDER,
    LANDMASK_FOLDER,
    OBSERVATIONS_FOLDER,
    QUALITY_FOLDER,
)
from tessera_engine.formats.geotessera.registry import need_parquet, write_registry
from tessera_engine.formats.grown import hold
from tessera_engine.formats.joined import Joined
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.formats.origin import Origin
from tessera_engine.gdal import GDAL_ERRORS, reported_errors
from tessera_engine.geo import grid_fields, window_touched
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.items import Asset

MANIFEST = "tessera_metadata.json"

QUALITY = "How well each pixel was seen"

DIMENSIONS = 128
"""Length of the embeddings that geotessera's client takes."""


def write(content: Content, folder: Path, media_type: str) -> list[Asset]:
    """Write the tree: see `tessera_engine.formats.format.Format`."""
    origin, store = content.origin, content.store
    assert origin is not None
    years, name = hold(content.staging, content.name, origin, store)
    grid = next(iter(years.values())).grid
    added = next(joined for joined in years.values() if joined.added is not None)
    written: dict[int, list[str]] = {year: [] for year in years}
    quality = any(joined.has_quality for joined in years.values())
    try:
        (folder / LANDMASK_FOLDER).mkdir()
        for year in years:
            for made in (EMBEDDINGS_FOLDER, OBSERVATIONS_FOLDER, *([QUALITY_FOLDER] if quality else [])):
                (folder / made / str(year)).mkdir(parents=True)
        for cell, window in cells(grid):
            # A cell has one place in all years: where a scene is added, all years get the same pixels
            touched = added.touches(window)
            for year, joined in years.items():
                if (
                    _write_cell(joined, folder, year, cell, window)
                    if touched or store is None
                    else _link_cell(store.path, folder, year, cell)
                ):
                    written[year].append(cell)
        _write_manifest(folder / MANIFEST, name, origin, written)
        registry = write_registry(folder, written)
    except GDAL_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise TesseraError(
            f"can't write {folder / EMBEDDINGS_FOLDER}: {reason}; make room and try again"
        ) from None
    fields = {"data_type": "int8"} | grid_fields(grid)
    count = sum(map(len, written.values()))
    title = f"Embeddings in {count} cells of 0.1 degrees, int8 codes with scales (+inf = no data)"
    place, seen = "Each cell's place; land everywhere", "Observations of each pixel"
    return [
        Asset("embeddings", EMBEDDINGS_FOLDER, media_type, title, ("data",), fields),
        Asset("landmasks", LANDMASK_FOLDER, media_type, place, ("metadata",)),
        Asset("observations", OBSERVATIONS_FOLDER, media_type, seen, ("metadata",)),
        Asset("manifest", MANIFEST, "application/json", "What the cells are and from where", ("metadata",)),
        *([Asset("quality", QUALITY_FOLDER, media_type, QUALITY, ("metadata",))] if quality else []),
        *registry,
    ]


def check(grid: Grid, dim: int) -> None:
    """Make sure that the tree can hold a scene.

    Raises:
        InputError: the client takes other dimensions, or the scene has no CRS or crosses the antimeridian.
        MissingExtra: pyarrow, which writes the registry, isn't installed.
    """
    need_parquet()
    if dim != DIMENSIONS:
        raise InputError(f"format=geotessera takes {DIMENSIONS} dimensions, these are {dim}; use format=cog")
    _bounds(grid)


def cells(grid: Grid) -> Iterator[tuple[str, Window]]:
    """Name and window of each cell that a grid touches, from south to north, then west to east."""
    west, south, east, north = _bounds(grid)
    # In tenths of a degree, where cells are whole numbers
    for y in range(math.floor(south * 10), math.ceil(north * 10)):
        for x in range(math.floor(west * 10), math.ceil(east * 10)):
            window = window_touched(grid, (x / 10, y / 10, (x + 1) / 10, (y + 1) / 10))
            if window is not None:  # a cell in the scene's bounding box in degrees may lie beside the scene
                yield f"grid_{(x + 0.5) / 10:.2f}_{(y + 0.5) / 10:.2f}", window


def _bounds(grid: Grid) -> tuple[float, float, float, float]:
    """West, south, east, north in degrees."""
    if grid.crs is None:
        raise InputError(
            "format=geotessera needs a CRS, and the scene has none; use format=cog or format=npy"
        )
    bounds = array_bounds(grid.height, grid.width, grid.transform)
    west, south, east, north = transform_bounds(grid.crs, "EPSG:4326", *bounds, densify_pts=21)
    if west > east:
        raise InputError("format=geotessera can't cut a scene that crosses the antimeridian; use format=cog")
    return west, south, east, north


def _write_cell(joined: Joined, folder: Path, year: int, cell: str, window: Window) -> bool:
    """Write a cell, unless it has no data; True if it was written."""
    place = folder / EMBEDDINGS_FOLDER / str(year) / cell
    files: _CellFiles | None = None
    quality: RasterFile | None = None
    for strip in joined.strips(window):
        stored, counts = joined.read(strip)
        if not stored.valid.any():
            continue
        if files is None:
            place.mkdir()
            # Not beside the codes: the client takes every other .npy there to be a cell
            beside = [
                folder / each / str(year) / f"{cell}.npy" for each in (OBSERVATIONS_FOLDER, QUALITY_FOLDER)
            ]
            files = _CellFiles.create(place / cell, beside[0], window, joined.dim)
            if joined.has_quality:
                quality = _zeros(beside[1], window, len(QUALITY_BANDS))
        files.write(strip.relative_to(window), stored, counts)
        if quality is not None:
            quality.write(strip.relative_to(window), joined.read_quality(strip))
    if files is None:
        return False
    _write_landmask(folder / LANDMASK_FOLDER / f"{cell}.tiff", joined.grid.crop(window))
    return True


def _zeros(path: Path, window: Window, bands: int) -> RasterFile:
    return RasterFile.create(path, (window.height, window.width, bands), np.dtype(np.uint16), 0)


class _CellFiles(NamedTuple):
    """The arrays of a cell on the disk; they begin without data."""

    codes: RasterFile
    scales: RasterFile
    counts: RasterFile

    @classmethod
    def create(cls, start: Path, counts: Path, window: Window, dim: int) -> _CellFiles:
        """Make them; the codes are `start`.npy."""
        size = (window.height, window.width)
        scales = start.with_name(f"{start.name}_scales.npy")
        return cls(
            RasterFile.create(start.with_name(f"{start.name}.npy"), (*size, dim), np.dtype(np.int8), 0),
            RasterFile.create(scales, size, np.dtype(np.float32), float(NO_DATA_SCALE)),
            _zeros(counts, window, 2),
        )

    def write(self, window: Window, stored: StoredBlock, counts: NDArray[np.uint16]) -> None:
        """Write a window of the cell."""
        codes, scales = to_sentinels(stored)
        self.codes.write(window, codes)
        self.scales.write(window, scales)
        self.counts.write(window, counts)


def _link_cell(before: Path, folder: Path, year: int, cell: str) -> bool:
    """Give the files of a cell second names; False if the store had no such cell."""
    place = Path(EMBEDDINGS_FOLDER, str(year), cell)
    if not (before / place).is_dir():
        return False
    for file in (
        place / f"{cell}.npy",
        place / f"{cell}_scales.npy",
        Path(OBSERVATIONS_FOLDER, str(year), f"{cell}.npy"),
        Path(QUALITY_FOLDER, str(year), f"{cell}.npy"),
        Path(LANDMASK_FOLDER, f"{cell}.tiff"),
    ):
        known = QUALITY_FOLDER not in file.parts or (before / file).exists()
        if known and not (folder / file).exists():
            link(before / file, folder / file)
    return True


def _write_landmask(path: Path, grid: Grid) -> None:
    import rasterio

    profile = {"driver": "GTiff", "width": grid.width, "height": grid.height, "count": 1, "dtype": "uint8"}
    place = {"crs": grid.crs, "transform": grid.transform}
    with reported_errors(), rasterio.open(path, "w", **profile, **place, compress="DEFLATE") as file:
        file.write(np.ones((1, grid.height, grid.width), np.uint8))


def _write_manifest(path: Path, name: str, origin: Origin, written: Mapping[int, list[str]]) -> None:
    # The client writes the same facts beside a download: version 1.0, 1.1 or 2.0, and path v1, v1.1 or v2. By these and
    # by the variant it refuses to mix the folder with another data set's cells. The variant names the model file,
    # because only embeddings of one model file are comparable.
    major, minor = [*origin.generation.removeprefix("v").split("."), "0"][:2]
    manifest = {
        "dataset_version": f"{major}.{minor}",
        "dataset_version_path": f"v{major}" if minor == "0" else f"v{major}.{minor}",
        "dataset_variant": f"tessera-engine-{origin.model}-{origin.model_sha256[:12]}",
        "embeddings_subdir": EMBEDDINGS_FOLDER,
        "generator": f"tessera-engine {origin.engine_version}",
        "model": origin.model,
        "model_sha256": origin.model_sha256,
        "scenes": name,
        "cells": {str(year): cells for year, cells in written.items()},
        "scales": "+inf = no data; NaN (water) never occurs, the landmasks say land everywhere",
    }
    write_text(path, json.dumps(manifest, indent=2) + "\n")
