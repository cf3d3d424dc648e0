"""The class of many vectors by linear scores of their directions, and how far the second class is behind.

A pixel's scale multiplies its whole vector, so its direction doesn't depend on it: int8 codes are enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.inner import inner
from tessera_kernels.threads import in_shares

MOST_CLASSES = 254

# Sums may be reordered for SIMD. Neither nnan nor ninf: NaN and infinity must stay what they are
REORDERED = {"reassoc", "contract"}


BLOCK = 256
"""Pixels whose scores are compared at a time, class after class and without branches. With one pixel after the other,
most of the time went to branches that the CPU guessed wrongly."""


@kernel(fastmath=REORDERED)
def _product(a: NDArray[Any], b: NDArray[np.float32]) -> np.float32:
    total = np.float32(0.0)
    for k in range(len(b)):
        total += np.float32(a[k]) * b[k]
    return total


@kernel(fastmath=REORDERED)
def _squares(a: NDArray[Any]) -> np.float32:
    total = np.float32(0.0)
    for k in range(len(a)):
        total += np.float32(a[k]) * np.float32(a[k])
    return total


@inner
def _compare(
    number: int,
    scores: NDArray[np.float32],
    best: NDArray[np.float32],
    next_best: NDArray[np.float32],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
) -> None:
    """Let one more class take part. Of equal scores, the first one counts as the larger."""
    for i in range(len(scores)):
        score = scores[i]
        leads = score > best[i]
        follows = score > next_best[i]
        next_best[i] = best[i] if leads else (score if follows else next_best[i])
        second[i] = first[i] if leads else (number if follows else second[i])
        best[i] = score if leads else best[i]
        first[i] = number if leads else first[i]


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
    length = np.empty(BLOCK, np.float32)
    scores, best, next_best = (
        np.empty(BLOCK, np.float32),
        np.empty(BLOCK, np.float32),
        np.empty(BLOCK, np.float32),
    )
    first, second = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
    there = np.empty(BLOCK, np.bool_)
    for start in range(0, len(values), BLOCK):
        count = min(BLOCK, len(values) - start)
        for i in range(count):
            squares = np.float64(_squares(values[start + i]))
            there[i] = np.isfinite(known[start + i]) and np.isfinite(squares)
            # A vector of zeros has no direction: its scores are the biases
            length[i] = np.float32(1.0 / np.sqrt(squares)) if squares > 0.0 else np.float32(0.0)
            best[i] = next_best[i] = -np.inf
            first[i] = second[i] = 0
        for c in range(len(weights)):
            for i in range(count):
                scores[i] = _product(values[start + i], weights[c]) * length[i] + bias[c]
            _compare(c, scores[:count], best, next_best, first, second)
        for i in range(count):
            margin = np.float32(0.0)
            if len(weights) > 1:
                margin = (best[i] - next_best[i]) * sure[first[i], second[i]]
            out[start + i, 0] = numbers[first[i]] if there[i] else 0
            level = np.rint(margin * np.float32(255.0))
            out[start + i, 1] = np.uint8(min(max(level, 0.0), 255.0)) if there[i] else 0


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
