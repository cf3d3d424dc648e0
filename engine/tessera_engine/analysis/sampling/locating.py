"""Which pixels of one grid shapes take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.sampling.spool import Runs
from tessera_engine.places.crs import Near
from tessera_engine.places.features import Features
from tessera_engine.places.pixels import PixelSet, Spans
from tessera_engine.places.selecting import grown_spans, in_units
from tessera_engine.scene import Grid, Window


class Located:
    """Shapes on a grid.

    Attributes:
        pixels: those that shapes take.
        inside: (N,) how many each shape takes.
        total: (N,) the same with those around the grid.
        near: (N,) whether the shape lies on the grid or around it.
        place: where the shapes lie and what may be wrong with that, if none is near; for people.
    """

    def __init__(self, features: Features, grid: Grid, buffer: float, crs_parameter: str) -> None:
        """Find the pixels. A shape that reaches beyond the grid is followed for the grid's length on each side.

        Args:
            features: the shapes.
            grid: with a CRS.
            buffer: metres by which shapes grow.
            crs_parameter: the name of the user's parameter for the CRS of shapes, for messages.

        Raises:
            InputError: a buffer on a grid in degrees.
        """
        units = in_units(buffer, grid)
        around = Window(-grid.width, -grid.height, 3 * grid.width, 3 * grid.height)
        shapes = features.near(Near.grid(grid.crop(around)).grown(abs(units)), crs_parameter)
        spans = grown_spans(shapes.geometries, units, grid, around)
        rows = shapes.values.astype(np.int64)
        spans = Spans(rows[spans.owner], spans.row, spans.start, spans.stop)
        here = spans.inside(grid.window)
        count = len(features)
        self.place = shapes.place
        self.near = np.zeros(count, bool)
        self.near[rows] = True
        self.total, self.inside = spans.counts(count), here.counts(count)
        self.pixels = PixelSet(here, grid.window)
        self._first = self.pixels.ranks(here.row, here.start)
        self._length = here.stop - here.start
        self._begins = np.searchsorted(here.owner, np.arange(count + 1))

    def runs(self, row: int) -> Runs:
        """The pixels of a shape, by their numbers in the set."""
        spans = slice(self._begins[row], self._begins[row + 1])
        return Runs(self._first[spans], self._length[spans])

    def first_pixels(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(R,) the number of the first pixel of shapes that take some."""
        found: NDArray[np.int64] = self._first[self._begins[rows]]
        return found

    def with_data(self, valid: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(N,) how many pixels of each shape have data.

        Args:
            valid: (P,) which pixels of the set have data.
        """
        before = np.concatenate([[0], np.cumsum(valid)])
        of_runs = before[self._first + self._length] - before[self._first]
        of_shapes = np.concatenate([[0], np.cumsum(of_runs)])
        found: NDArray[np.int64] = of_shapes[self._begins[1:]] - of_shapes[self._begins[:-1]]
        return found
