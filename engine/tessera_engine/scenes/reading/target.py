"""The target grid, to which all products of a scene are brought, and the place of each product on it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from affine import Affine

from tessera_engine.errors import InputError
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.gdal import PROJECTION_ERRORS, without_georeference_warnings
from tessera_engine.scene import Grid, Window
from tessera_engine.scenes.products import Asset
from tessera_engine.scenes.reading.rasters import Geometry, Unreadable, open_raster

PIXEL = 10.0
"""Size of a pixel in metres; the models were trained on it."""

_MEASURED, _SCALE_TOLERANCE = 1000.0, 0.01
"""Metres along which a projection's scale is measured, and by how much it may differ from 1."""

_TOLERANCE = 1e-3
"""Fraction of a pixel by which two pixels may differ and still count as the same."""

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""

_NOWHERE: Box = (math.nan, math.nan, math.nan, math.nan)
"""Touches no other box."""


class Target(NamedTuple):
    """The grid of a scene.

    Attributes:
        grid: the grid.
        elsewhere: geometries of products that are apart from most of the scene.
    """

    grid: Grid
    elsewhere: frozenset[Geometry]


def target_of_file(path: Path) -> Grid:
    """The grid of a raster file.

    Raises:
        InputError: it can't be read, or has no CRS.
    """
    finish_or_undo(path)
    if not path.exists():
        raise InputError(
            f"like={path} doesn't exist; give a raster file whose grid the products are brought to"
        )
    try:
        with without_georeference_warnings():
            geometry = open_raster(Asset(path)).geometry
    except Unreadable as error:
        raise InputError(f"like={path} can't be used as the target grid: {error}") from None
    return Grid(geometry.width, geometry.height, geometry.crs, geometry.transform)


def target_of_products(geometries: Sequence[Geometry]) -> Target:
    """The 10 m grid in the CRS of most product pixels, large enough for all products.

    Where that CRS has no metres, or its metres are none on the ground there as in web Mercator, the grid is in the UTM
    zone of the largest product. Its pixels are the same as those of most products, so that these don't have to be
    resampled. A product that touches none of the others must be from another place and is left out.

    Args:
        geometries: for each product, the geometry of its finest raster; at least one.

    Raises:
        InputError: none of the products has coordinates on Earth.
    """
    counts = Counter(geometries)
    areas = {geometry: count * _area(geometry) for geometry, count in counts.items()}
    by_crs: dict[str, float] = {}
    for geometry, area in areas.items():
        by_crs[geometry.crs] = by_crs.get(geometry.crs, 0) + area
    most = max(by_crs, key=lambda crs: (by_crs[crs], crs))
    largest = max((each for each in areas if each.crs == most), key=lambda each: areas[each])
    crs = most if _is_true_to_scale(largest) else _utm_of(largest)
    boxes = {geometry: _box_in(geometry, crs) for geometry in counts}
    together = _largest_group(boxes, areas)
    x0, y0 = _phase([each for each in together if each.crs == crs], counts)
    left = x0 + _floor((min(boxes[each][0] for each in together) - x0) / PIXEL) * PIXEL
    bottom = y0 + _floor((min(boxes[each][1] for each in together) - y0) / PIXEL) * PIXEL
    right, top = max(boxes[each][2] for each in together), max(boxes[each][3] for each in together)
    width, height = -_floor((left - right) / PIXEL), -_floor((bottom - top) / PIXEL)
    transform = Affine(PIXEL, 0, left, 0, -PIXEL, bottom + height * PIXEL)
    return Target(Grid(width, height, crs, transform), frozenset(counts) - together)


def place_on(grid: Grid, geometry: Geometry) -> Window | None:
    """The grid's pixels that a raster touches, or None."""
    assert grid.crs is not None
    box = _box_in(geometry, grid.crs)
    if box is _NOWHERE:
        return None
    left, bottom, right, top = box
    to_pixel = ~grid.transform
    corners = [to_pixel @ (x, y) for x in (left, right) for y in (bottom, top)]
    col, row = (_floor(min(corner[axis] for corner in corners)) for axis in (0, 1))
    end_col, end_row = (-_floor(-max(corner[axis] for corner in corners)) for axis in (0, 1))
    return grid.window.intersection(Window(col, row, end_col - col, end_row - row))


def shift_on(grid: Grid, geometry: Geometry) -> tuple[int, int] | None:
    """Column and row of the raster's first pixel on the grid, if its pixels are pixels of the grid; else None."""
    if geometry.crs != grid.crs:
        return None
    here = ~grid.transform @ geometry.transform
    col, row = round(here.c), round(here.f)
    beside = max(abs(here.c - col), abs(here.f - row))
    scale = max(abs(here.a - 1), abs(here.b), abs(here.d), abs(here.e - 1))
    if max(beside, scale * max(geometry.width, geometry.height)) > _TOLERANCE:
        return None
    return col, row


