"""Where a grid lies on Earth, and which of its pixels belong to a window, a box or a point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tessera_engine.errors import InputError
from tessera_engine.scene import Grid, Window

BBox = tuple[float, float, float, float]
"""West, south, east, north in degrees."""


def check_window(grid: Grid, window: Window) -> Window:
    """Give the window back if it lies in the grid.

    Raises:
        InputError: empty, or beyond the grid's edge.
    """
    if window.width < 1 or window.height < 1 or grid.window.intersection(window) != window:
        raise InputError(
            f"window {tuple(window)} (col, row, width, height) doesn't lie in the scene of {grid.width} x "
            f"{grid.height} pixels"
        )
    return window


def window_of_bbox(grid: Grid, bbox: BBox) -> Window:
    """The pixels that a box in longitude and latitude touches.

    Args:
        grid: the scene's.
        bbox: west, south, east, north in degrees; west is larger than east in a box across 180 degrees (RFC 7946,
            section 5.2).

    Raises:
        InputError: no CRS, not a box, or beside the scene; where latitude and longitude are swapped, the error says so.
    """
    if grid.crs is None:
        raise InputError("the scene has no CRS, so a bbox has no place in it; give window= instead")
    window = window_touched(grid, bbox) if _is_box(bbox) else None
    if window is not None:
        return window
    found = f"bbox={_in_words(bbox)}"
    if len(bbox) == 4 and window_touched(grid, (bbox[1], bbox[0], bbox[3], bbox[2])) is not None:
        raise InputError(
            f"{found} has latitude and longitude swapped; give west, south, east, north in degrees: "
            f"{_in_words([bbox[1], bbox[0], bbox[3], bbox[2]])}; {where_it_lies(grid)}"
        )
    if not _is_box(bbox):
        raise InputError(f"{found} is not west, south, east, north in degrees; {where_it_lies(grid)}")
    raise InputError(f"{found} (west, south, east, north) lies beside the scene; {where_it_lies(grid)}")


def window_touched(grid: Grid, bbox: BBox) -> Window | None:
    """The pixels of a grid with a CRS that a box in longitude and latitude touches; None if it touches none."""
    if not _is_box(bbox):
        return None
    west, south, east, north = bbox
    halves = [bbox] if west < east else [(west, south, 180.0, north), (-180.0, south, east, north)]
    windows = [window for window in (_window_covered(grid, half) for half in halves) if window is not None]
    if not windows:
        return None
    col, row = min(window.col for window in windows), min(window.row for window in windows)
    right = max(window.col + window.width for window in windows)
    bottom = max(window.row + window.height for window in windows)
    return Window(col, row, right - col, bottom - row)


def _window_covered(grid: Grid, bbox: BBox) -> Window | None:
    """The pixels that a box which doesn't cross 180 degrees touches; None if it touches none."""
    from rasterio.warp import transform_bounds

    from tessera_engine.gdal import PROJECTION_ERRORS

    try:
        left, bottom, right, top = transform_bounds("EPSG:4326", grid.crs, *bbox, densify_pts=21)
    except PROJECTION_ERRORS:  # too far away to be projected
        return None
    if not all(map(math.isfinite, (left, bottom, right, top))):
        return None
    to_pixel = ~grid.transform
    corners = [to_pixel @ (x, y) for x in (left, right) for y in (top, bottom)]
    cols, rows = [c for c, _ in corners], [r for _, r in corners]
    col, row = math.floor(min(cols)), math.floor(min(rows))
    return grid.window.intersection(Window(col, row, math.ceil(max(cols)) - col, math.ceil(max(rows)) - row))


def is_crs(text: str) -> bool:
    """Whether a text names or describes a CRS."""
    from rasterio.crs import CRS

    from tessera_engine.gdal import PROJECTION_ERRORS

    try:
        CRS.from_string(text)
    except (*PROJECTION_ERRORS, ValueError):
        return False
    return True


