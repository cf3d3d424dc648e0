"""Cosine similarity of many int8 codes to a few, exact and without dequantised copies.

A pixel's scale multiplies its whole vector, so the cosine doesn't depend on it: the codes are enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares

MAX_DIM = 1024
"""Up to this dimension, sums of products of codes are whole numbers below 2**24, exact in float32 in any order."""

# Sums may be reordered for SIMD, see MAX_DIM. Neither nnan nor ninf: NaN and infinity must stay what they are
REORDERED = {"reassoc", "contract"}


@kernel(fastmath=REORDERED)
def _dot(a: NDArray[np.int8], b: NDArray[np.float32]) -> np.float32:
    total = np.float32(0.0)
    for k in range(len(b)):
        total += np.float32(a[k]) * b[k]
    return total


@kernel(fastmath=REORDERED)
def _squares(a: NDArray[np.int8]) -> np.float32:
    total = np.float32(0.0)
    for k in range(len(a)):
        total += np.float32(a[k]) * np.float32(a[k])
    return total


@kernel(nogil=True)
def _most_similar(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    queries: NDArray[np.float32],
    query_squares: NDArray[np.float64],
    similarity: NDArray[np.float32],
) -> None:
    for pixel in range(codes.shape[0]):
        if not np.isfinite(scales[pixel]):
            similarity[pixel] = np.nan
            continue
        squares = np.float64(_squares(codes[pixel]))
        best = -1.0
        for q in range(queries.shape[0]):
            product = np.float64(_dot(codes[pixel], queries[q]))
            # A vector of zeros has no direction: its similarity is 0
            cosine = product / np.sqrt(squares * query_squares[q]) if squares > 0.0 else 0.0
            best = max(best, cosine)
        similarity[pixel] = best


def most_similar(
    codes: NDArray[np.int8], scales: NDArray[np.float32], queries: NDArray[np.int8]
) -> NDArray[np.float32]:
    """Each pixel's cosine to the query that it is most similar to.

    Args:
        codes: (N, K) int8, C-contiguous, K at most `MAX_DIM`; may be mapped from a file.
        scales: (N,) float32, not finite for pixels without data.
        queries: (Q, K) int8, Q at least 1, none all zero.

    Returns:
        (N,) float32 cosine in -1..1, NaN where there is no data.

    Raises:
        ValueError: shapes disagree, or a query is all zero.
    """
    if codes.shape[1] > MAX_DIM or codes.shape[1:] != queries.shape[1:] or scales.shape != codes.shape[:1]:
        raise ValueError(
            f"codes {codes.shape}, scales {scales.shape} and queries {queries.shape} don't fit together"
        )
    squares = (queries.astype(np.float64) ** 2).sum(axis=1)
    if not len(queries) or not squares.all():
        raise ValueError("expected at least one query, none all zero")
    similarity = np.empty(len(codes), np.float32)
    codes, scales = np.ascontiguousarray(codes), np.ascontiguousarray(scales)
    wanted = queries.astype(np.float32)
    in_shares(
        lambda share: _most_similar(codes[share], scales[share], wanted, squares, similarity[share]),
        len(codes),
    )
    return similarity
