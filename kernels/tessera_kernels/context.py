"""The surroundings of pixels: mean and spread of the embeddings in a square around each.

Each pixel is computed alone and always in the same order, so that its result is the same in every strip that holds its
whole square.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares


@kernel(nogil=True)
def _surroundings(
    values: NDArray[Any],
    scales: NDArray[np.float32],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    reach: int,
    out: NDArray[np.float32],
) -> None:
    height, width, dim = values.shape
    mean = np.empty(dim, np.float32)
    squares = np.empty(dim, np.float32)
    for pixel in range(len(rows)):
        row, col = rows[pixel], cols[pixel]
        top, bottom = max(row - reach, 0), min(row + reach + 1, height)
        left, right = max(col - reach, 0), min(col + reach + 1, width)
        mean[:] = 0.0
        squares[:] = 0.0
        count = np.float32(0.0)
        for r in range(top, bottom):
            for c in range(left, right):
                scale = scales[r, c]
                if np.isfinite(scale):
                    count += np.float32(1.0)
                    for k in range(dim):
                        mean[k] += np.float32(values[r, c, k]) * scale
        for k in range(dim):
            mean[k] /= count
        # From the mean, not from sums of squares, which would cancel
        for r in range(top, bottom):
            for c in range(left, right):
                scale = scales[r, c]
                if np.isfinite(scale):
                    for k in range(dim):
                        step = np.float32(values[r, c, k]) * scale - mean[k]
                        squares[k] += step * step
        scale = scales[row, col]
        for k in range(dim):
            out[pixel, k] = np.float32(values[row, col, k]) * scale
            out[pixel, dim + k] = mean[k]
            out[pixel, 2 * dim + k] = np.sqrt(squares[k] / count)


def surroundings(
    values: NDArray[Any],
    scales: NDArray[np.float32],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    side: int,
) -> NDArray[np.float32]:
    """Each pixel's embedding, and the mean and the standard deviation over the square around it.

    Pixels without data and beyond the edge are left out of the square.

    Args:
        values: (height, width, K) int8 codes or float32.
        scales: (height, width) float32, embedding = value * scale; not finite where there is no data.
        rows: (N,) of pixels with data.
        cols: (N,).
        side: pixels across the square, odd.

    Returns:
        (N, 3 * K) float32: embedding, mean, standard deviation.

    Raises:
        ValueError: shapes disagree, or a pixel lies outside or has no data.
    """
    if scales.shape != values.shape[:2] or rows.shape != cols.shape or side < 1 or side % 2 == 0:
        raise ValueError(
            f"scales {scales.shape}, {len(rows)} rows, {len(cols)} columns and side {side} don't fit "
            f"{values.shape} values"
        )
    if len(rows) and (
        min(rows.min(), cols.min()) < 0 or rows.max() >= scales.shape[0] or cols.max() >= scales.shape[1]
    ):
        raise ValueError(f"pixels outside of {scales.shape}")
    scales = np.ascontiguousarray(scales, np.float32)
    if not np.isfinite(scales[rows, cols]).all():
        raise ValueError("pixels without data")
    values = np.ascontiguousarray(values)
    out = np.empty((len(rows), 3 * values.shape[2]), np.float32)
    in_shares(
        lambda share: _surroundings(values, scales, rows[share], cols[share], side // 2, out[share]), len(out)
    )
    return out
