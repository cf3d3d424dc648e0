"""How far each pixel has moved between two sets of embeddings, beyond the movement that all pixels share.

Values are int8 codes with a scale a pixel, or float32 with the scale 1; a call may have one of each. Nothing is
dequantised to a copy. Where many pixels have the same vector, it is given once, with the number of each pixel's vector.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.exact import add_sums, two_sum
from tessera_kernels.threads import in_shares

CHUNK = 4096
"""Pixels that one thread sums at a time."""

# Sums may be reordered for SIMD: a squared distance is then within 1e-5 of the exact one. Neither nnan nor ninf: NaN
# and infinity must stay what they are. Not contract, so that a pixel that hasn't moved has a distance of exactly 0.
REORDERED = {"reassoc"}


class Moments(NamedTuple):
    """Sums over the pixels that have data in both sets. The order in which they are added doesn't count.

    Attributes:
        pixels: how many there are.
        sums: (2, 2 * K + 1) float64, see `tessera_kernels.exact`: of the first vectors, of the second, and of the
            squared lengths of both.
    """

    pixels: int
    sums: NDArray[np.float64]

    def plus(self, other: Moments) -> Moments:
        """Those of more pixels."""
        return Moments(self.pixels + other.pixels, add_sums(self.sums, other.sums))

    @property
    def before(self) -> NDArray[np.float64]:
        """(K,) float64, sum of the first vectors."""
        total: NDArray[np.float64] = self.sums.sum(axis=0)
        return total[: len(total) // 2]

    @property
    def after(self) -> NDArray[np.float64]:
        """(K,) float64, of the second."""
        total: NDArray[np.float64] = self.sums.sum(axis=0)
        return total[len(total) // 2 : -1]

    @property
    def squares(self) -> float:
        """Sum of the squared lengths of all vectors, first and second."""
        return float(self.sums[:, -1].sum())


@kernel(nogil=True)
def _moments(
    before: NDArray[Any],
    after: NDArray[Any],
    scales: tuple[NDArray[np.float32], NDArray[np.float32]],
    which: tuple[NDArray[np.int32], NDArray[np.int32]],
    pixels: NDArray[np.int64],
    sums: NDArray[np.float64],
    first: int,
) -> None:
    dim = before.shape[1]
    for chunk in range(len(pixels)):
        start = (first + chunk) * CHUNK
        for pixel in range(start, min(start + CHUNK, len(which[0]))):
            i, j = which[0][pixel], which[1][pixel]
            if i < 0 or j < 0 or not (np.isfinite(scales[0][i]) and np.isfinite(scales[1][j])):
                continue
            pixels[chunk] += 1
            square = 0.0
            for k in range(dim):
                a = np.float64(before[i, k]) * scales[0][i]
                b = np.float64(after[j, k]) * scales[1][j]
                sums[chunk, 0, k], lost = two_sum(sums[chunk, 0, k], a)
                sums[chunk, 1, k] += lost
                sums[chunk, 0, dim + k], lost = two_sum(sums[chunk, 0, dim + k], b)
                sums[chunk, 1, dim + k] += lost
                square += a * a + b * b
            sums[chunk, 0, 2 * dim], lost = two_sum(sums[chunk, 0, 2 * dim], square)
            sums[chunk, 1, 2 * dim] += lost


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
    after: NDArray[Any],
    scales: tuple[NDArray[np.float32], NDArray[np.float32]],
    which: tuple[NDArray[np.int32], NDArray[np.int32]],
    shift: NDArray[np.float32],
    found: NDArray[np.float32],
) -> None:
    for pixel in range(len(found)):
        i, j = which[0][pixel], which[1][pixel]
        if i >= 0 and j >= 0 and np.isfinite(scales[0][i]) and np.isfinite(scales[1][j]):
            found[pixel] = _distance(before[i], scales[0][i], after[j], scales[1][j], shift)
        else:
            found[pixel] = np.nan


Which = tuple[NDArray[np.int32] | None, NDArray[np.int32] | None]
"""Of both sets, (N,) int32 number of each pixel's vector, -1 = no data; None: each pixel has a vector of its own."""

