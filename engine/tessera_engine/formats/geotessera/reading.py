"""Reading geotessera's tree of 0.1 degree cells: one that this engine wrote, or a downloaded one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, TesseraError, reason
from tessera_engine.files.inside import inside
from tessera_engine.files.npy_header import read_npy_header
from tessera_engine.files.staging import CODE_NODATA, RasterFile
from tessera_engine.formats.embeddings.same_grid import named, offset, union
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.scene import Grid, Window

EMBEDDINGS_FOLDER = "global_0.1_degree_representation"
LANDMASK_FOLDER = "global_0.1_degree_tiff_all"
OBSERVATIONS_FOLDER, QUALITY_FOLDER = "observations", "quality"

_NAME = re.compile(r"grid_-?\d{1,3}\.\d\d_-?\d{1,2}\.\d\d", re.ASCII)
_YEAR = re.compile(r"\d{4}", re.ASCII)


@dataclass(frozen=True)
class Cell:
    """One cell: its pixels on the tree's grid, and its files."""

    window: Window
    codes: Path
    scales: Path
    observations: Path
    quality: Path

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.window.height, self.window.width


@dataclass(frozen=True)
class GeotesseraSource:
    """The cells of one year as one grid.

    Where cells overlap, the value is that of the southernmost, then westernmost cell that has data there.
    """

    grid: Grid
    dim: int
    cells: tuple[Cell, ...]
    stored_as: str = "int8"
    block: int = 1

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        codes = np.full((window.height, window.width, dim), CODE_NODATA, np.int8)
        scales = np.full((window.height, window.width), np.nan, np.float32)
        for cell, there, here in self._parts(window):
            read = RasterFile(cell.scales, cell.size, np.dtype(np.float32)).read(there)
            new = np.isfinite(read) & ~np.isfinite(scales[here])
            scales[here][new] = read[new]
            values = RasterFile(cell.codes, (*cell.size, self.dim), np.dtype(np.int8)).read(there)
            np.copyto(codes[here], values[..., :dim], where=new[..., np.newaxis])
        return StoredBlock(codes, scales)

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        counts = np.zeros((window.height, window.width, 2), np.uint16)
        for cell, there, here in self._parts(window):
            if cell.observations.exists():
                read = RasterFile(cell.observations, (*cell.size, 2), np.dtype(np.uint16)).read(there)
                counts[here] = np.maximum(counts[here], read)
        return counts

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """See `tessera_engine.formats.embeddings.stored.QualitySource`."""
        if not any(cell.quality.exists() for cell in self.cells):
            return None
        found = np.zeros((window.height, window.width, len(QUALITY_BANDS)), np.uint16)
        for cell, there, here in self._parts(window):
            if cell.quality.exists():
                read = RasterFile(cell.quality, (*cell.size, len(QUALITY_BANDS)), np.dtype(np.uint16)).read(
                    there
                )
                np.copyto(found[here], read, where=~found[here].any(axis=2, keepdims=True))
        return found

    def _parts(self, window: Window) -> Iterator[tuple[Cell, Window, tuple[slice, slice]]]:
        """Each cell that a window touches: what they share, as a window of the cell and as slices of the window."""
        for cell in self.cells:
            shared = cell.window.intersection(window)
            if shared is not None:
                yield cell, shared.relative_to(cell.window), shared.relative_to(window).slices


def is_tree(path: Path) -> bool:
    """Whether a folder holds geotessera's tree."""
    return (path / EMBEDDINGS_FOLDER).is_dir()


def years(path: Path) -> list[int]:
    """The years of a tree."""
    folders = (folder for folder in (path / EMBEDDINGS_FOLDER).iterdir() if folder.is_dir())
    return sorted(int(folder.name) for folder in folders if _YEAR.fullmatch(folder.name))


def open_source(path: Path, year: int | date | None) -> GeotesseraSource:
    """Open one year of a tree in one CRS.

    Raises:
        InputError: it holds cells on several grids, or no cell, or a link leads out of the tree.
        TesseraError: a cell's files can't be read.
    """
    place = path / EMBEDDINGS_FOLDER / str(year)
    names = place.iterdir() if place.is_dir() else ()
    folders = sorted((folder for folder in names if _NAME.fullmatch(folder.name)), key=_south_then_west)
    if not folders:
        raise InputError(f"{place} holds no cell (a folder like grid_4.75_51.05)")
    landmasks = [path / LANDMASK_FOLDER / f"{folder.name}.tiff" for folder in folders]
    for landmask in landmasks:
        _refuse_link_out(path, landmask)
    grids = [_landmask_grid(landmask) for landmask in landmasks]
    union, windows = _union(path, grids)
    cells, dim = [], 0
    for folder, window in zip(folders, windows, strict=True):
        codes = folder / f"{folder.name}.npy"
        scales = folder / f"{folder.name}_scales.npy"
        counts = path / OBSERVATIONS_FOLDER / str(year) / codes.name
        quality = path / QUALITY_FOLDER / str(year) / codes.name
        for file in (codes, scales, counts, quality):
            _refuse_link_out(path, file)
        cells.append(Cell(window, codes, scales, counts, quality))
        dim = _dim(codes)
    return GeotesseraSource(union, dim, tuple(cells))


def _refuse_link_out(tree: Path, file: Path) -> None:
    if not inside(tree, file):
        raise InputError(
            f"{file} is or lies behind a link that leads out of {tree}; replace the link by a copy"
        )


def cell_centre(name: str) -> tuple[float, float]:
    """Longitude and latitude in the middle of a cell, from its name."""
    _, lon, lat = name.split("_")
    return float(lon), float(lat)


def _south_then_west(folder: Path) -> tuple[float, float]:
    return cell_centre(folder.name)[::-1]


def _dim(codes: Path) -> int:
    try:
        with codes.open("rb") as file:
            return int(read_npy_header(file)[0][2])
    except (OSError, ValueError, IndexError) as error:
        raise TesseraError(f"can't read {codes}: {reason(error)}; download this cell again") from None


def _landmask_grid(path: Path) -> Grid:
    from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, raster_crs, raster_reader

    try:
        with gdal_environment(), raster_reader(path) as file:
            crs = raster_crs(file)
            grid = Grid(file.width, file.height, crs.to_string() if crs else None, file.transform)
    except GDAL_ERRORS as error:
        raise _no_place(path, reason(error)) from None
    if not grid.has_area:
        raise _no_place(path, f"it has the transform {list(grid.transform)[:6]}")
    return grid


def _no_place(path: Path, why: str) -> TesseraError:
    return TesseraError(f"can't read {path}, which gives a cell its place: {why}; download this cell again")


def _union(path: Path, grids: list[Grid]) -> tuple[Grid, list[Window]]:
    """The grid that covers all cells, and each cell's window of it."""
    whole = grids[0]
    for grid in grids:
        grown = union(whole, grid)
        if grown is None:
            raise InputError(
                f"{path} holds cells on {named(whole)} and on {named(grid)}; expected one grid: move the cells of each "
                "grid to a folder of their own"
            )
        whole = grown
    windows = []
    for grid in grids:
        corner = offset(whole, grid)
        assert corner is not None
        windows.append(Window(*corner, grid.width, grid.height))
    return whole, windows
