"""Where a grid lies on Earth, and which of its pixels a part of it has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tessera_engine.errors import InputError
from tessera_engine.scene import Grid, Window


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


def window_of_bbox(grid: Grid, bbox: tuple[float, float, float, float]) -> Window:
    """The pixels that a box in longitude and latitude touches.

    Args:
        grid: the scene's.
        bbox: west, south, east, north in degrees.

    Raises:
        InputError: no CRS, not a box, or beside the scene.
    """
    west, south, east, north = bbox
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise InputError(f"bbox {bbox} is not west, south, east, north in degrees")
    if grid.crs is None:
        raise InputError("the scene has no CRS, so a bbox can't be placed in it; use --window")
    from rasterio.warp import transform_bounds

    left, bottom, right, top = transform_bounds("EPSG:4326", grid.crs, *bbox, densify_pts=21)
    to_pixel = ~grid.transform
    corners = [to_pixel @ (x, y) for x in (left, right) for y in (top, bottom)]
    cols, rows = [c for c, _ in corners], [r for _, r in corners]
    col, row = math.floor(min(cols)), math.floor(min(rows))
    wanted = Window(col, row, math.ceil(max(cols)) - col, math.ceil(max(rows)) - row)
    window = grid.window.intersection(wanted)
    if window is None:
        raise InputError(
            f"bbox {bbox} lies beside the scene; 'tessera-engine info SCENE' shows its footprint"
        )
    return window


POINTS_PER_EDGE = 8
"""Straight edges of a projected grid are curves in longitude and latitude; this keeps a 110 km tile's within 5 m."""


DEGREE_DECIMALS = 6
"""0.1 m; more would only show the last bits of the projection library."""


def grid_fields(grid: Grid) -> dict[str, Any]:
    """Shape and transform of a grid in the words of STAC's projection extension."""
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