def _floor(value: float) -> int:
    """The next lower whole number, with a tolerance for rounding errors of pixel edges."""
    return math.floor(value + _TOLERANCE)


def _corners(geometry: Geometry) -> Box:
    xs, ys = zip(
        *(geometry.transform @ (col, row) for col in (0, geometry.width) for row in (0, geometry.height)),
        strict=True,
    )
    return min(xs), min(ys), max(xs), max(ys)


def _box_in(geometry: Geometry, crs: str) -> Box:
    box = _corners(geometry)
    if geometry.crs == crs:
        return box
    from rasterio.warp import transform_bounds

    try:
        left, bottom, right, top = transform_bounds(geometry.crs, crs, *box, densify_pts=21)
    except PROJECTION_ERRORS:
        return _NOWHERE
    # Coordinates outside the domain of a projection are infinite
    return (left, bottom, right, top) if math.isfinite(left + bottom + right + top) else _NOWHERE


def _area(geometry: Geometry) -> float:
    """Area in square metres, approximately."""
    metres = 1.0 if _is_metric(geometry.crs) else 111_000.0
    pixel = abs(geometry.transform.determinant) * metres**2
    return geometry.width * geometry.height * float(pixel)


def _is_metric(crs: str) -> bool:
    from rasterio.crs import CRS

    parsed = CRS.from_user_input(crs)
    return bool(parsed.is_projected and parsed.linear_units_factor[1] == 1.0)


def _is_true_to_scale(geometry: Geometry) -> bool:
    """Whether a metre of the raster's CRS is a metre on the ground at its place.

    Not so in Mercator projections but at the equator, or near the edges of maps of the world.
    """
    from rasterio.crs import CRS
    from rasterio.warp import transform

    if not _is_metric(geometry.crs):
        return False
    method = CRS.from_user_input(geometry.crs).to_dict(projjson=True).get("conversion", {}).get("method", {})
    if "Mercator" in method.get("name", "") and "Transverse" not in method["name"]:
        return False
    left, bottom, right, top = _corners(geometry)
    x, y = (left + right) / 2, (bottom + top) / 2
    try:
        east, north = transform(geometry.crs, _utm_of(geometry), [x, x + _MEASURED, x], [y, y, y + _MEASURED])
    except (*PROJECTION_ERRORS, InputError):
        return True  # not on Earth at all: reported where the product is placed
    lengths = (math.hypot(east[i] - east[0], north[i] - north[0]) for i in (1, 2))
    return all(abs(length / _MEASURED - 1) <= _SCALE_TOLERANCE for length in lengths)


def _utm_of(geometry: Geometry) -> str:
    """The UTM zone of a raster's centre."""
    west, south, east, north = _box_in(geometry, "EPSG:4326")
    if not (math.isfinite(west) and -90 <= south <= north <= 90):
        raise InputError(
            f"the scene's products have coordinates that are not on Earth: {_corners(geometry)} in {geometry.crs}; "
            "correct their transform or their CRS"
        )
    zone = min(max(math.floor(((west + east) / 2 + 180) / 6) + 1, 1), 60)
    return f"EPSG:{326 if south + north >= 0 else 327}{zone:02d}"


def _phase(geometries: Sequence[Geometry], counts: Counter[Geometry]) -> tuple[float, float]:
    """The offset of pixel edges from multiples of 10 m, x and y, that most 10 m rasters have."""
    phases: Counter[tuple[float, float]] = Counter()
    for geometry in geometries:
        transform = geometry.transform
        if (transform.a, transform.b, transform.d, transform.e) == (PIXEL, 0, 0, -PIXEL):
            phases[round(transform.c % PIXEL, 6) % PIXEL, round(transform.f % PIXEL, 6) % PIXEL] += counts[
                geometry
            ]
    return max(phases, key=lambda phase: (phases[phase], phase), default=(0.0, 0.0))


def _largest_group(boxes: dict[Geometry, Box], areas: dict[Geometry, float]) -> set[Geometry]:
    """Of the groups of boxes that touch each other, the one with the largest area of products."""
    groups: list[set[Geometry]] = []
    for geometry, box in boxes.items():
        touching = [group for group in groups if any(_touch(box, boxes[other]) for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append({geometry}.union(*touching))
    return max(groups, key=lambda group: sum(areas[geometry] for geometry in group))


def _touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
