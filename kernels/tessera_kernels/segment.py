"""Segments of an image by its edges: what lies between neighbours, and the merging of pixels along weak edges.

The merging is that of Felzenszwalb and Huttenlocher (2004), "Efficient Graph-Based Image Segmentation": from the
weakest edge to the strongest, two segments merge where the edge is no stronger than what is inside of both, with an
allowance that falls with their size. Edges of one strength are taken row by row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.exact import two_sum

NONE = 255
"""Edge at a pixel without data: nothing merges across it."""

STRONGEST = 254
"""Of the edges between pixels with data."""


@kernel(fastmath={"reassoc", "contract"})
def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    total = np.float32(0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@kernel(nogil=True)
def _edge(a: NDArray[np.float32], b: NDArray[np.float32], long_a: np.float32, long_b: np.float32) -> np.uint8:
    product = long_a * long_b
    if not product > 0:  # for NaN too
        return np.uint8(NONE)
    cosine = min(max(_dot(a, b) / product, np.float32(-1)), np.float32(1))
    return np.uint8(np.rint(STRONGEST * np.sqrt((1 - cosine) / 2)))


@kernel(nogil=True)
def _root(parent: NDArray[np.int32], pixel: int) -> int:
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = parent[pixel]
    return pixel


@kernel(nogil=True)
def _union(parent: NDArray[np.int32], size: NDArray[np.int32], a: int, b: int) -> int:
    """Merge two roots; the root with the lower number stays, so that the result has one order only."""
    low, high = min(a, b), max(a, b)
    parent[high] = low
    size[low] += size[high]
    return low


@kernel(nogil=True)
def _edges(values: NDArray[np.float32], right: NDArray[np.uint8], down: NDArray[np.uint8]) -> None:
    rows, width = right.shape
    length = np.empty((rows + 1, width), np.float32)
    for r in range(rows + 1):
        for c in range(width):
            length[r, c] = np.sqrt(_dot(values[r, c], values[r, c]))
    for r in range(rows):
        for c in range(width):
            right[r, c] = NONE
            if c + 1 < width:
                right[r, c] = _edge(values[r, c], values[r, c + 1], length[r, c], length[r, c + 1])
            down[r, c] = _edge(values[r, c], values[r + 1, c], length[r, c], length[r + 1, c])


@kernel(nogil=True)
def _by_strength(right: NDArray[np.uint8], down: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The edges from the weakest to the strongest, by a counting sort; those of one strength row by row.

    Each is twice the number of its pixel, plus one if it leads down. What the last column has on its right and the last
    row below is none.
    """
    height, width = right.shape
    place = np.zeros(NONE + 1, np.int64)
    for r in range(height):
        for c in range(width):
            place[right[r, c] if c + 1 < width else NONE] += 1
            place[down[r, c] if r + 1 < height else NONE] += 1
    count = 0
    for strength in range(NONE):
        count, place[strength] = count + place[strength], count
    order = np.empty(count, np.uint32)
    for r in range(height):
        for c in range(width):
            edge = 2 * (r * width + c)
            for leads_down in range(2):
                strength = down[r, c] if leads_down else right[r, c]
                if strength != NONE and (r + 1 < height if leads_down else c + 1 < width):
                    order[place[strength]] = edge + leads_down
                    place[strength] += 1
    return order


