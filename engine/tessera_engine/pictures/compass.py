"""The size of a grid's pixels on the ground, and the direction of north."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tessera_engine.gdal import PROJECTION_ERRORS
from tessera_engine.scene import Grid

EQUATOR_METRES = 6_378_137.0
SQUARED_ECCENTRICITY = 0.00669437999014
"""Of the ellipsoid of WGS 84."""


class Compass(NamedTuple):
    """Scale and north at the middle of a grid.

    Attributes:
        metres: length on the ground of a step of one pixel to the right.
        north: unit vector (columns, rows) towards true north: (0, -1) is straight up.
    """

    metres: float
    north: tuple[float, float]


def compass(grid: Grid) -> Compass | None:
    """Measure scale and north on the ellipsoid, for a CRS in any unit: degrees, Mercator's metres, or feet.

    Returns:
        None for a grid without a CRS, or with one that can't be converted to longitude and latitude.
    """
    if grid.crs is None:
        return None
    from rasterio.warp import transform

    col, row = grid.width / 2, grid.height / 2
    # The middle, and a pixel to its right and below it
    x, y = grid.transform @ np.array([[col, col + 1, col], [row, row, row + 1]])
    try:
        lon, lat = map(np.radians, transform(grid.crs, "EPSG:4326", x, y))
    except PROJECTION_ERRORS:  # a local CRS can't be converted to longitude and latitude
        return None
    if not np.isfinite([*lon, *lat]).all():  # the CRS has no inverse there
        return None
    sine = math.sin(lat[0])
    curved = 1 - SQUARED_ECCENTRICITY * sine * sine
    eastwards = EQUATOR_METRES * math.cos(lat[0]) / math.sqrt(curved)
    northwards = EQUATOR_METRES * (1 - SQUARED_ECCENTRICITY) / curved**1.5
    turns = (lon[1:] - lon[0] + math.pi) % (2 * math.pi) - math.pi
    ground = np.stack([turns * eastwards, (lat[1:] - lat[0]) * northwards])  # columns: right, down
    if not np.isfinite(ground).all() or abs(np.linalg.det(ground)) < 1e-9:
        return None
    towards = np.linalg.solve(ground, [0.0, 1.0])
    towards /= np.hypot(*towards)
    return Compass(float(np.hypot(*ground[:, 0])), (float(towards[0]), float(towards[1])))
