"""The area of a pixel of a grid, where all pixels have one."""

from __future__ import annotations

import math

from tessera_engine.errors import InputError
from tessera_engine.gdal import PROJECTION_ERRORS
from tessera_engine.scene import Grid

SQUARE_METRES = 10_000.0
"""Of a hectare."""

DISTORTION = 0.01
"""By how much areas on the map may differ from areas on the ground. UTM stays within 0.1 % in its zone."""

ADVICE = "bring it into a UTM zone or an equal-area CRS first"
"""What to do about a map whose pixels have no area."""

SPREAD = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Places across the grid, and down, at which the area is checked."""


def pixel_square_metres(grid: Grid, name: str, advice: str) -> float:
    """Square metres of a pixel.

    Args:
        grid: the pixels.
        name: of what has the grid, for messages.
        advice: what to do about another CRS.

    Raises:
        InputError: the grid has no CRS, one that isn't in metres, or one that distorts areas, such as web Mercator.
    """
    from rasterio.crs import CRS

    crs = None if grid.crs is None else CRS.from_string(grid.crs)
    if crs is None or not crs.is_projected:
        found = "no CRS" if crs is None else f"the CRS {grid.crs}, which is in degrees"
        raise InputError(f"{name} has {found}, so its pixels have no area; expected one in metres: {advice}")
    metres = abs(grid.transform.determinant) * float(crs.linear_units_factor[1]) ** 2
    ratios = [
        _on_the_ground(grid, col, row) / metres for col in _along(grid.width) for row in _along(grid.height)
    ]
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    if math.isfinite(worst) and abs(worst - 1) > DISTORTION:
        raise InputError(
            f"{name} has the CRS {grid.crs}, in which a pixel of {metres:.4g} m2 covers {metres * worst:.4g} m2 on the "
            f"ground; {advice}"
        )
    return metres


def _along(size: int) -> list[int]:
    """First columns (or rows) of single pixels, spread over so many."""
    return sorted({int(place * (size - 1)) for place in SPREAD})


def _on_the_ground(grid: Grid, col: int, row: int) -> float:
    """Square metres of one pixel by its corners, in an equal-area projection around it; NaN where it has no place."""
    from rasterio.warp import transform

    corners = [grid.transform @ (col + right, row + down) for right, down in ((0, 0), (1, 0), (1, 1), (0, 1))]
    try:
        (lon,), (lat,) = transform(grid.crs, "EPSG:4326", *[[value] for value in corners[0]])
        around = f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m"
        x, y = transform(grid.crs, around, *zip(*corners, strict=True))
    except PROJECTION_ERRORS:
        return math.nan
    twice: float = abs(sum(x[i] * y[(i + 1) % 4] - x[(i + 1) % 4] * y[i] for i in range(4)))
    return twice / 2
