"""Values of a raster at any points, not only the centres of its pixels.

Each point is computed on its own, so that the result doesn't depend on the block that it is read with. Each kernel
runs on one thread, see `tessera_kernels.scl`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel

ToPixel = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: col = a * x + b * y + c, row = d * x + e * y + f. Whole numbers are corners of pixels."""


@kernel(nogil=True)
def _nearest(
    source: NDArray[Any],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    to_pixel: ToPixel,
    out: NDArray[Any],
) -> None:
    a, b, c, d, e, f = to_pixel
    height, width = source.shape
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            col = np.floor(a * x[i, j] + b * y[i, j] + c)
            row = np.floor(d * x[i, j] + e * y[i, j] + f)
            out[i, j] = source[int(row), int(col)] if 0 <= col < width and 0 <= row < height else 0


@kernel(nogil=True)
def _bilinear(
    source: NDArray[Any],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    to_pixel: ToPixel,
    out: NDArray[np.float32],
) -> None:
    a, b, c, d, e, f = to_pixel
    height, width = source.shape
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            col = a * x[i, j] + b * y[i, j] + c
            row = d * x[i, j] + e * y[i, j] + f
            out[i, j] = 0.0
            if not (0 <= col < width and 0 <= row < height) or source[int(row), int(col)] == 0:
                continue
            left, top = int(np.floor(col - 0.5)), int(np.floor(row - 0.5))
            right, bottom = col - 0.5 - left, row - 0.5 - top
            if 0 <= left < width - 1 and 0 <= top < height - 1:
                nw, ne = source[top, left], source[top, left + 1]
                sw, se = source[top + 1, left], source[top + 1, left + 1]
                if nw != 0 and ne != 0 and sw != 0 and se != 0:
                    # Nearly all points. As below, in the same order, so that the bits are the same
                    nw_weight, ne_weight = (1.0 - right) * (1.0 - bottom), right * (1.0 - bottom)
                    sw_weight, se_weight = (1.0 - right) * bottom, right * bottom
                    total = nw_weight * nw + ne_weight * ne + sw_weight * sw + se_weight * se
                    out[i, j] = total / (nw_weight + ne_weight + sw_weight + se_weight)
                    continue
            total = weights = 0.0
            for r in range(max(top, 0), min(top + 2, height)):
                for k in range(max(left, 0), min(left + 2, width)):
                    value = source[r, k]
                    if value != 0:
                        weight = (right if k > left else 1.0 - right) * (bottom if r > top else 1.0 - bottom)
                        total += weight * value
                        weights += weight
            out[i, j] = total / weights


def nearest(
    source: NDArray[Any], x: NDArray[np.float64], y: NDArray[np.float64], to_pixel: ToPixel
) -> NDArray[Any]:
    """The value of the pixel that each point lies in.

    Args:
        source: (rows, cols) numbers.
        x: (height, width) float64, the points' coordinates.
        y: (height, width) float64.
        to_pixel: from coordinates to the source's pixels.

    Returns:
        (height, width) in the source's dtype; 0 outside the source.
    """
    out = np.empty(x.shape, source.dtype)
    _nearest(source, x, y, to_pixel, out)
    return out


def bilinear(
    source: NDArray[Any], x: NDArray[np.float64], y: NDArray[np.float64], to_pixel: ToPixel
) -> NDArray[np.float32]:
    """The mean of the four pixels around each point, weighted by nearness.

    Zero means missing: such pixels are left out, and a point that lies in one is missing too.

    Args:
        source: (rows, cols) finite numbers, 0 = missing.
        x: (height, width) float64, the points' coordinates.
        y: (height, width) float64.
        to_pixel: from coordinates to the source's pixels.

    Returns:
        (height, width) float32; 0 where missing and outside the source.
    """
    out = np.empty(x.shape, np.float32)
    _bilinear(source, x, y, to_pixel, out)
    return out
