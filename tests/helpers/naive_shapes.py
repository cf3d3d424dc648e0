"""Naive twins of what places do with shapes: one pixel and one shape at a time."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray


def naive_inside(rings: list[NDArray], col: int, row: int) -> bool:
    """Even-odd over all edges, at the pixel's centre; an edge's lower end and its left side don't count."""
    x, y = col + 0.5, row + 0.5
    inside = False
    for ring in rings:
        for (x0, y0), (x1, y1) in pairwise(ring):
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            if y0 <= y < y1 and x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x:
                inside = not inside
    return inside


def naive_mask(rings: list[NDArray], frame: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """(height, width) of a frame: column, row, width, height."""
    left, top, width, height = frame
    return np.array(
        [[naive_inside(rings, left + col, top + row) for col in range(width)] for row in range(height)], bool
    ).reshape(height, width)


def naive_pool(pixels: NDArray[np.float32], how: str) -> NDArray[np.float64]:
    """(K,) of (N, K) embeddings of a shape, in float64; pixels with NaN are left out."""
    kept = [[float(value) for value in pixel] for pixel in pixels if not np.isnan(pixel[0])]
    found = []
    for values in zip(*kept, strict=True):
        mean = sum(values) / len(values)
        if how == "mean":
            found.append(mean)
        elif how == "std":
            found.append((sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5)
        else:
            found.append(median(values))
    return np.array(found)
