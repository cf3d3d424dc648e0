"""Per-pixel int8 codes of embeddings, by the published TESSERA rules.

scale = max(max|e| / 127, smallest) over the pixel's vector; code = clip(round_half_even(e / scale), -127, 127).

v1.1 clips at -128 and v2 at -127. The results are the same: no value is larger than 127 scales, so -128 never occurs
and can mean nodata in both. Only the smallest scale differs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.inner import inner
from tessera_kernels.threads import in_shares

NODATA_CODE = -128
"""Code of a pixel without an embedding; its scale is NaN."""

MIN_SCALES = {"v2": np.float32(1e-12), "v1.1": np.float32(1e-8), "v1.0": np.float32(1e-8)}
"""Smallest scale by generation. v1.0's rule is not published; v1.1's is used."""


@inner
def _quantize_row(row: NDArray[np.float32], codes: NDArray[np.int8], smallest: np.float32) -> np.float32:
    largest = np.float32(0.0)
    for value in row:
        if not np.isfinite(value):
            codes[:] = NODATA_CODE
            return np.float32(np.nan)
        largest = max(largest, abs(value))
    scale = max(largest / np.float32(127.0), smallest)
    for k in range(len(row)):
        codes[k] = np.int8(min(max(np.rint(row[k] / scale), -127.0), 127.0))
    return scale


@kernel(nogil=True)
def _quantize(
    embedding: NDArray[np.float32], codes: NDArray[np.int8], scales: NDArray[np.float32], smallest: np.float32
) -> None:
    for pixel in range(embedding.shape[0]):
        scales[pixel] = _quantize_row(embedding[pixel], codes[pixel], smallest)


def quantize(
    embedding: NDArray[np.float32], generation: str = "v2"
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Turn embeddings into codes and scales: embedding = code * scale.

    Args:
        embedding: (N, K) float32; a row with a value that isn't finite is nodata.
        generation: of the model.

    Returns:
        codes (N, K) int8 in -127..127, `NODATA_CODE` for nodata; scales (N,) float32, NaN for nodata.
    """
    embedding = np.ascontiguousarray(embedding, np.float32)
    codes = np.empty(embedding.shape, np.int8)
    scales = np.empty(len(embedding), np.float32)
    smallest = MIN_SCALES[generation]
    in_shares(lambda share: _quantize(embedding[share], codes[share], scales[share], smallest), len(codes))
    return codes, scales


@kernel(nogil=True)
def _restore(
    codes: NDArray[np.int8], scales: NDArray[np.float32], rows: NDArray[np.int64], found: NDArray[np.float32]
) -> None:
    for i in range(len(rows)):
        row = rows[i]
        for k in range(codes.shape[1]):
            found[i, k] = np.float32(codes[row, k]) * scales[row]


def restore(
    codes: NDArray[np.int8], scales: NDArray[np.float32], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Embeddings of some pixels: code * scale, NaN for nodata.

    Args:
        codes: (N, K) int8.
        scales: (N,) float32.
        rows: (M,) int64 numbers of pixels, each less than N.

    Returns:
        (M, K) float32.
    """
    found = np.empty((len(rows), codes.shape[1]), np.float32)
    in_shares(lambda share: _restore(codes, scales, rows[share], found[share]), len(rows))
    return found
