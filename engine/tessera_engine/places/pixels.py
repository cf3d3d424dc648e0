"""Which pixels of a grid shapes take: by spans of rows, whatever the size of the grid.

One rule everywhere: a point takes the pixel in which it lies, a polygon all pixels whose centre lies in it, and a line
none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.geo import to_pixels
from tessera_engine.scene import Grid, Window
from tessera_kernels.spans import spans_inside

POINT, LINE, POLYGON = 0, 1, 2
"""Dimensions of shapes."""


class Parts(NamedTuple):
    """The points, lines and polygons that shapes consist of.

    Attributes:
        geometries: (N,) shapely geometries, none of them empty or a collection.
        owner: (N,) number of the shape that each is a part of, ascending.
        dimension: (N,) `POINT`, `LINE` or `POLYGON`.
    """

    geometries: NDArray[Any]
    owner: NDArray[np.int64]
    dimension: NDArray[np.int64]


def explode(geometries: NDArray[Any]) -> Parts:
    """The parts of (N,) shapely geometries."""
    import shapely

    parts, owner = geometries, np.arange(len(geometries))
    while (shapely.get_type_id(parts) > 3).any():  # collections of parts, which may be collections
        parts, index = shapely.get_parts(parts, return_index=True)
        owner = owner[index]
    kept = ~shapely.is_empty(parts)
    return Parts(parts[kept], owner[kept], shapely.get_dimensions(parts[kept]).astype(np.int64))


@dataclass(frozen=True)
class Spans:
    """Runs of pixels in rows, each of one shape: by shape, row and column, and no two of a shape touch.

    Attributes:
        owner: (S,) int64 number of the shape.
        row: (S,) int64.
        start: (S,) int64 first column.
        stop: (S,) int64 the column after the last.
    """

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.owner)

    @classmethod
    def none(cls) -> Spans:
        """No pixels."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing, nothing)

    def joined(self, other: Spans, frame: Window) -> Spans:
        """The pixels of each shape in this and in another one of the same shapes, both in a frame."""
        return _merged(np.concatenate([self._table(), other._table()]), frame)

    def _table(self) -> NDArray[np.int64]:
        """(S, 4) owner, row, start and stop."""
        return np.column_stack([self.owner, self.row, self.start, self.stop])

    def counts(self, shapes: int) -> NDArray[np.int64]:
        """(shapes,) pixels of each shape."""
        counts = np.zeros(shapes, np.int64)
        np.add.at(counts, self.owner, self.stop - self.start)
        return counts

    def inside(self, window: Window) -> Spans:
        """The parts within a window."""
        start = np.maximum(self.start, window.col)
        stop = np.minimum(self.stop, window.col + window.width)
        kept = (self.row >= window.row) & (self.row < window.row + window.height) & (start < stop)
        return Spans(self.owner[kept], self.row[kept], start[kept], stop[kept])


def spans_of(geometries: NDArray[Any], grid: Grid, frame: Window) -> Spans:
    """The pixels that shapes take.

    Args:
        geometries: (N,) shapely geometries in the grid's CRS; their numbers are the spans' owners.
        grid: the pixels.
        frame: the part of the grid to look at, which may reach beyond it: pixels go on outside.
    """
    import shapely

    parts = explode(geometries)
    points = parts.dimension == POINT
    col, row = to_pixels(grid, *shapely.get_coordinates(parts.geometries[points]).T)
    found = [_of_points(parts.owner[points], col, row, frame)]
    polygons, owners = parts.geometries[parts.dimension == POLYGON], parts.owner[parts.dimension == POLYGON]
    for polygon, owner in zip(polygons, owners, strict=True):
        spans = spans_inside(*_rings(polygon, grid), (frame.col, frame.row, frame.width, frame.height))
        found.append(np.column_stack([np.full(len(spans), owner), spans]))
    return _merged(np.concatenate(found), frame)


def _of_points(
    owner: NDArray[np.int64], col: NDArray[np.float64], row: NDArray[np.float64], frame: Window
) -> NDArray[np.int64]:
    """(S, 4) owner, row, start and stop of the pixels in which points lie."""
    col, row = np.floor(col), np.floor(row)
    kept = (col >= frame.col) & (col < frame.col + frame.width)
    kept &= (row >= frame.row) & (row < frame.row + frame.height)
    start = col[kept].astype(np.int64)
    return np.column_stack([owner[kept], row[kept].astype(np.int64), start, start + 1])


