"""Per-pixel int8 codes of embeddings, by the published TESSERA v2 rule.

scale = max(max|e| / 127, 1e-12) over the pixel's vector; code = clip(round_half_even(e / scale), -127, 127).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

NODATA_CODE = -128
"""Code of a pixel without an embedding; its scale is NaN."""

MIN_SCALE = np.float32(1e-12)


@njit(cache=True)
def _quantize_row(row: NDArray[np.float32], codes: NDArray[np.int8]) -> np.float32:
    largest = np.float32(0.0)
    for value in row:
        if not np.isfinite(value):
            codes[:] = NODATA_CODE
            return np.float32(np.nan)
        largest = max(largest, abs(value))
    scale = max(largest / np.float32(127.0), MIN_SCALE)
    for k in range(len(row)):
        codes[k] = np.int8(min(max(np.rint(row[k] / scale), -127.0), 127.0))
    return scale


@njit(cache=True, parallel=True)
def _quantize(embedding: NDArray[np.float32], codes: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
    for pixel in prange(embedding.shape[0]):
        scales[pixel] = _quantize_row(embedding[pixel], codes[pixel])


def quantize(embedding: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Turn embeddings into codes and scales: embedding = code * scale.

    Args:
        embedding: (N, K) float32; a row with a value that isn't finite is nodata.

    Returns:
        codes (N, K) int8 in -127..127, `NODATA_CODE` for nodata; scales (N,) float32, NaN for nodata.
    """
    embedding = np.ascontiguousarray(embedding, np.float32)
    codes = np.empty(embedding.shape, np.int8)
    scales = np.empty(len(embedding), np.float32)
    _quantize(embedding, codes, scales)
    return codes, scales
