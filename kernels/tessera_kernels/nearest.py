"""The nearest of some references to each of many vectors, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares

STEP = 32
"""Dimensions after which a reference that is too far already is given up."""

# Sums may be reordered for SIMD. Neither nnan nor ninf: NaN and infinity must stay what they are
REORDERED = {"reassoc", "contract"}


@kernel(fastmath=REORDERED)
def _squares(a: NDArray[np.float32], b: NDArray[np.float32], start: int, stop: int) -> np.float32:
    total = np.float32(0.0)
    for k in range(start, stop):
        step = a[k] - b[k]
        total += step * step
    return total


@kernel(nogil=True)
def _nearest(
    vectors: NDArray[np.float32],
    references: NDArray[np.float32],
    squares: NDArray[np.float32],
    number: NDArray[np.int64],
) -> None:
    dim, count = vectors.shape[1], squares.shape[1]
    for pixel in range(vectors.shape[0]):
        found, far = squares[pixel], number[pixel]
        found[:] = np.inf
        far[:] = -1
        for r in range(references.shape[0]):
            total = np.float32(0.0)
            start = 0
            while start < dim and total < found[count - 1]:
                stop = min(start + STEP, dim)
                total += _squares(vectors[pixel], references[r], start, stop)
                start = stop
            if total < found[count - 1]:
                place = count - 1
                while place > 0 and found[place - 1] > total:
                    found[place] = found[place - 1]
                    far[place] = far[place - 1]
                    place -= 1
                found[place] = total
                far[place] = r


def nearest(
    vectors: NDArray[np.float32], references: NDArray[np.float32], count: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest references of each vector by Euclidean distance, the nearest first; of equal ones, the first.

    Args:
        vectors: (N, K) float32, finite. Sums are given up early, so it is faster if the first dimensions differ most.
        references: (R, K) float32, finite, R at least `count`.
        count: how many to find.

    Returns:
        (N, count) numbers of the references, and (N, count) float32 distances.

    Raises:
        ValueError: shapes disagree, or there are too few references.
    """
    if vectors.shape[1:] != references.shape[1:] or not 1 <= count <= len(references):
        raise ValueError(
            f"{count} of references {references.shape} can't be found for {vectors.shape} vectors"
        )
    vectors, references = (np.ascontiguousarray(each, np.float32) for each in (vectors, references))
    number = np.empty((len(vectors), count), np.int64)
    squares = np.empty((len(vectors), count), np.float32)
    in_shares(lambda share: _nearest(vectors[share], references, squares[share], number[share]), len(vectors))
    return number, np.sqrt(squares)