@kernel(nogil=True)
def _merge(
    right: NDArray[np.uint8], down: NDArray[np.uint8], allowance: float, least: int
) -> NDArray[np.int32]:
    height, width = right.shape
    pixels = height * width
    order = _by_strength(right, down)
    strengths = (right.ravel(), down.ravel())
    parent = np.arange(pixels, dtype=np.int32)
    size = np.ones(pixels, np.int32)
    inside = np.zeros(pixels, np.uint8)
    edge: Any  # of 64 bits with a sign, which the number of a pixel has too
    between = 0
    for i in range(len(order)):
        edge = np.int64(order[i])
        pixel, leads_down = edge >> 1, edge & 1
        a, b = _root(parent, pixel), _root(parent, pixel + (width if leads_down else 1))
        if a == b:
            continue
        strength = strengths[leads_down][pixel]
        if strength <= min(inside[a] + allowance / size[a], inside[b] + allowance / size[b]):
            inside[_union(parent, size, a, b)] = strength
        else:
            # The next round needs these only: what is in one segment stays in one
            order[between] = edge
            between += 1
    for i in range(between):
        edge = np.int64(order[i])
        pixel, leads_down = edge >> 1, edge & 1
        a, b = _root(parent, pixel), _root(parent, pixel + (width if leads_down else 1))
        if a != b and (size[a] < least or size[b] < least):
            _union(parent, size, a, b)
    for pixel in range(pixels):
        parent[pixel] = _root(parent, pixel)
    return parent.reshape(height, width)


@kernel(nogil=True)
def _add(
    labels: NDArray[np.int32],
    values: NDArray[np.float32],
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    for r in range(labels.shape[0]):
        for c in range(labels.shape[1]):
            label = labels[r, c]
            if label < 0:
                continue
            counts[label] += 1
            for k in range(values.shape[2]):
                sums[0, label, k], lost = two_sum(sums[0, label, k], np.float64(values[r, c, k]))
                sums[1, label, k] += lost


def edges(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The edges of a strip: `STRONGEST` times the sine of half the angle between the vectors of neighbours.

    An edge depends on its two vectors only, so strips of any height give the same.

    Args:
        values: (rows + 1, w, K) float32, the vectors of the strip and of the row below; NaN where there are none.

    Returns:
        (rows, w) uint8, the edge of each pixel to that on its right, and the same to that below; `NONE` at the end of a
        row and beside pixels without data.

    Raises:
        ValueError: there is no row below.
    """
    if values.ndim != 3 or len(values) < 2:
        raise ValueError(f"values have shape {values.shape}, expected at least two rows of vectors")
    shape = (len(values) - 1, values.shape[1])
    right, down = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    _edges(np.ascontiguousarray(values, np.float32), right, down)
    return right, down


def merge(
    right: NDArray[np.uint8], down: NDArray[np.uint8], allowance: float, least: int
) -> NDArray[np.int32]:
    """Segments of an image, which are connected over edges of pixels.

    Args:
        right: (h, w) uint8, see `edges`.
        down: (h, w) uint8.
        allowance: how much stronger than what is inside an edge may be at a segment of one pixel; a segment of n pixels
            has the n-th part of it.
        least: pixels of the smallest segment; a smaller one merges across its weakest edge, if it has any.

    Returns:
        (h, w) int32, the first pixel (row * w + column) of each pixel's segment.

    Raises:
        ValueError: the shapes differ, or have too many pixels for int32.
    """
    if right.shape != down.shape or right.ndim != 2 or right.size >= 2**31:
        raise ValueError(f"edges have shapes {right.shape} and {down.shape}")
    return np.asarray(_merge(right, down, float(allowance), int(least)))


def add(
    labels: NDArray[np.int32],
    values: NDArray[np.float32],
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    """Add vectors to the sums of their segments. Windows of any shape and order give the same sums.

    Args:
        labels: (rows, w) int32, 0 to S - 1; below 0: none.
        values: (rows, w, K) float32, finite where there is a label.
        sums: (2, S, K) float64, changed; see `tessera_kernels.exact`.
        counts: (S,) int64, changed.

    Raises:
        ValueError: the shapes don't fit, or a label is too large.
    """
    if labels.shape != values.shape[:2] or sums.shape != (2, len(counts), values.shape[2]):
        raise ValueError(
            f"labels {labels.shape}, values {values.shape} and sums {sums.shape} don't fit together"
        )
    if labels.size and labels.max() >= len(counts):
        raise ValueError(f"a label is {labels.max()}, expected below {len(counts)}")
    _add(np.ascontiguousarray(labels), np.ascontiguousarray(values), sums, counts)
