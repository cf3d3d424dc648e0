"""UTM zones: the convention wants every grid in the CRS of a northern zone."""

from __future__ import annotations

import re

from rasterio.crs import CRS

from tessera_engine.errors import InputError
from tessera_engine.scene import Grid

FALSE_NORTHING = 10_000_000
"""Metres that southern UTM zones add to the northing."""


def northern_grid(grid: Grid) -> tuple[int, Grid]:
    """The zone of a UTM grid, and the grid in the CRS of the northern zone, also for a grid in the south.

    Raises:
        InputError: the grid isn't in UTM on WGS 84.
    """
    authority = CRS.from_user_input(grid.crs).to_authority() if grid.crs is not None else None
    found = re.fullmatch(r"EPSG:32([67])(\d\d)", ":".join(authority or ()))
    if not found:
        raise InputError(
            "format=zarr takes UTM on WGS 84 only (EPSG:326xx or 327xx), and the scene is in "
            f"{grid.crs or 'no CRS'}; use format=cog"
        )
    zone, transform = int(found[2]), grid.transform
    if found[1] == "7":
        transform = transform.translation(0, -FALSE_NORTHING) @ transform
    return zone, Grid(grid.width, grid.height, f"EPSG:326{zone:02d}", transform)
