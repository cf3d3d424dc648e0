"""Embeddings on another grid: each of its pixels has the embedding of the pixel in which its centre lies.

A mean of embeddings is the embedding of no place, so nothing is interpolated.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.errors import InputError, check_type
from tessera_engine.files.naming import check_utf8
from tessera_engine.formats.embeddings.moved import Moved
from tessera_engine.formats.embeddings.stored import QualitySource, Source, StoredBlock
from tessera_engine.gdal import PROJECTION_ERRORS, gdal_environment
from tessera_engine.geo import is_crs
from tessera_engine.offline.crs import crs_elsewhere
from tessera_engine.scene import Grid, Window
from tessera_engine.scenes.reading.target import target_of_file
from tessera_engine.stac.items import ITEM_SHA256, geometry_fields
from tessera_engine.stac.members import PIXELS_FEW_CLEAR
from tessera_engine.stac.writing import projection

CELL = 256
"""Pixels of the source along each side of what is read at a time, whatever the grids."""

MOST_PIXELS = 100
"""Times as many pixels as the source has may a grid have."""

METHOD = "nearest"
"""GDAL's word for it."""


@dataclass(frozen=True)
class Regridded(Moved):
    """A source on another grid."""

    @classmethod
    def of(cls, source: Source, grid: Grid, path: str) -> Regridded:
        """Put a source on a grid.

        Args:
            source: the embeddings as they are stored.
            grid: the grid.
            path: of the embeddings, for messages.

        Raises:
            InputError: one has no CRS, or they share no pixel.
        """
        _check_shares_pixels(grid, source.grid, path)
        return cls(source, grid)

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        values, scales = block = StoredBlock.without_data(window, dim, self.stored_as)

        def fill(
            here: NDArray[np.intp], part: Window, row: NDArray[np.int64], col: NDArray[np.int64]
        ) -> None:
            stored = self.source.read(part, dim)
            values.reshape(-1, dim)[here] = stored.values[row, col]
            if scales is not None and stored.scales is not None:
                scales.reshape(-1)[here] = stored.scales[row, col]

        self.each_cell(window, fill)
        return block

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        counts = np.zeros((window.height, window.width, 2), np.uint16)

        def fill(
            here: NDArray[np.intp], part: Window, row: NDArray[np.int64], col: NDArray[np.int64]
        ) -> None:
            counts.reshape(-1, 2)[here] = self.source.read_observations(part)[row, col]

        self.each_cell(window, fill)
        return counts

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """See `tessera_engine.formats.embeddings.stored.QualitySource`."""
        source = self.source
        first = source.read_quality(Window(0, 0, 1, 1)) if isinstance(source, QualitySource) else None
        if first is None or not isinstance(source, QualitySource):
            return None
        bands = first.shape[-1]
        layers = np.zeros((window.height, window.width, bands), np.uint16)

        def fill(
            here: NDArray[np.intp], part: Window, row: NDArray[np.int64], col: NDArray[np.int64]
        ) -> None:
            block = source.read_quality(part)
            if block is not None:
                layers.reshape(-1, bands)[here] = block[row, col]

        self.each_cell(window, fill)
        return layers

    def each_cell(
        self,
        window: Window,
        fill: Callable[[NDArray[np.intp], Window, NDArray[np.int64], NDArray[np.int64]], None],
    ) -> None:
        """Call `fill` for each cell of the source that a window needs.

        With the pixels of the window, the part of the source, and the rows and columns in it.
        """
        cols, rows = source_pixels(self.grid, self.source.grid, window)
        grid = self.source.grid
        inside = np.flatnonzero((cols >= 0) & (rows >= 0) & (cols < grid.width) & (rows < grid.height))
        cols, rows = cols[inside], rows[inside]
        cells = (rows // CELL) * (grid.width // CELL + 1) + cols // CELL
        order = np.argsort(cells, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(cells[order])) + 1):
            if len(group):
                col, row = cols[group], rows[group]
                left, top = int(col.min()), int(row.min())
                part = Window(left, top, int(col.max()) - left + 1, int(row.max()) - top + 1)
                fill(inside[group], part, row - top, col - left)


