"""The segments of embeddings, with the same result whatever the strips in which they are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.progress import Progress
from tessera_engine.scene import Window
from tessera_kernels.segment import add, edges, merge

PIXEL_BYTES = 24
"""Bytes of memory that finding segments takes for each pixel: its edges, its segment and the search for it."""

VALUE_BYTES = 16
"""Bytes for each value of a strip, besides reading it: dequantised, beside the mean, and float64 sums of rows."""


def find_segments(
    embeddings: Embeddings, strip: int, scale: float, least: int, report: Progress | None = None
) -> NDArray[np.int32]:
    """Number the segments of embeddings.

    Vectors are compared by their angle, seen from the mean of all: embeddings of one place have much in common.

    Args:
        embeddings: what is segmented.
        strip: values that are read at a time; the result doesn't depend on it.
        scale: see `tessera_kernels.segment.merge`: the larger, the larger the segments.
        least: pixels of the smallest segment.
        report: called with pixels done and in all; each is read twice here.

    Returns:
        (height, width) int32, 0, 1, ... in the order of the segments' first pixels; -1 where there is no data.
    """
    grid = embeddings.grid
    mean = _mean(embeddings, strip, report)
    right = np.empty((grid.height, grid.width), np.uint8)
    down = np.empty_like(right)
    for window in embeddings.windows(strip):
        below = int(window.row + window.height < grid.height)
        values = embeddings.read(window._replace(height=window.height + below)) - mean
        if not below:
            values = np.concatenate([values, np.full_like(values[:1], np.nan)])
        rows = slice(window.row, window.row + window.height)
        right[rows], down[rows] = edges(values)
        _tell(report, embeddings, window, 1)
    first = merge(right, down, scale, least)
    del right, down
    valid = np.empty((grid.height, grid.width), np.bool_)
    for window in embeddings.windows(strip):
        rows = slice(window.row, window.row + window.height)
        valid[rows] = embeddings.read_stored(window).valid
    first[~valid] = -1
    return _numbered(first)


def mean_vectors(
    embeddings: Embeddings, labels: NDArray[np.int32], strip: int, report: Progress | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(S, K) float32 means of the segments' embeddings, and (S,) int64 numbers of their pixels.

    Args:
        embeddings: what was segmented.
        labels: see `find_segments`.
        strip: values that are read at a time; the result doesn't depend on it.
        report: called with pixels done and in all.
    """
    count = int(labels.max(initial=-1)) + 1
    sums, pixels = np.zeros((count, embeddings.dim)), np.zeros(count, np.int64)
    for window in embeddings.windows(strip):
        rows = slice(window.row, window.row + window.height)
        add(labels[rows], embeddings.read(window), sums, pixels)
        _tell(report, embeddings, window, 2)
    sums /= np.maximum(pixels, 1)[:, None]
    return sums.astype(np.float32), pixels


def _mean(embeddings: Embeddings, strip: int, report: Progress | None) -> NDArray[np.float32]:
    """(K,) the mean vector. Each row is summed by itself, and the rows in their order, whatever the strips."""
    total, count = np.zeros(embeddings.dim), 0
    for window in embeddings.windows(strip):
        for row in embeddings.read(window):
            given = row[np.isfinite(row[:, 0])]
            total += given.sum(axis=0, dtype=np.float64)
            count += len(given)
        _tell(report, embeddings, window, 0)
    return (total / max(count, 1)).astype(np.float32)


def _tell(report: Progress | None, embeddings: Embeddings, window: Window, turn: int) -> None:
    if report is not None:
        pixels = embeddings.grid.window.pixels
        report(turn * pixels + (window.row + window.height) * window.width, 3 * pixels)


def _numbered(first: NDArray[np.int32]) -> NDArray[np.int32]:
    """Segments named by their first pixels, numbered in that order; in place."""
    flat = first.reshape(-1)
    roots = np.flatnonzero(flat == np.arange(len(flat), dtype=np.int32))
    number = np.full(len(flat), -1, np.int32)
    number[roots] = np.arange(len(roots), dtype=np.int32)
    given = flat >= 0
    flat[given] = number[flat[given]]
    return first
