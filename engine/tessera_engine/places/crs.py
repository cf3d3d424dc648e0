"""Coordinate systems of shapes: what a name means, a box in another CRS, and shapes brought into the box's CRS."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.gdal import PROJECTION_ERRORS, gdal_options
from tessera_engine.offline.crs import crs_elsewhere
from tessera_engine.places.losses import Cause, Losses
from tessera_engine.places.shapes import Box
from tessera_engine.scene import Grid

WGS84 = "EPSG:4326"

MARGIN = 0.02
"""Share of a box's longer side by which it grows in another CRS, where its edges are curves."""

STEPS = 64
"""A straight edge in one CRS is a curve in another. Edges of shapes are divided into pieces of the box's shorter side
divided by this: for a tile of 110 km the pieces are within 10 cm of the curve."""

LARGEST_LONGITUDE, LARGEST_LATITUDE = 540.0, 90.0
"""Beyond these, coordinates are not degrees. Longitudes may continue across the antimeridian."""


@dataclass(frozen=True)
class Near:
    """The box near which shapes are wanted.

    Attributes:
        crs: of the box, as `EPSG:32631` or WKT.
        bounds: left, bottom, right, top.
    """

    crs: str
    bounds: Box

    @classmethod
    def grid(cls, grid: Grid) -> Near:
        """The box around a grid with a CRS."""
        corners = [(col, row) for col in (0, grid.width) for row in (0, grid.height)]
        transform: Affine = grid.transform
        x, y = zip(*(transform @ corner for corner in corners), strict=True)
        return cls(str(grid.crs), (min(x), min(y), max(x), max(y)))

    def grown(self, by: float) -> Near:
        """The box with a margin, in units of its CRS."""
        left, bottom, right, top = self.bounds
        return Near(self.crs, (left - by, bottom - by, right + by, top + by))

    def box_in(self, crs: Any) -> Box | None:
        """The box in another CRS, a little larger; None where it has no place in that CRS."""
        from rasterio.warp import transform_bounds

        try:
            with gdal_options():
                left, bottom, right, top = transform_bounds(self.crs, crs, *self.bounds, densify_pts=21)
        except PROJECTION_ERRORS:
            return None
        if not all(map(math.isfinite, (left, bottom, right, top))):
            return None
        across = left > right
        width = right - left + (360 if across else 0)
        grown = MARGIN * max(top - bottom, width)
        if across:  # the antimeridian, where shapes may have longitudes of either sign
            left, right = -LARGEST_LONGITUDE, LARGEST_LONGITUDE
        return left - grown, bottom - grown, right + grown, top + grown


def parse_crs(name: Any, parameter: str) -> Any:
    """The CRS that a user named, as a `rasterio.crs.CRS`.

    Raises:
        InputError: there is no such CRS.
    """
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    text = str(name).strip()
    try:
        _refuse_elsewhere(text)
        with gdal_options():
            return CRS.from_user_input(int(text) if text.isdecimal() else text)
    except (CRSError, ValueError, OverflowError):
        raise InputError(
            f"{parameter}={name} is not a known CRS; give a code such as EPSG:32631, or WKT"
        ) from None


def stated_crs(text: Any) -> Any:
    """The CRS that a file states, as a `rasterio.crs.CRS`; None where it states none, or one that isn't known.

    Args:
        text: a code, WKT or PROJJSON; or None.
    """
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if not text:
        return None
    try:
        _refuse_elsewhere(text if isinstance(text, str) else json.dumps(text))
        with gdal_options():
            crs = CRS.from_user_input(text)
    except (CRSError, ValueError, TypeError, AttributeError):
        return None
    return crs or None


def _refuse_elsewhere(text: str) -> None:
    """Raise ValueError for a text that would make GDAL or PROJ open a file or an address."""
    if crs_elsewhere(text) is not None:
        raise ValueError(text)


def no_crs(path: Any, parameter: str) -> InputError:
    """The error for coordinates whose CRS isn't known; `parameter` is empty where the user can't name it."""
    advice = (
        f"give {parameter}=, such as EPSG:4326 for degrees" if parameter else "save the file with its CRS"
    )
    return InputError(f"{path} has no CRS, so its place is not known; {advice}")


def can_be_degrees(bounds: Box) -> bool:
    """Whether coordinates may be longitudes and latitudes."""
    left, bottom, right, top = bounds
    return max(abs(left), abs(right)) <= LARGEST_LONGITUDE and max(abs(bottom), abs(top)) <= LARGEST_LATITUDE


def into_crs(
    geometries: NDArray[Any], crs: Any, near: Near
) -> tuple[NDArray[Any], NDArray[np.bool_], Losses]:
    """Bring shapes into the CRS of a box.

    Polygons and lines are cut off outside of the box, because their far ends may have no place in its CRS.

    Args:
        geometries: (N,) valid or invalid shapely geometries with finite coordinates.
        crs: theirs.
        near: the box.

    Returns:
        (N,) the shapes; (N,) which of them are usable; and why the others aren't.
    """
    import shapely

    lost = Losses()
    usable = np.ones(len(geometries), bool)
    if not len(geometries) or _same(crs, near.crs):
        return geometries, usable, lost
    box = near.box_in(crs)
    shapes = geometries.copy()
    if box is not None:
        bounds = shapely.bounds(shapes)
        beyond = (bounds[:, :2] < box[:2]).any(axis=1) | (bounds[:, 2:] > box[2:]).any(axis=1)
        frame = shapely.box(*box)
        for i in np.flatnonzero(beyond & (shapely.get_dimensions(shapes) > 0)):
            try:
                shapes[i] = shapely.intersection(shapely.make_valid(shapes[i]), frame)
            except shapely.errors.GEOSException:
                usable[i] = False
                lost[Cause.BROKEN] += 1
        cut_off = usable & shapely.is_empty(shapes)
        usable &= ~cut_off
        lost[Cause.BESIDE] += int(cut_off.sum())
        shapes[usable] = shapely.segmentize(shapes[usable], min(box[2] - box[0], box[3] - box[1]) / STEPS)
    try:
        shapes[usable] = project(shapes[usable], crs, near.crs)
    except PROJECTION_ERRORS:  # one point that can't be projected makes the whole call fail
        for i in np.flatnonzero(usable):
            try:
                shapes[i : i + 1] = project(shapes[i : i + 1], crs, near.crs)
            except PROJECTION_ERRORS:
                usable[i] = False
                lost[Cause.OUT_OF_PROJECTION] += 1
    return shapes, usable, lost


def _same(crs: Any, name: str) -> bool:
    from rasterio.crs import CRS

    with gdal_options():
        return bool(CRS.from_user_input(name) == crs)


def project(shapes: NDArray[Any], source: Any, target: str) -> NDArray[Any]:
    """(N,) shapely geometries with their coordinates brought from one CRS into another.

    Raises:
        CPLE_BaseError, RasterioError: a coordinate has no place there; see `tessera_engine.gdal.PROJECTION_ERRORS`.
    """
    import shapely
    from rasterio.warp import transform

    coordinates = shapely.get_coordinates(shapes)
    if not len(coordinates):
        return shapes
    with gdal_options():
        x, y = transform(source, target, coordinates[:, 0], coordinates[:, 1])
    # set_coordinates changes its argument, and shapes may be the caller's
    moved: NDArray[Any] = shapely.set_coordinates(shapes.copy(), np.column_stack([x, y]))
    return moved
