"""Which pixels points and polygons label, and with what: strip by strip of the grid, so that memory stays small."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.geo import to_pixels
from tessera_engine.places.losses import Cause, Losses
from tessera_engine.places.pixels import LINE, POINT, POLYGON, explode
from tessera_engine.scene import Grid, Window

STRIP_PIXELS = 2_000_000
"""Pixels that are labelled at a time."""


@dataclass(frozen=True)
class Burnt:
    """The labelled pixels of a strip.

    Attributes:
        pixels: (N,) row * width + column, of the grid.
        values: (N,) number of the class, or the mean of the numbers there.
        contradictory: pixels that have several classes, and so no label.
        several: pixels that have several numbers.
    """

    pixels: NDArray[np.int64]
    values: NDArray[Any]
    contradictory: int = 0
    several: int = 0


class Burner:
    """Points and polygons with a value each, to be laid onto a grid.

    A point labels the pixel in which it lies. A polygon labels all pixels whose centre lies in it.

    Args:
        geometries: (N,) shapely geometries in the grid's CRS.
        values: (N,) numbers of classes (int64), or numbers (float64).
        grid: the pixels.
    """

    def __init__(self, geometries: NDArray[Any], values: NDArray[Any], grid: Grid) -> None:
        import shapely

        self.grid, self.values = grid, values
        parts, owner, dimension = explode(geometries)
        points = dimension == POINT
        self._lines = np.bincount(owner[dimension == LINE], minlength=len(values)) > 0
        self._point_owner = owner[points]
        self._cols, self._rows = self._pixels_of(shapely.get_coordinates(parts[points]))
        self._polygons, self._polygon_owner = parts[dimension == POLYGON], owner[dimension == POLYGON]
        left, top, right, bottom = _pixel_bounds(self._polygons, grid)
        self._tops, self._bottoms = top, bottom
        self._on_grid = (right > 0) & (bottom > 0) & (left < grid.width) & (top < grid.height)
        # Nothing between two neighbouring centres holds one
        across = np.floor(right - 0.5) >= np.ceil(left - 0.5)
        self._may_hold = self._on_grid & across & (np.floor(bottom - 0.5) >= np.ceil(top - 0.5))
        self._seen = np.zeros(len(self._polygons), bool)

    def strips(self) -> Iterator[Burnt]:
        """Label the grid's pixels, from top to bottom."""
        width, height = self.grid.width, self.grid.height
        for window in self.grid.window.blocks(width, max(1, min(height, STRIP_PIXELS // width))):
            points = np.flatnonzero(self._inside(window))
            touching = (
                self._may_hold & (self._tops < window.row + window.height) & (self._bottoms > window.row)
            )
            polygons = np.flatnonzero(touching)
            if len(points) or len(polygons):
                yield self._burn(window, points, polygons)

    def lost(self) -> Losses:
        """The shapes that label no pixel, by cause; to be asked when all strips are done."""
        labelled = np.zeros(len(self.values), bool)
        labelled[self._point_owner[self._inside(self.grid.window)]] = True
        for i in np.flatnonzero(self._may_hold & ~self._seen):  # hidden by others, or without a centre
            self._seen[i] = self._holds_centre(self._polygons[i])
        labelled[self._polygon_owner[self._seen]] = True
        small = np.zeros(len(self.values), bool)
        small[self._polygon_owner[self._on_grid]] = True
        placed = np.zeros(len(self.values), bool)
        placed[self._point_owner] = placed[self._polygon_owner] = True
        counts = {
            Cause.NO_CENTRE: ~labelled & small,
            Cause.LINE: ~labelled & ~placed & self._lines,
            Cause.BESIDE: ~labelled & ~small & (placed | ~self._lines),
        }
        return Losses({cause: int(which.sum()) for cause, which in counts.items() if which.any()})

    def _inside(self, window: Window) -> NDArray[np.bool_]:
        below = (self._rows >= window.row) & (self._rows < window.row + window.height)
        inside: NDArray[np.bool_] = below & (self._cols >= 0) & (self._cols < self.grid.width)
        return inside

    def _pixels_of(self, xy: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        col, row = to_pixels(self.grid, xy[:, 0], xy[:, 1])
        # Beyond the grid a column is only known to be outside: it may be too large for an integer
        return (
            np.floor(np.clip(col, -1, self.grid.width)).astype(np.int64),
            np.floor(np.clip(row, -1, self.grid.height)).astype(np.int64),
        )

    def _burn(self, window: Window, points: NDArray[np.int64], polygons: NDArray[np.int64]) -> Burnt:
        at = (self._rows[points] - window.row) * window.width + self._cols[points]
        of_points, of_polygons = (
            self.values[owner] for owner in (self._point_owner[points], self._polygon_owner[polygons])
        )
        burn = self._burn_numbers if self.values.dtype.kind == "f" else self._burn_classes
        return burn(window, (at, of_points), (polygons, of_polygons))

    def _burn_classes(
        self,
        window: Window,
        points: tuple[NDArray[np.int64], NDArray[np.int64]],
        polygons: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> Burnt:
        """Burn by rising and by falling class: where the two differ, a pixel has several classes."""
        which, classes = polygons
        order = np.argsort(classes, kind="stable")
        which, classes = which[order], classes[order]
        shapes = [(self._polygons[i], number) for number, i in enumerate(which, 1)]
        upper, lower = self._rasterize(shapes, window), self._rasterize(shapes[::-1], window)
        self._see(which, upper, lower)
        none = np.iinfo(np.int64).max
        highest = np.concatenate([[-1], classes])[upper]
        lowest = np.concatenate([[none], classes])[lower]
        np.maximum.at(highest, points[0], points[1])
        np.minimum.at(lowest, points[0], points[1])
        clear = np.flatnonzero((highest >= 0) & (highest == lowest))
        contradictory = int(((highest >= 0) & (highest != lowest)).sum())
        return Burnt(clear + window.row * window.width, highest[clear], contradictory)

    def _burn_numbers(
        self,
        window: Window,
        points: tuple[NDArray[np.int64], NDArray[np.float64]],
        polygons: tuple[NDArray[np.int64], NDArray[np.float64]],
    ) -> Burnt:
        which, numbers = polygons
        shapes = [(self._polygons[i], number) for number, i in enumerate(which, 1)]
        self._see(which, self._rasterize(shapes, window))
        weighted = [(shape, number) for (shape, _), number in zip(shapes, numbers, strict=True)]
        total = self._rasterize(weighted, window, "float64", add=True)
        count = self._rasterize([(shape, 1) for shape, _ in shapes], window, add=True)
        np.add.at(total, points[0], points[1])
        np.add.at(count, points[0], 1)
        labelled = np.flatnonzero(count)
        means = total[labelled] / count[labelled]
        several = int((count > 1).sum())
        return Burnt(labelled + window.row * window.width, means, several=several)

    def _see(self, which: NDArray[np.int64], *burnt: NDArray[Any]) -> None:
        """Remember polygons whose number was burnt into a pixel."""
        for numbers in burnt:
            there = np.bincount(numbers, minlength=len(which) + 1)[1:] > 0
            self._seen[which[there]] = True

    def _holds_centre(self, polygon: Any) -> bool:
        left, top, right, bottom = (float(edge[0]) for edge in _pixel_bounds(np.array([polygon]), self.grid))
        col, row = int(max(left, 0)), int(max(top, 0))
        box = Window(col, row, int(np.ceil(right)) - col, int(np.ceil(bottom)) - row)
        window = self.grid.window.intersection(box)
        return window is not None and bool(self._rasterize([(polygon, 1)], window).any())

    def _rasterize(
        self, shapes: list[tuple[Any, Any]], window: Window, dtype: str = "int32", add: bool = False
    ) -> NDArray[Any]:
        """(window.pixels,) the value of the last shape that holds the centre of a pixel, or the sum over all shapes."""
        from rasterio.enums import MergeAlg
        from rasterio.features import rasterize

        if not shapes:
            return np.zeros(window.pixels, dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: NDArray[Any] = rasterize(
                shapes,
                (window.height, window.width),
                transform=self.grid.crop(window).transform,
                dtype=dtype,
                merge_alg=MergeAlg.add if add else MergeAlg.replace,
            )
        return found.reshape(-1)


def _pixel_bounds(polygons: NDArray[Any], grid: Grid) -> tuple[NDArray[np.float64], ...]:
    """(N,) left, top, right and bottom edges of boxes around polygons, in pixels of the grid."""
    import shapely

    left, bottom, right, top = shapely.bounds(polygons).reshape(-1, 4).T
    corners = [~grid.transform @ (x, y) for x in (left, right) for y in (bottom, top)]
    cols, rows = (np.stack(each) for each in zip(*corners, strict=True))
    return cols.min(axis=0), rows.min(axis=0), cols.max(axis=0), rows.max(axis=0)
