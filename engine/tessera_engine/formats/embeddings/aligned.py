"""Embeddings brought to the pixels of other embeddings, so that places can be compared: each to the nearest pixel.

Outputs of one place may differ in their extent, lie a part of a pixel beside each other, or in another UTM zone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.moved import Moved
from tessera_engine.formats.embeddings.regridded import Regridded, box_on
from tessera_engine.formats.embeddings.same_grid import OFF_GRID, corner, named
from tessera_engine.formats.embeddings.stored import (
    Distinct,
    HasDistinct,
    QualitySource,
    StoredBlock,
)
from tessera_engine.scene import Grid, Window

LIKE_SIZED = 0.1
"""Share by which the sides of pixels in different CRSs may differ: those of neighbouring UTM zones differ by 0.001."""


@dataclass(frozen=True)
class Aligned:
    """Embeddings on a part of another grid.

    Attributes:
        window: that part.
        embeddings: on its pixels.
        beside: pixels by which their pixels lie beside those of the grid, 0 to 0.5 in each direction; 0.0 where they
            are the same, None where it differs from place to place, because the CRS is another.
    """

    window: Window
    embeddings: Embeddings
    beside: float | None = 0.0

    def note(self, one: Embeddings) -> str | None:
        """That the pixels aren't the same, for people; None where they are.

        Args:
            one: whose grid it is.
        """
        if self.beside == 0:
            return None
        where = "in another CRS" if self.beside is None else f"up to {self.beside:.2g} pixels beside it"
        return f"each pixel of {one.path} is compared with the nearest one of {self.embeddings.path}, {where}"


@dataclass(frozen=True)
class Shifted(Moved):
    """A window of a source as a grid of its own.

    Attributes:
        source: the embeddings as they are stored.
        grid: of the window.
        col: the window's first column in the source.
        row: its first row.
    """

    col: int
    row: int

    @property
    def block(self) -> int:
        """The source's where the window begins at a tile of the file."""
        whole = self.source.block
        return super().block if self.col % whole or self.row % whole else whole

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        return self.source.read(self._there(window), dim)

    @property
    def most_distinct(self) -> int:
        """See `tessera_engine.formats.embeddings.stored.HasDistinct`: its tiles aren't those of the file."""
        return 0

    def read_distinct(self, window: Window, dim: int) -> Distinct | None:
        """See `tessera_engine.formats.embeddings.stored.HasDistinct`."""
        source = self.source
        return source.read_distinct(self._there(window), dim) if isinstance(source, HasDistinct) else None

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        return self.source.read_observations(self._there(window))

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """See `tessera_engine.formats.embeddings.stored.QualitySource`."""
        source = self.source
        return source.read_quality(self._there(window)) if isinstance(source, QualitySource) else None

    def _there(self, window: Window) -> Window:
        return window._replace(col=window.col + self.col, row=window.row + self.row)


def align(one: Embeddings, other: Embeddings) -> Aligned | None:
    """Bring embeddings to the pixels of others of the same place: each to the nearest pixel, nothing is interpolated.

    Args:
        one: whose grid it is.
        other: the embeddings that come to it.

    Returns:
        The part of the grid that they share, with the other embeddings on it; None where they share no pixel.

    Raises:
        InputError: one has no CRS, or their pixels differ in size or direction.
    """
    for each in (one, other):
        if each.grid.crs is None:
            raise InputError(
                f"{each.path} has no CRS, so the place of its pixels isn't known; embed a scene with a CRS"
            )
    if other.grid == one.grid:
        return Aligned(one.grid.window, other)
    place = corner(one.grid, other.grid)
    if place is None:
        return _of_another_crs(one, other)
    # A pixel's centre, half a pixel from its corner, lies in this one of the other's
    col, row = (round(at) if abs(at - round(at)) <= OFF_GRID else math.ceil(at - 0.5) for at in place)
    shared = one.grid.window.intersection(Window(col, row, other.grid.width, other.grid.height))
    if shared is None:
        return None
    beside = max(abs(place[0] - col), abs(place[1] - row))
    grid = one.grid.crop(shared)
    source = Shifted(other.source, grid, shared.col - col, shared.row - row)
    return Aligned(shared, replace(other, source=source), beside if beside > OFF_GRID else 0.0)


def _of_another_crs(one: Embeddings, other: Embeddings) -> Aligned | None:
    """`align` where the CRS is another, or written in another way."""
    if one.grid.crs == other.grid.crs:
        raise _unlike(one, other)
    box = box_on(one.grid, other.grid)
    if box is None:
        return None
    left, top = math.floor(box[0]), math.floor(box[1])
    right, bottom = math.ceil(box[2]), math.ceil(box[3])
    shared = one.grid.window.intersection(Window(left, top, right - left, bottom - top))
    if shared is None:
        return None
    grid = one.grid.crop(shared)
    sides = _sides(grid, other.grid)
    if not all(abs(side - 1) <= LIKE_SIZED for side in sides):
        raise _unlike(one, other)
    return Aligned(shared, replace(other, source=Regridded(other.source, grid)), None)


def _sides(grid: Grid, other: Grid) -> tuple[float, float]:
    """Width and height of the pixel in a grid's middle, in pixels of another grid."""
    from rasterio.warp import transform

    col, row = grid.width / 2, grid.height / 2
    points = [grid.transform @ each for each in ((col, row), (col + 1, row), (col, row + 1))]
    moved = transform(grid.crs, other.crs, *zip(*points, strict=True))
    places = [~other.transform @ point for point in zip(*moved, strict=True)]
    width, height = (math.hypot(x - places[0][0], y - places[0][1]) for x, y in places[1:])
    return width, height


def _unlike(one: Embeddings, other: Embeddings) -> InputError:
    return InputError(
        f"{one.path} is on {named(one.grid)}, {other.path} on {named(other.grid)}: their pixels differ in "
        "size or direction, so they can't be compared; embed the second scene on the first one's grid, with like="
    )
