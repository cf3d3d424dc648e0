"""The segments of embeddings, with the same result whatever the windows in which they are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.segments.groups import Group
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.progress import Progress
from tessera_kernels.segment import NONE, add, edges, merge

PIXEL_BYTES = 24
"""Bytes of memory that finding segments takes for each pixel: its edges, its segment and the search for it."""

KEPT_BYTES = 4
"""Bytes for each value of a row and of a column of the grid, which are kept for the edges between windows."""

VALUE_BYTES = 16
"""Bytes for each value of a window, besides reading it: dequantised, and beside the mean."""


def find_segments(
    embeddings: Embeddings, values: int, scale: float, least: int, report: Progress | None = None
) -> NDArray[np.int32]:
    """Number the segments of embeddings.

    Vectors are compared by their angle, seen from the mean of all: embeddings of one place have much in common.

    Args:
        embeddings: what is segmented.
        values: that are read at a time; the result doesn't depend on it.
        scale: see `tessera_kernels.segment.merge`: the larger, the larger the segments.
        least: pixels of the smallest segment.
        report: called with pixels done and in all; each is read twice.

    Returns:
        (height, width) int32, 0, 1, ... in the order of the segments' first pixels; -1 where there is no data.
    """
    grid = embeddings.grid
    valid = np.empty((grid.height, grid.width), np.bool_)
    sums, count = np.zeros((2, 1, embeddings.dim)), np.zeros(1, np.int64)
    counted = _Counted(report, 2 * grid.window.pixels)
    for window in embeddings.tiles(values):
        block = embeddings.read_stored(window)
        there = valid[window.slices] = block.valid
        add(np.where(there, 0, -1).astype(np.int32), block.embeddings, sums, count)
        counted.add(window.pixels)
    mean = (sums.sum(axis=0)[0] / max(int(count[0]), 1)).astype(np.float32)
    first = merge(*_edges(embeddings, values, mean, counted), scale, least)
    first[~valid] = -1
    return _numbered(first)


def mean_vectors(
    embeddings: Embeddings,
    labels: NDArray[np.int32],
    group: Group,
    values: int,
    report: Progress | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(S, K) float32 means of the embeddings of a group of S segments, and (S,) int64 numbers of their pixels.

    Args:
        embeddings: what was segmented.
        labels: see `find_segments`.
        group: the segments.
        values: that are read at a time; the result doesn't depend on it.
        report: called with pixels done and in all; those of the group's window are read once.
    """
    sums, pixels = np.zeros((2, group.count, embeddings.dim)), np.zeros(group.count, np.int64)
    counted = _Counted(report, group.window.pixels)
    for window in embeddings.tiles(values, group.window):
        add(group.own(labels[window.slices]), embeddings.read(window), sums, pixels)
        counted.add(window.pixels)
    means = sums[0]
    means += sums[1]
    means /= np.maximum(pixels, 1)[:, None]
    return means.astype(np.float32), pixels


def _edges(
    embeddings: Embeddings, values: int, mean: NDArray[np.float32], counted: _Counted
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(height, width) the edge of each pixel to that on its right, and to that below.

    A window comes after those on its left and above it. Their last columns and rows are kept for the edges to it, so
    that nothing is read again for them.
    """
    grid = embeddings.grid
    right = np.full((grid.height, grid.width), NONE, np.uint8)
    down = np.full_like(right, NONE)
    above = np.full((grid.width, embeddings.dim), np.nan, np.float32)
    beside = np.full((grid.height, embeddings.dim), np.nan, np.float32)
    for window in embeddings.tiles(values):
        # The window, what was kept around it, and a row below in which nothing is
        seen = np.full((window.height + 2, window.width + 1, embeddings.dim), np.nan, np.float32)
        inside = seen[1:-1, 1:]
        np.subtract(embeddings.read(window), mean, out=inside)
        rows, cols = window.slices
        seen[0, 1:], seen[1:-1, 0] = above[cols], beside[rows]
        to_right, to_below = edges(seen)
        # Each edge belongs to the pixel on its left or above it
        right[rows, window.col : window.col + window.width - 1] = to_right[1:, 1:-1]
        down[window.row : window.row + window.height - 1, cols] = to_below[1:-1, 1:]
        if window.col:
            right[rows, window.col - 1] = to_right[1:, 0]
        if window.row:
            down[window.row - 1, cols] = to_below[0, 1:]
        above[cols], beside[rows] = inside[-1], inside[:, -1]
        counted.add(window.pixels)
    return right, down


class _Counted:
    """Adds up the pixels that were read, and reports them."""

    def __init__(self, report: Progress | None, pixels: int) -> None:
        self.report, self.all, self.done = report, pixels, 0

    def add(self, pixels: int) -> None:
        """So many more were read."""
        self.done += pixels
        if self.report is not None:
            self.report(self.done, self.all)


def _numbered(first: NDArray[np.int32]) -> NDArray[np.int32]:
    """Segments named by their first pixels, numbered in that order; in place."""
    flat = first.reshape(-1)
    roots = np.flatnonzero(flat == np.arange(len(flat), dtype=np.int32))
    number = np.full(len(flat), -1, np.int32)
    number[roots] = np.arange(len(roots), dtype=np.int32)
    given = flat >= 0
    flat[given] = number[flat[given]]
    return first