def to_pixels(
    grid: Grid, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns and rows (N,) of points; whole numbers are corners of pixels.

    Coordinates are counted from the grid's corner first: so the corners and centres of a grid of whole metres come out
    exactly, which the inverse of its transform doesn't give.

    Args:
        grid: the pixels, which go on outside of it.
        x: (N,) in the grid's CRS.
        y: (N,).
    """
    t = grid.transform
    x, y = x - t.c, y - t.f
    return (t.e * x - t.b * y) / t.determinant, (t.a * y - t.d * x) / t.determinant


def is_utm(crs: str | None) -> bool:
    """Whether a CRS is a UTM zone of WGS 84."""
    from rasterio.crs import CRS

    code = None if crs is None else CRS.from_string(crs).to_epsg()
    return code is not None and (32601 <= code <= 32660 or 32701 <= code <= 32760)


def pixels_at(grid: Grid, lon: ArrayLike, lat: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows (N,) of the pixels in which points lie; they may lie outside of the grid.

    Args:
        grid: with a CRS.
        lon: (N,) degrees, WGS 84.
        lat: (N,) degrees.
    """
    from rasterio.transform import array_bounds
    from rasterio.warp import transform, transform_bounds

    lon, lat = np.atleast_1d(lon).astype(float), np.atleast_1d(lat).astype(float)
    west, south, east, north = transform_bounds(
        grid.crs, "EPSG:4326", *array_bounds(grid.height, grid.width, grid.transform)
    )
    # Points far away can't be projected, and one of them would make the whole call fail
    across = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
    near = np.flatnonzero(across & (lat >= south) & (lat <= north))
    cols, rows = np.full(len(lon), -1, np.int64), np.full(len(lon), -1, np.int64)
    if len(near):
        x, y = map(np.asarray, transform("EPSG:4326", grid.crs, lon[near], lat[near]))
        cols[near], rows[near] = map(np.floor, to_pixels(grid, x, y))
    return cols, rows


def point_outside(grid: Grid, lon: float, lat: float, of: str = "the scene") -> InputError:
    """The error for a point that lies outside of a grid; where latitude and longitude are swapped, it says so.

    Args:
        grid: with a CRS.
        lon: degrees, WGS 84.
        lat: degrees.
        of: what the point lies outside of, for people.
    """
    found = f"the point {lon} {lat} (longitude, latitude) lies outside of {of}"
    (col,), (row,) = pixels_at(grid, lat, lon)
    if 0 <= col < grid.width and 0 <= row < grid.height:
        found += f"; latitude and longitude are swapped, give {lat} {lon}"
    return InputError(f"{found}; {where_it_lies(grid)}")


def where_it_lies(grid: Grid) -> str:
    """The grid's footprint in degrees, for messages."""
    outline = footprint(grid)
    if outline is None:
        return "its place in longitude and latitude isn't known"
    return f"it covers west, south, east, north: {_in_words(bounding_box(outline))}"


def _is_box(bbox: Sequence[float]) -> bool:
    if len(bbox) != 4:
        return False
    west, south, east, north = bbox
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        return False
    # Where west and east were swapped, the box would reach around most of the Earth
    return west < east or 0 < east + 360 - west < WIDEST


def _in_words(degrees: Sequence[float]) -> str:
    return " ".join(f"{value:.{DEGREE_DECIMALS}f}".rstrip("0").rstrip(".") for value in degrees)


WIDEST = 180
"""Degrees: a wider box across 180 degrees is taken for a mistake."""

POINTS_PER_EDGE = 8
"""Straight edges of a projected grid are curves in longitude and latitude. With so many points the outline of a 110 km
tile is within 5 m of them."""


DEGREE_DECIMALS = 6
"""0.1 m; more decimals would only show rounding in the projection library."""


def grid_fields(grid: Grid) -> dict[str, Any]:
    """Shape and transform of a grid as fields of STAC's projection extension."""
    fields: dict[str, Any] = {"proj:shape": [grid.height, grid.width]}
    if grid.crs is not None:
        fields["proj:transform"] = [float(value) for value in list(grid.transform)[:6]]
    return fields


def footprint(grid: Grid) -> dict[str, Any] | None:
    """The grid's outline as a GeoJSON geometry in WGS 84; None where the grid isn't on Earth.

    Counterclockwise, and cut into two polygons where it crosses the antimeridian (RFC 7946, sections 3.1.6 and 3.1.9).
    """
    if grid.crs is None:
        return None
    from rasterio.warp import transform_geom

    from tessera_engine.gdal import PROJECTION_ERRORS

    outline = {"type": "Polygon", "coordinates": [list(_outline(grid))]}
    try:
        geometry: dict[str, Any] = transform_geom(grid.crs, "EPSG:4326", outline)
    except PROJECTION_ERRORS:
        # A local CRS cannot be converted to longitude and latitude. A finished run must not fail because of it.
        return None
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    rings = [[_counterclockwise(ring) for ring in polygon] for polygon in polygons]
    if not all(
        math.isfinite(value) for polygon in rings for ring in polygon for point in ring for value in point
    ):
        return None
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def bounding_box(geometry: Mapping[str, Any]) -> list[float]:
    """West, south, east, north of a footprint; west > east across the antimeridian (RFC 7946, section 5.2)."""
    split = geometry["type"] == "MultiPolygon"
    polygons = geometry["coordinates"] if split else [geometry["coordinates"]]
    longitudes = [point[0] for polygon in polygons for ring in polygon for point in ring]
    latitudes = [point[1] for polygon in polygons for ring in polygon for point in ring]
    if split:
        west = min(value for value in longitudes if value > 0)
        east = max(value for value in longitudes if value < 0)
    else:
        west, east = min(longitudes), max(longitudes)
    return [west, min(latitudes), east, max(latitudes)]


def _outline(grid: Grid) -> Iterator[tuple[float, float]]:
    """The grid's edge in its own CRS, closed, from the upper left corner downwards."""
    corners = [(0, 0), (0, grid.height), (grid.width, grid.height), (grid.width, 0), (0, 0)]
    for (col, row), (next_col, next_row) in pairwise(corners):
        for step in range(POINTS_PER_EDGE):
            share = step / POINTS_PER_EDGE
            yield grid.transform @ (col + (next_col - col) * share, row + (next_row - row) * share)
    yield grid.transform @ corners[0]


def _counterclockwise(ring: Sequence[Sequence[float]]) -> list[list[float]]:
    points = [[round(value, DEGREE_DECIMALS) for value in point[:2]] for point in ring]
    # Twice the signed area, by the shoelace formula.
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(points))
    return points if area > 0 else points[::-1]
