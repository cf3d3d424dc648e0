"""Which part of a scene to embed."""

from __future__ import annotations

import math

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