OWN: Which = (None, None)
"""All pixels have vectors of their own."""


def moments(
    before: NDArray[Any],
    before_scales: NDArray[np.float32],
    after: NDArray[Any],
    after_scales: NDArray[np.float32],
    which: Which = OWN,
) -> Moments:
    """Sums to compute the mean vectors and their spread from; those of several calls can be added.

    Args:
        before: (M, K) int8 codes or float32, C-contiguous.
        before_scales: (M,) float32, not finite where there is no data; 1 for float32 values.
        after: (L, K), as `before`.
        after_scales: (L,).
        which: the vector of each pixel.

    Raises:
        ValueError: shapes disagree.
    """
    numbers = _checked(before, before_scales, after, after_scales, which)
    chunks = -(-len(numbers[0]) // CHUNK)
    pixels, sums = np.zeros(chunks, np.int64), np.zeros((chunks, 2, 2 * before.shape[1] + 1))
    a, a_scales = np.ascontiguousarray(before), np.ascontiguousarray(before_scales)
    b, b_scales = np.ascontiguousarray(after), np.ascontiguousarray(after_scales)
    in_shares(
        lambda share: _moments(a, b, (a_scales, b_scales), numbers, pixels[share], sums[share], share.start),
        chunks,
    )
    return Moments(int(pixels.sum()), reduce(add_sums, sums, np.zeros(sums.shape[1:])))


def distances(
    before: NDArray[Any],
    before_scales: NDArray[np.float32],
    after: NDArray[Any],
    after_scales: NDArray[np.float32],
    shift: NDArray[np.float32],
    which: Which = OWN,
) -> NDArray[np.float32]:
    """Squared distance between each pixel's second vector and its first one plus the shift.

    Args:
        before: (M, K) int8 codes or float32, C-contiguous.
        before_scales: (M,) float32, not finite where there is no data; 1 for float32 values.
        after: (L, K), as `before`.
        after_scales: (L,).
        shift: (K,) float32.
        which: the vector of each pixel.

    Returns:
        (N,) float32 of pixels, NaN where either has no data.

    Raises:
        ValueError: shapes disagree.
    """
    numbers = _checked(before, before_scales, after, after_scales, which)
    if shift.shape != before.shape[1:]:
        raise ValueError(f"shift {shift.shape} doesn't fit vectors {before.shape}")
    found = np.empty(len(numbers[0]), np.float32)
    a, a_scales = np.ascontiguousarray(before), np.ascontiguousarray(before_scales)
    b, b_scales = np.ascontiguousarray(after), np.ascontiguousarray(after_scales)
    common = np.ascontiguousarray(shift, np.float32)
    in_shares(
        lambda share: _distances(
            a, b, (a_scales, b_scales), (numbers[0][share], numbers[1][share]), common, found[share]
        ),
        len(found),
    )
    return found


def _checked(
    before: NDArray[Any], before_scales: Any, after: NDArray[Any], after_scales: Any, which: Which
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The number of each pixel's vector, of both."""
    one, other = (
        np.arange(len(vectors), dtype=np.int32)
        if numbers is None
        else np.ascontiguousarray(numbers, np.int32)
        for vectors, numbers in zip((before, after), which, strict=True)
    )
    fit = before.shape[1:] == after.shape[1:] and one.shape == other.shape and one.ndim == 1
    if not fit or before_scales.shape != before.shape[:1] or after_scales.shape != after.shape[:1]:
        raise ValueError(
            f"vectors {before.shape} and {after.shape} with scales {before_scales.shape} and {after_scales.shape} of "
            f"{one.shape} and {other.shape} pixels don't fit together"
        )
    for numbers, vectors in ((one, before), (other, after)):
        if numbers.max(initial=-1) >= len(vectors):
            raise ValueError(f"a pixel has vector {numbers.max()} of {len(vectors)}")
    return one, other