def wanted_grid(
    source: Grid, crs: str | None, resolution: float | None, like: Grid | str | os.PathLike[str] | None
) -> Grid:
    """The grid that a user asks for, see `Embeddings.on`.

    Raises:
        InputError: an argument is wrong, or two contradict each other.
    """
    if like is None:
        if crs is not None:
            check_type("crs", crs, (str, int), "a CRS, such as EPSG:4326")
        if resolution is not None:
            check_type("resolution", resolution, (float,), "the size of a pixel in units of the CRS")
        return grid_in(source, None if crs is None else str(crs), resolution)
    if crs is not None or resolution is not None:
        raise InputError("like= names all of a grid; give either like=, or crs= and resolution=")
    if isinstance(like, Grid):
        return like
    check_type("like", like, (str, os.PathLike), "a raster file or a grid")
    check_utf8(like)
    return target_of_file(Path(like))


def moved_item(item: Mapping[str, Any], before: Grid, grid: Grid) -> dict[str, Any]:
    """The item of embeddings that come to another grid."""
    # A checksum of another item, and numbers that are counted again when this is written
    stale = ("proj:wkt2", ITEM_SHA256, "tessera:pixels_with_data", PIXELS_FEW_CLEAR)
    properties = {key: value for key, value in item["properties"].items() if key not in stale}
    moved = {
        "title": f"{properties.get('title', 'TESSERA embeddings')}, {METHOD} on another grid",
        **projection(grid),
        "tessera:resampled": METHOD,
        "tessera:resampled_from": projection(before),
        "tessera:pixels": grid.window.pixels,
    }
    rest = {key: value for key, value in item.items() if key not in ("geometry", "bbox")}
    return rest | geometry_fields(grid) | {"properties": properties | moved}


