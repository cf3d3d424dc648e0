"""How far each pixel has moved between two sets of embeddings, beyond the movement that all pixels share.

Values are int8 codes with a scale a pixel, or float32 with the scale 1; a call may have one of each. Nothing is
dequantised to a copy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares

CHUNK = 4096
"""Pixels that one thread sums. It is fixed, so that sums don't depend on the number of threads."""

# Sums may be reordered for SIMD: a squared distance is then within 1e-5 of the exact one. Neither nnan nor ninf: NaN
# and infinity must stay what they are. Not contract, so that a pixel that hasn't moved has a distance of exactly 0.
REORDERED = {"reassoc"}


class Moments(NamedTuple):
    """Sums over the pixels that have data in both sets.

    Attributes:
        pixels: how many there are.
        before: (K,) float64, sum of the first vectors.
        after: (K,) float64, of the second.
        squares: sum of the squared lengths of all vectors, first and second.
    """

    pixels: int
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    squares: float


@kernel(nogil=True)
def _moments(
    before: NDArray[Any],
    before_scales: NDArray[np.float32],
    after: NDArray[Any],
    after_scales: NDArray[np.float32],
    pixels: NDArray[np.int64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    first: int,
) -> None:
    for chunk in range(len(pixels)):
        start = (first + chunk) * CHUNK
        for pixel in range(start, min(start + CHUNK, len(before))):
            if not (np.isfinite(before_scales[pixel]) and np.isfinite(after_scales[pixel])):
                continue
            pixels[chunk] += 1
            for k in range(before.shape[1]):
                a = np.float64(before[pixel, k]) * before_scales[pixel]
                b = np.float64(after[pixel, k]) * after_scales[pixel]
                sums[chunk, 0, k] += a
                sums[chunk, 1, k] += b
                squares[chunk] += a * a + b * b


@kernel(fastmath=REORDERED)
def _distance(
    a: NDArray[Any], a_scale: np.float32, b: NDArray[Any], b_scale: np.float32, shift: NDArray[np.float32]
) -> np.float32:
    total = np.float32(0.0)
    for k in range(len(shift)):
        moved = np.float32(b[k]) * b_scale - np.float32(a[k]) * a_scale - shift[k]
        total += moved * moved
    return total


@kernel(nogil=True)
def _distances(
    before: NDArray[Any],
    before_scales: NDArray[np.float32],
    after: NDArray[Any],
    after_scales: NDArray[np.float32],
    shift: NDArray[np.float32],
    found: NDArray[np.float32],
) -> None:
    for pixel in range(len(before)):
        if np.isfinite(before_scales[pixel]) and np.isfinite(after_scales[pixel]):
            found[pixel] = _distance(
                before[pixel], before_scales[pixel], after[pixel], after_scales[pixel], shift
            )
        else:
            found[pixel] = np.nan


def moments(
    before: NDArray[Any],
    before_scales: NDArray[np.float32],
    after: NDArray[Any],
    after_scales: NDArray[np.float32],
) -> Moments:
    """Sums to compute the mean vectors and their spread from. The sums of several calls can be added.

    Args:
        before: (N, K) int8 codes or float32, C-contiguous.
        before_scales: (N,) float32, not finite where there is no data; 1 for float32 values.
        after: (N, K), as `before`.
        after_scales: (N,).

    Raises:
        ValueError: shapes disagree.
    """
    _check(before, before_scales, after, after_scales)
    chunks = -(-len(before) // CHUNK)
    pixels, squares = np.zeros(chunks, np.int64), np.zeros(chunks)
    sums = np.zeros((chunks, 2, before.shape[1]))
    a, a_scales = np.ascontiguousarray(before), np.ascontiguousarray(before_scales)
    b, b_scales = np.ascontiguousarray(after), np.ascontiguousarray(after_scales)
    in_shares(
        lambda share: _moments(
            a, a_scales, b, b_scales, pixels[share], sums[share], squares[share], share.start
        ),
        chunks,
    )
    total = sums.sum(axis=0)
    return Moments(int(pixels.sum()), total[0], total[1], float(squares.sum()))


def distances(
    before: NDArray[Any],
    before_scales: NDArray[np.float32],
    after: NDArray[Any],
    after_scales: NDArray[np.float32],
    shift: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Squared distance between each pixel's second vector and its first one plus the shift.

    Args:
        before: (N, K) int8 codes or float32, C-contiguous.
        before_scales: (N,) float32, not finite where there is no data; 1 for float32 values.
        after: (N, K), as `before`.
        after_scales: (N,).
        shift: (K,) float32.

    Returns:
        (N,) float32, NaN where either has no data.

    Raises:
        ValueError: shapes disagree.
    """
    _check(before, before_scales, after, after_scales)
    if shift.shape != before.shape[1:]:
        raise ValueError(f"shift {shift.shape} doesn't fit vectors {before.shape}")
    found = np.empty(len(before), np.float32)
    a, a_scales = np.ascontiguousarray(before), np.ascontiguousarray(before_scales)
    b, b_scales = np.ascontiguousarray(after), np.ascontiguousarray(after_scales)
    common = np.ascontiguousarray(shift, np.float32)
    in_shares(
        lambda share: _distances(a[share], a_scales[share], b[share], b_scales[share], common, found[share]),
        len(found),
    )
    return found


def _check(before: NDArray[Any], before_scales: Any, after: NDArray[Any], after_scales: Any) -> None:
    if before.shape != after.shape or not before_scales.shape == after_scales.shape == before.shape[:1]:
        raise ValueError(
            f"vectors {before.shape} and {after.shape} with scales {before_scales.shape} and {after_scales.shape} "
            "don't fit together"
        )