def _rings(polygon: Any, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """A polygon for `spans_inside`."""
    import shapely

    rings = shapely.get_rings(polygon)
    offsets = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(rings))]).astype(np.int64)
    col, row = to_pixels(grid, *shapely.get_coordinates(rings).T)
    return col, row, offsets


def _merged(found: NDArray[np.int64], frame: Window) -> Spans:
    """Spans of (S, 4) owner, row, start and stop, of which some may touch or overlap."""
    # Along one line: by owner, row and column, with a gap after each row
    width = frame.width + 1
    place = (found[:, 0] * frame.height + found[:, 1] - frame.row) * width - frame.col
    first, last = _join(place + found[:, 2], place + found[:, 3])
    line, column = np.divmod(first, width)
    owner, row = np.divmod(line, frame.height)
    return Spans(owner, row + frame.row, column + frame.col, column + frame.col + last - first)


def _join(start: NDArray[np.int64], stop: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Intervals of a line, as few as possible, in rising order."""
    if not len(start):
        return start, stop
    order = np.argsort(start, kind="stable")
    start, stop = start[order], np.maximum.accumulate(stop[order])
    begins = np.concatenate([[True], start[1:] > stop[:-1]])
    return start[begins], stop[np.concatenate([np.flatnonzero(begins)[1:] - 1, [len(stop) - 1]])]


class PixelSet:
    """Pixels of a grid, each once, in the order of rows and columns.

    Args:
        spans: of any shapes, which may overlap.
        window: the part of the grid that the spans lie in.
    """

    def __init__(self, spans: Spans, window: Window) -> None:
        joined = _merged(
            np.column_stack([np.zeros_like(spans.row), spans.row, spans.start, spans.stop]), window
        )
        # Half the memory, and no grid has more rows or columns
        self._row, self._start, self._stop = (
            each.astype(np.int32) for each in (joined.row, joined.start, joined.stop)
        )
        self._before = np.concatenate([[0], np.cumsum(self._stop - self._start, dtype=np.int64)])

    def __len__(self) -> int:
        return int(self._before[-1])

    @property
    def bytes_held(self) -> int:
        """Bytes of memory."""
        return sum(each.nbytes for each in (self._row, self._start, self._stop, self._before))

    @property
    def box(self) -> Window | None:
        """The smallest window with all pixels; None where there are none."""
        if not len(self):
            return None
        col, row = int(self._start.min()), int(self._row[0])
        return Window(col, row, int(self._stop.max()) - col, int(self._row[-1]) + 1 - row)

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) which pixels of a window are in the set."""
        row, start, stop = self._inside(window)
        edges = np.zeros((window.height, window.width + 1), np.int8)
        edges[row - window.row, start - window.col] = 1
        edges[row - window.row, stop - window.col] = -1
        return np.cumsum(edges[:, :-1], axis=1, dtype=np.int8).astype(bool)

    def count(self, window: Window) -> int:
        """How many pixels of a window are in the set."""
        _, start, stop = self._inside(window)
        return int((stop - start).sum(dtype=np.int64))

    def box_in(self, window: Window) -> Window | None:
        """The smallest window with the set's pixels of a window; None where there are none."""
        row, start, stop = self._inside(window)
        if not len(row):
            return None
        col, top = int(start.min()), int(row[0])
        return Window(col, top, int(stop.max()) - col, int(row[-1]) + 1 - top)

    def ranks(self, row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) the numbers of pixels in the set's order, from 0. All must be in the set."""
        width = int(self._stop.max(initial=0)) + 1
        line = self._row.astype(np.int64) * width + self._start
        span = np.searchsorted(line, row * width + col, side="right") - 1
        return self._before[span] + col - self._start[span]

    def _inside(self, window: Window) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Row, start and stop of the spans in a window, cut at its edges."""
        first, last = np.searchsorted(self._row, [window.row, window.row + window.height])
        row = self._row[first:last]
        start = np.maximum(self._start[first:last], window.col)
        stop = np.minimum(self._stop[first:last], window.col + window.width)
        kept = start < stop
        return row[kept], start[kept], stop[kept]
