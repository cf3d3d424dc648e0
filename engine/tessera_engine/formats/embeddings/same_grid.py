"""Whether two grids have the same pixels: only then can embeddings of two years be compared or joined."""

from __future__ import annotations

import numpy as np

from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.scene import Grid, Window

OFF_GRID = 0.01
"""How far, in pixels, a corner may be from a corner of the other grid: rounding, not other pixels."""


def offset(grid: Grid, other: Grid) -> tuple[int, int] | None:
    """Column and row of the other grid's upper left corner on a grid; None where their pixels aren't the same."""
    if other.crs != grid.crs:
        return None
    size, other_size = ([t.a, t.b, t.d, t.e] for t in (grid.transform, other.transform))
    if not np.allclose(size, other_size):
        return None
    col, row = ~grid.transform @ (other.transform.c, other.transform.f)
    if max(abs(col - round(col)), abs(row - round(row))) > OFF_GRID:
        return None
    return round(col), round(row)


def shared_windows(one: Embeddings, other: Embeddings) -> tuple[Window, Window]:
    """The window that both have, on the grid of each.

    Raises:
        InputError: the pixels differ in CRS, size or place, or have no CRS; or no pixel is shared.
    """
    for each in (one, other):
        if each.grid.crs is None:
            raise InputError(
                f"{each.path} has no CRS, so the place of its pixels isn't known; embed a scene with a CRS"
            )
    corner = offset(one.grid, other.grid)
    if corner is None:
        raise InputError(
            f"{one.path} is on {named(one.grid)}, {other.path} on {named(other.grid)}: their pixels are "
            "other places; embed the second scene on the first one's grid, with like="
        )
    shared = one.grid.window.intersection(Window(*corner, other.grid.width, other.grid.height))
    if shared is None:
        raise InputError(
            f"{one.path} and {other.path} share no pixel: {named(one.grid)} and {named(other.grid)}; "
            "give outputs of one place"
        )
    return shared, shared._replace(col=shared.col - corner[0], row=shared.row - corner[1])


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
