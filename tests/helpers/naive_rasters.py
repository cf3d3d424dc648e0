"""Naive twins of the raster kernels: one pixel at a time, from the rules alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def naive_clear(scl: int) -> int:
    """Published: everything but these classes is clear. What is no class at all isn't. Clear water is 2."""
    return (0 <= scl <= 11 and scl not in (0, 1, 2, 3, 8, 9)) * (2 if scl == 6 else 1)


def naive_first_clear(products: list[tuple[NDArray, NDArray, int]]) -> tuple[NDArray, NDArray]:
    """Products (bands (B, H, W), clear (H, W), offset) in order -> (H, W, B) uint16 and (H, W) uint8."""
    bands, height, width = products[0][0].shape
    out, valid = np.zeros((height, width, bands), np.uint16), np.zeros((height, width), np.uint8)
    for i in range(height):
        for j in range(width):
            pixels = [(values[:, i, j], clear[i, j], offset) for values, clear, offset in products]
            with_data = [(values, offset) for values, _, offset in pixels if values.any()]
            clear_ones = [(values, offset) for values, clear, offset in pixels if values.any() and clear]
            valid[i, j] = bool(clear_ones)
            for values, offset in (clear_ones or with_data)[:1]:
                out[i, j] = [v - offset if v >= offset else v for v in values.astype(int)]
    return out, valid


def naive_code(value: float, units: str) -> int:
    """trunc(clip((20 log10(x) + 50) * 200, 0, 32767)) of linear power x; (2 dB + 50) * 200 of dB; 0 = missing."""
    if not math.isfinite(value) or (units != "db" and value <= 0):
        return 0
    if units == "code":
        return int(value)
    level = {
        "power": lambda: 20 * math.log10(value),
        "amplitude": lambda: 20 * 2 * math.log10(value),
        "db": lambda: 2 * value,
    }[units]()
    return int(min(max((level + 50) * 200, 0), 32767))


def naive_power(value: float, units: str) -> float:
    """Linear power; 0 = missing."""
    if not math.isfinite(value) or (units != "db" and value <= 0):
        return 0.0
    if units == "code":
        return 10 ** ((value / 200 - 50) / 20)
    return {"power": value, "amplitude": value**2, "db": 10 ** (value / 10)}[units]


def naive_nearest(source: NDArray, col: float, row: float) -> float:
    """The pixel in which a point lies; 0 beside the raster."""
    height, width = source.shape
    return source[int(row), int(col)] if 0 <= col < width and 0 <= row < height else 0


def naive_bilinear(source: NDArray, col: float, row: float) -> float:
    """The mean of all pixels whose centre is nearer than a pixel in both directions, weighted by nearness."""
    if naive_nearest(source, col, row) == 0:
        return 0.0
    total = weights = 0.0
    for r, k in np.ndindex(source.shape):
        weight = max(0.0, 1 - abs(col - (k + 0.5))) * max(0.0, 1 - abs(row - (r + 0.5)))
        if source[r, k] != 0:
            total += weight * float(source[r, k])
            weights += weight
    return total / weights
