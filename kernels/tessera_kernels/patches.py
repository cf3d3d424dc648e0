"""Patches: neighbouring pixels that are alike, each patch with the mean of its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares
from tessera_kernels.vq import square

BAND = 32
"""Rows of pixels that share patches. Bands are fixed, so that patches don't depend on the threads."""


@kernel(nogil=True)
def _grow(
    vectors: NDArray[np.float32],
    valid: NDArray[np.bool_],
    most: np.float32,
    which: NDArray[np.int32],
    sums: NDArray[np.float32],
    means: NDArray[np.float32],
    sizes: NDArray[np.int64],
) -> int:
    """The patches of a band: `which` and `means` are written; gives how many there are."""
    height, width, dim = vectors.shape
    count = 0
    for row in range(height):
        for col in range(width):
            if not valid[row, col]:
                which[row, col] = -1
                continue
            vector = vectors[row, col]
            patch, left, nearest = -1, -1, most
            if col > 0:
                left = which[row, col - 1]
            if left >= 0:
                distance = square(vector, means[left])
                if distance <= nearest:
                    patch, nearest = left, distance
            if row > 0:
                above = which[row - 1, col]
                if above >= 0 and above != left:
                    distance = square(vector, means[above])
                    if distance < nearest or (patch < 0 and distance <= nearest):
                        patch = above
            if patch < 0:
                patch = count
                sizes[patch] = 0
                sums[patch] = 0
                count += 1
            sizes[patch] += 1
            for k in range(dim):
                sums[patch, k] += vector[k]
                means[patch, k] = sums[patch, k] / sizes[patch]
            which[row, col] = patch
    return count


def patches(
    vectors: NDArray[np.float32], valid: NDArray[np.bool_], most: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Join pixels with their left or upper neighbours, from left to right and from top to bottom.

    A pixel joins the nearer one of both neighbours' patches, if the squared distance to the mean of the pixels that are
    in it is at most `most`; otherwise it begins another one. Bands of `BAND` rows don't look at each other.

    Args:
        vectors: (H, W, R) float32, finite where valid.
        valid: (H, W).
        most: largest squared distance.

    Returns:
        (H, W) int32 number of each pixel's patch, -1 where not valid; and (M, R) float32 means.
    """
    height, width, dim = vectors.shape
    which = np.empty((height, width), np.int32)
    rows = range(0, height, BAND)
    found = [np.empty((0, dim), np.float32)] * len(rows)

    def work(share: slice) -> None:
        sums, means = np.empty((2, BAND * width, dim), np.float32)
        sizes = np.empty(BAND * width, np.int64)
        for number in range(len(rows))[share]:
            band = slice(rows[number], rows[number] + BAND)
            count = _grow(vectors[band], valid[band], np.float32(most), which[band], sums, means, sizes)
            found[number] = means[:count].copy()

    in_shares(work, len(rows))
    before = 0
    for row, each in zip(rows, found, strict=True):
        band = which[row : row + BAND]
        band[band >= 0] += before
        before += len(each)
    return which, np.concatenate(found) if found else np.empty((0, dim), np.float32)
