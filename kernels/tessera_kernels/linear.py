"""The class of many vectors by linear scores of their directions, and how far the second class is behind.

A pixel's scale multiplies its whole vector, so its direction doesn't depend on it: int8 codes are enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares

MOST_CLASSES = 254

# Sums may be reordered for SIMD. Neither nnan nor ninf: NaN and infinity must stay what they are
REORDERED = {"reassoc", "contract"}


@kernel(fastmath=REORDERED)
def _product(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    total = np.float32(0.0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@kernel(nogil=True)
def _classify(
    values: NDArray[Any],
    known: NDArray[np.float32],
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    sure: NDArray[np.float32],
    numbers: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    vector = np.empty(values.shape[1], np.float32)
    for pixel in range(values.shape[0]):
        out[pixel, 0] = 0
        out[pixel, 1] = 0
        if not np.isfinite(known[pixel]):
            continue
        for k in range(len(vector)):
            vector[k] = values[pixel, k]
        squares = np.float64(_product(vector, vector))
        if not np.isfinite(squares):
            continue
        # A vector of zeros has no direction: its scores are the biases
        length = np.float32(1.0 / np.sqrt(squares)) if squares > 0.0 else np.float32(0.0)
        first = 0
        second = 0
        best = np.float32(-np.inf)
        next_best = np.float32(-np.inf)
        for c in range(weights.shape[0]):
            score = _product(vector, weights[c]) * length + bias[c]
            if score > best:
                next_best = best
                second = first
                best = score
                first = c
            elif score > next_best:
                next_best = score
                second = c
        out[pixel, 0] = numbers[first]
        if weights.shape[0] > 1:
            margin = (best - next_best) * sure[first, second]
            out[pixel, 1] = np.uint8(min(max(np.rint(margin * np.float32(255.0)), 0.0), 255.0))


def classify(
    values: NDArray[Any],
    known: NDArray[np.float32],
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    sure: NDArray[np.float32],
    numbers: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """The class with the largest score of each vector, and the margin to the second.

    The score of class c is weights[c] . v / |v| + bias[c].

    Args:
        values: (N, K) int8 codes or float32, C-contiguous; may be mapped from a file.
        known: (N,) float32, not finite for pixels without data.
        weights: (C, K) float32, C at least 1.
        bias: (C,) float32.
        sure: (C, C) float32: the factor of the difference between the scores of the first and the second class that
            makes a margin of 1.
        numbers: (C,) uint8, what stands for each class in the result.

    Returns:
        (N, 2) uint8: the class's number, 0 where there is no data; and the margin, from 0 for a tie, or where there is
        only one class, to 255 for 1 or more.

    Raises:
        ValueError: shapes disagree, or there is no class.
    """
    classes, dim = weights.shape
    shapes = (values.shape[1:], known.shape, bias.shape, sure.shape, numbers.shape)
    if shapes != ((dim,), values.shape[:1], (classes,), (classes, classes), (classes,)):
        raise ValueError(f"{shapes} don't fit {values.shape} values and {weights.shape} weights")
    if not 1 <= classes <= MOST_CLASSES:
        raise ValueError(f"{classes} classes, expected 1 to {MOST_CLASSES}")
    values, known = np.ascontiguousarray(values), np.ascontiguousarray(known)
    weights, bias, sure = (np.ascontiguousarray(each, np.float32) for each in (weights, bias, sure))
    out = np.empty((len(values), 2), np.uint8)
    in_shares(
        lambda share: _classify(values[share], known[share], weights, bias, sure, numbers, out[share]),
        len(out),
    )
    return out
