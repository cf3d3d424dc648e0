"""Which pixels lie in polygons, as spans of rows: no raster of the whole grid is needed.

A pixel lies in a polygon if its centre does, by the even-odd rule over all its rings. A centre on an edge belongs to
the polygon on one side of it only, so polygons that share an edge share no pixel and leave none out. The result doesn't
depend on which part of the grid is asked for. It runs on one thread, see `tessera_kernels.scl`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel

MOST_CROSSINGS = 2_000_000
"""Crossings of edges and rows that are held at a time: 16 MB."""

Frame = tuple[int, int, int, int]
"""First column, first row, columns and rows; the first ones may be negative."""


@kernel(nogil=True)
def _rows_crossed(y0: float, y1: float, first: int, last: int) -> tuple[int, int]:
    """The rows from `first` to `last` whose centres an edge crosses: from the first one to before the second one."""
    low, high = min(y0, y1), max(y0, y1)
    # Centres from low on, without high. Clipped as floats: integers may be too small for them
    start = min(max(np.ceil(low - 0.5), float(first)), float(last))
    stop = min(max(np.ceil(high - 0.5), float(first)), float(last))
    return int(start), int(stop)


@kernel(nogil=True)
def _count_crossings(
    y: NDArray[np.float64], rings: NDArray[np.int64], first: int, counts: NDArray[np.int64]
) -> None:
    """How often edges cross each row from `first` on: (rows,)."""
    counts[:] = 0
    last = first + len(counts)
    for ring in range(len(rings) - 1):
        for i in range(rings[ring], rings[ring + 1] - 1):
            start, stop = _rows_crossed(y[i], y[i + 1], first, last)
            # As differences, for a sum over the rows afterwards
            if start < stop:
                counts[start - first] += 1
                if stop < last:
                    counts[stop - first] -= 1
    for row in range(1, len(counts)):
        counts[row] += counts[row - 1]


@kernel(nogil=True)
def _find_crossings(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    rings: NDArray[np.int64],
    first: int,
    ends: NDArray[np.int64],
    crossings: NDArray[np.float64],
) -> None:
    """The columns at which edges cross the centres of rows from `first` on.

    Args:
        x: (N,) columns of the polygon's corners.
        y: (N,) rows.
        rings: (R + 1,) where rings begin and end.
        first: the first row.
        ends: (rows,) where the row's crossings begin; where they end afterwards.
        crossings: (M,) filled.
    """
    last = first + len(ends)
    for ring in range(len(rings) - 1):
        for i in range(rings[ring], rings[ring + 1] - 1):
            start, stop = _rows_crossed(y[i], y[i + 1], first, last)
            if start >= stop:
                continue
            # From the upper end, so that an edge crosses at the same column in both polygons that share it
            upper, lower = (i, i + 1) if y[i] < y[i + 1] else (i + 1, i)
            slope = (x[lower] - x[upper]) / (y[lower] - y[upper])
            for row in range(start, stop):
                at = ends[row - first]
                crossings[at] = x[upper] + (row + 0.5 - y[upper]) * slope
                ends[row - first] = at + 1


@kernel(nogil=True)
def _spans_of_rows(
    crossings: NDArray[np.float64],
    ends: NDArray[np.int64],
    frame: Frame,
    first: int,
    spans: NDArray[np.int64],
) -> int:
    """Spans between every first and second crossing of a row; gives their number."""
    left, right = float(frame[0]), float(frame[0] + frame[2])
    found = begin = 0
    for number in range(len(ends)):
        row = np.sort(crossings[begin : ends[number]])
        begin = ends[number]
        before = found
        for i in range(0, len(row) - 1, 2):
            start = int(min(max(np.floor(row[i] + 0.5), left), right))
            stop = int(min(max(np.floor(row[i + 1] + 0.5), left), right))
            if start >= stop:
                continue
            if found > before and spans[found - 1, 2] == start:
                spans[found - 1, 2] = stop
                continue
            spans[found, 0], spans[found, 1], spans[found, 2] = first + number, start, stop
            found += 1
    return found


@kernel(nogil=True)
def _last_of_chunk(counts: NDArray[np.int64], begin: int, most: int) -> int:
    """The row before which a chunk of rows ends that has at most so many crossings, or a single row."""
    total, row = counts[begin], begin + 1
    while row < len(counts) and total + counts[row] <= most:
        total += counts[row]
        row += 1
    return row


def spans_inside(
    x: NDArray[np.float64], y: NDArray[np.float64], rings: NDArray[np.int64], frame: Frame
) -> NDArray[np.int64]:
    """The pixels whose centres lie in one polygon, which may have holes and several parts.

    Args:
        x: (N,) columns of the corners of all rings; whole numbers are corners of pixels. Each ring is closed.
        y: (N,) rows.
        rings: (R + 1,) ring r has the corners rings[r]:rings[r + 1].
        frame: the part of the grid that is asked for. A polygon with a coordinate that is no number has no pixels.

    Returns:
        (S, 3) row, first column, and the column after the last, by row and column; no two spans touch.
    """
    none = np.zeros((0, 3), np.int64)
    if not len(x) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return none
    edge = frame[1] + frame[3]
    top = int(min(max(np.floor(y.min()), frame[1]), edge))
    bottom = int(min(max(np.ceil(y.max()), frame[1]), edge))
    if top >= bottom:
        return none
    counts = np.zeros(bottom - top, np.int64)
    _count_crossings(y, rings, top, counts)
    parts, begin = [none], 0
    while begin < len(counts):
        end = _last_of_chunk(counts, begin, MOST_CROSSINGS)
        here = counts[begin:end]
        total = int(here.sum())
        if total:
            crossings, ends = np.empty(total), np.cumsum(here) - here
            _find_crossings(x, y, rings, top + begin, ends, crossings)
            spans = np.empty((total // 2 + 1, 3), np.int64)
            found = _spans_of_rows(crossings, ends, frame, top + begin, spans)
            parts.append(spans[:found].copy())
        begin = end
    return np.concatenate(parts)
