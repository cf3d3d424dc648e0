"""Whether two grids have the same pixels: only then can embeddings be joined in one store."""

from __future__ import annotations

import numpy as np

from tessera_engine.scene import Grid, Window

OFF_GRID = 0.01
"""How far, in pixels, a corner may be from a corner of the other grid: rounding, not other pixels."""


def corner(grid: Grid, other: Grid) -> tuple[float, float] | None:
    """Where the other grid's upper left corner lies on a grid, in columns and rows.

    None where the CRS, the size or the direction of their pixels isn't the same.
    """
    if other.crs != grid.crs:
        return None
    size, other_size = ([t.a, t.b, t.d, t.e] for t in (grid.transform, other.transform))
    if not np.allclose(size, other_size):
        return None
    col, row = ~grid.transform @ (other.transform.c, other.transform.f)
    return float(col), float(row)


def offset(grid: Grid, other: Grid) -> tuple[int, int] | None:
    """Column and row of the other grid's upper left corner on a grid; None where their pixels aren't the same."""
    place = corner(grid, other)
    if place is None or max(abs(at - round(at)) for at in place) > OFF_GRID:
        return None
    return round(place[0]), round(place[1])


def union(grid: Grid, other: Grid) -> Grid | None:
    """The smallest grid of the same pixels that covers both; None where their pixels aren't the same."""
    corner = offset(grid, other)
    if corner is None:
        return None
    left, top = min(0, corner[0]), min(0, corner[1])
    right = max(grid.width, corner[0] + other.width)
    bottom = max(grid.height, corner[1] + other.height)
    return grid.crop(Window(left, top, right - left, bottom - top))


def named(grid: Grid) -> str:
    """A grid in words."""
    t = grid.transform
    return f"{grid.crs or 'no CRS'}, pixels of {t.a:g} x {-t.e:g} from {t.c:.10g} {t.f:.10g} on"
