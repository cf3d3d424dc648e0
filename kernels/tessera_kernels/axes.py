"""Principal axes, with the same bits whatever libraries and threads a machine has.

By the cyclic method of Jacobi (1846): each rotation makes one element beside the diagonal zero, and those that it makes
larger are smaller than before. LAPACK's result depends on its threads in the last bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares

SWEEPS = 12
"""At most. Eight suffice for 128 dimensions."""

SMALL = 1e-7
"""An element beside the diagonal is left alone if it is so many times smaller than the diagonal's geometric mean."""

_TOGETHER = 4
"""Dimensions whose products are added at a time."""


@kernel(nogil=True)
def _products(
    vectors: NDArray[np.float32], mean: NDArray[np.float64], sums: NDArray[np.float64], first: int, last: int
) -> None:
    """Rows of the upper triangle of the sums of products: the pairs `first` to `last` of a long and a short row."""
    count = vectors.shape[1]
    centred = np.zeros((_TOGETHER, count))
    a, b, c, d = centred[0], centred[1], centred[2], centred[3]
    for i in range(0, len(vectors), _TOGETHER):
        for part in range(_TOGETHER):
            for k in range(count):
                centred[part, k] = vectors[i + part, k] - mean[k] if i + part < len(vectors) else 0.0
        for pair in range(first, last):
            for half in range(1 if 2 * pair == count - 1 else 2):  # of an odd number the middle row is alone
                j = count - 1 - pair if half else pair
                row = sums[j]
                aj, bj, cj, dj = a[j], b[j], c[j], d[j]
                for k in range(j, count):
                    # One after the other, as if the vectors came alone
                    row[k] = (((row[k] + aj * a[k]) + bj * b[k]) + cj * c[k]) + dj * d[k]


@kernel(nogil=True)
def _sweep(matrix: NDArray[np.float64], axes: NDArray[np.float64]) -> int:
    """Rotate each pair of dimensions once; gives the number of rotations."""
    count, rotations = len(matrix), 0
    for p in range(count - 1):
        for q in range(p + 1, count):
            beside = matrix[p, q]
            if abs(beside) <= SMALL * np.sqrt(abs(matrix[p, p] * matrix[q, q])):
                continue
            rotations += 1
            slope = (matrix[q, q] - matrix[p, p]) / (2 * beside)
            tangent = 1 / (abs(slope) + np.sqrt(slope * slope + 1))
            if slope < 0:
                tangent = -tangent
            cosine = 1 / np.sqrt(tangent * tangent + 1)
            sine = tangent * cosine
            for k in range(count):
                a, b = matrix[p, k], matrix[q, k]
                matrix[p, k], matrix[q, k] = cosine * a - sine * b, sine * a + cosine * b
            for k in range(count):
                a, b = matrix[k, p], matrix[k, q]
                matrix[k, p], matrix[k, q] = cosine * a - sine * b, sine * a + cosine * b
            for k in range(count):
                a, b = axes[p, k], axes[q, k]
                axes[p, k], axes[q, k] = cosine * a - sine * b, sine * a + cosine * b
    return rotations


def principal_axes(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances along the principal axes, falling, and the axes.

    Args:
        vectors: (N, K) float32, finite, N at least 1.

    Returns:
        (K,) float64 and (K, K) float64, an axis of length 1 a row.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    count = vectors.shape[1]
    matrix, axes = np.zeros((count, count)), np.eye(count)
    mean = vectors.mean(axis=0, dtype=np.float64)
    in_shares(lambda share: _products(vectors, mean, matrix, share.start, share.stop), (count + 1) // 2)
    matrix = (matrix + np.triu(matrix, 1).T) / len(vectors)
    for _ in range(SWEEPS):
        if not _sweep(matrix, axes):
            break
    order = np.argsort(-matrix.diagonal(), kind="stable")
    return np.maximum(matrix.diagonal()[order], 0.0), axes[order]


@kernel(nogil=True, fastmath={"contract"})
def _turn(vectors: NDArray[np.float32], matrix: NDArray[np.float32], turned: NDArray[np.float32]) -> None:
    count = matrix.shape[1]
    for i in range(len(vectors)):
        x, row = vectors[i], turned[i]
        for r in range(count):
            row[r] = 0
        for k in range(0, matrix.shape[0], _TOGETHER):
            a, b, c, d = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
            x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
            for r in range(count):
                row[r] += x0 * a[r] + x1 * b[r] + x2 * c[r] + x3 * d[r]


def turn(vectors: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply vectors by a matrix, each row with the same bits whatever the other rows and the number of threads.

    Args:
        vectors: (N, K) float32.
        matrix: (K, R) float32.

    Returns:
        (N, R) float32.

    Raises:
        ValueError: shapes disagree.
    """
    if vectors.ndim != 2 or matrix.ndim != 2 or vectors.shape[1] != matrix.shape[0]:
        raise ValueError(f"vectors {vectors.shape} and a matrix {matrix.shape} don't fit together")
    missing = -matrix.shape[0] % _TOGETHER
    if missing:
        vectors, matrix = np.pad(vectors, ((0, 0), (0, missing))), np.pad(matrix, ((0, missing), (0, 0)))
    vectors, matrix = np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(matrix, np.float32)
    turned = np.empty((len(vectors), matrix.shape[1]), np.float32)
    in_shares(lambda share: _turn(vectors[share], matrix, turned[share]), len(vectors))
    return turned