def source_pixels(grid: Grid, source: Grid, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows (N,) int64 of a source in which the centres of a window's pixels lie; -1 where there are none.

    Args:
        grid: that the window is of.
        source: the grid of the columns and rows.
        window: its pixels are taken row by row.
    """
    col = window.col + np.arange(window.width) + 0.5
    row = (window.row + np.arange(window.height) + 0.5)[:, None]
    t = grid.transform
    x, y = (t.a * col + t.b * row + t.c).ravel(), (t.d * col + t.e * row + t.f).ravel()
    if grid.crs != source.crs:
        from rasterio.warp import transform

        xs, ys = transform(grid.crs, source.crs, x, y)
        x, y = np.asarray(xs), np.asarray(ys)
    back = ~source.transform
    with np.errstate(invalid="ignore"):
        cols = np.floor(back.a * x + back.b * y + back.c)
        rows = np.floor(back.d * x + back.e * y + back.f)
    outside = ~((cols >= 0) & (rows >= 0) & (cols < source.width) & (rows < source.height))
    cols[outside] = rows[outside] = -1
    return cols.astype(np.int64), rows.astype(np.int64)


def grid_in(source: Grid, crs: str | None = None, resolution: float | None = None) -> Grid:
    """The grid with north up that covers a source in another CRS.

    Its edges are multiples of the resolution, so that grids of neighbouring places fit together.

    Args:
        source: what is covered.
        crs: such as EPSG:4326; None: the source's.
        resolution: size of a pixel in units of the CRS; None: as large as the source's pixels in the middle.

    Returns:
        The source's own grid where CRS and resolution are the source's.

    Raises:
        InputError: the CRS isn't valid, the source has none or doesn't lie in it, or the pixels are too small.
    """
    from rasterio.crs import CRS
    from rasterio.warp import transform_bounds

    if source.crs is None:
        raise InputError("the embeddings have no CRS, so they have no place on another grid")
    wanted = source.crs if crs is None else crs.strip()
    if wanted.isdigit():
        wanted = f"EPSG:{wanted}"
    with gdal_environment():  # which keeps PROJ from printing
        valid = crs_elsewhere(wanted) is None and is_crs(wanted)
    if not valid:
        raise InputError(f"crs={crs} is not a valid CRS; expected one such as EPSG:4326")
    parsed = CRS.from_string(wanted)
    same = parsed == CRS.from_string(source.crs)
    if same and resolution in (None, source.transform.a) and source.transform.a == -source.transform.e:
        return source
    t = source.transform
    corners = [
        t @ corner
        for corner in ((0, 0), (source.width, 0), (0, source.height), (source.width, source.height))
    ]
    xs, ys = zip(*corners, strict=True)
    box = (min(xs), min(ys), max(xs), max(ys))
    try:
        left, bottom, right, top = transform_bounds(source.crs, parsed, *box, densify_pts=21)
    except PROJECTION_ERRORS:
        left = bottom = right = top = math.nan
    if not math.isfinite(left + bottom + right + top) or right <= left or top <= bottom:
        raise InputError(f"the embeddings don't lie within the CRS {wanted}; give another crs=")
    size = _like_the_source(source, parsed) if resolution is None else float(resolution)
    if not (math.isfinite(size) and size > 0):
        raise InputError(f"resolution={size:g} is not the size of a pixel; expected a number above 0")
    # A tolerance, so that an edge on a multiple stays there
    first_col, first_row = math.floor(left / size + 1e-6), math.ceil(top / size - 1e-6)
    width, height = math.ceil(right / size - 1e-6) - first_col, first_row - math.floor(bottom / size + 1e-6)
    if width * height > MOST_PIXELS * source.width * source.height:
        raise InputError(
            f"resolution={size:g} in {wanted} gives {width:,} x {height:,} pixels, the embeddings have "
            f"{source.width:,} x {source.height:,}; give a larger resolution="
        )
    if max(right - left, top - bottom) < size and source.window.pixels > 1:
        raise InputError(
            f"resolution={size:g} in {wanted} gives one pixel, larger than all of the embeddings; give the size of a "
            "pixel in units of the CRS: 10 m are about 0.0001 degrees"
        )
    authority = parsed.to_authority()
    code = ":".join(authority) if authority else parsed.to_wkt()
    return Grid(width, height, code, Affine(size, 0, first_col * size, 0, -size, first_row * size))


def box_on(grid: Grid, source: Grid) -> tuple[float, float, float, float] | None:
    """The box around a source on a grid of another CRS: left, top, right and bottom in columns and rows.

    None where the source has no place in the grid's CRS.
    """
    from rasterio.warp import transform_bounds

    t = source.transform
    corners = [
        t @ corner
        for corner in ((0, 0), (source.width, 0), (0, source.height), (source.width, source.height))
    ]
    xs, ys = zip(*corners, strict=True)
    try:
        box = transform_bounds(source.crs, grid.crs, min(xs), min(ys), max(xs), max(ys), densify_pts=21)
    except PROJECTION_ERRORS:
        return None
    back = ~grid.transform
    edges = [back @ each for each in ((box[0], box[1]), (box[2], box[3]), (box[0], box[3]), (box[2], box[1]))]
    cols, rows = zip(*edges, strict=True)
    if not math.isfinite(sum(cols) + sum(rows)):
        return None
    return min(cols), min(rows), max(cols), max(rows)


def _check_shares_pixels(grid: Grid, source: Grid, of: str) -> None:
    """Make sure that a grid has a pixel of a source.

    Args:
        grid: the grid.
        source: the source's grid.
        of: the source, for the message.

    Raises:
        InputError: one has no CRS, or they lie apart.
    """
    for each, what in ((grid, "the grid"), (source, of)):
        if each.crs is None:
            raise InputError(f"{what} has no CRS, so its pixels have no place on Earth")
    box = box_on(grid, source)
    apart = box is None or box[0] >= grid.width or box[2] <= 0 or box[1] >= grid.height or box[3] <= 0
    if apart:
        raise InputError(
            f"{of} and the grid share no pixel: {_named(source)} and {_named(grid)}; choose another grid"
        )


def _like_the_source(source: Grid, crs: Any) -> float:
    """The side of a square pixel in a CRS, with the area of the source's pixel in its middle."""
    from rasterio.warp import transform

    col, row = source.width / 2, source.height / 2
    points = [source.transform @ each for each in ((col, row), (col + 1, row), (col, row + 1))]
    xs, ys = transform(source.crs, crs, *zip(*points, strict=True))
    area = abs((xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0]))
    # Two digits: 10 m are 0.00011 degrees, not 0.000108347
    return float(f"{math.sqrt(area):.2g}") if math.isfinite(area) and area > 0 else math.nan


def _named(grid: Grid) -> str:
    """Where a grid begins, in words."""
    return f"{grid.crs} from {grid.transform.c:.10g} {grid.transform.f:.10g} on"
