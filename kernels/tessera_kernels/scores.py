"""Scores of classes, or estimates of numbers, for many vectors; and what the scores say: the likeliest class.

The probabilities of classes are softmax(scores / temperature). Each vector is computed alone and always in the same
order, so that its result doesn't depend on the strip or the thread that it comes in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares

# Sums may be reordered for SIMD. Neither nnan nor ninf: NaN and infinity must stay what they are
REORDERED = {"reassoc", "contract"}


@kernel(fastmath=REORDERED)
def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    total = np.float32(0.0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@kernel(nogil=True)
def _linear(
    values: NDArray[Any],
    scales: NDArray[np.float32],
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    vector = np.empty(values.shape[1], np.float32)
    for pixel in range(values.shape[0]):
        scale = scales[pixel]
        for k in range(len(vector)):
            vector[k] = np.float32(values[pixel, k]) * scale
        for c in range(weights.shape[0]):
            out[pixel, c] = _dot(vector, weights[c]) + bias[c]


@kernel(nogil=True)
def _network(
    values: NDArray[Any],
    scales: NDArray[np.float32],
    first: NDArray[np.float32],
    first_bias: NDArray[np.float32],
    last: NDArray[np.float32],
    last_bias: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    vector = np.empty(values.shape[1], np.float32)
    hidden = np.empty(first.shape[0], np.float32)
    for pixel in range(values.shape[0]):
        scale = scales[pixel]
        for k in range(len(vector)):
            vector[k] = np.float32(values[pixel, k]) * scale
        for h in range(len(hidden)):
            hidden[h] = max(_dot(vector, first[h]) + first_bias[h], np.float32(0.0))
        for c in range(last.shape[0]):
            out[pixel, c] = _dot(hidden, last[c]) + last_bias[c]


@kernel(nogil=True)
def _most_likely(
    scores: NDArray[np.float32],
    factor: np.float32,
    number: NDArray[np.int64],
    probability: NDArray[np.float32],
) -> None:
    for pixel in range(scores.shape[0]):
        best = 0
        for c in range(1, scores.shape[1]):
            if scores[pixel, c] > scores[pixel, best]:
                best = c
        total = np.float32(0.0)
        for c in range(scores.shape[1]):
            total += np.exp((scores[pixel, c] - scores[pixel, best]) * factor)
        number[pixel] = best
        probability[pixel] = np.float32(1.0) / total


def _checked(
    values: NDArray[Any], scales: NDArray[np.float32] | None
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    scales = np.ones(len(values), np.float32) if scales is None else np.ascontiguousarray(scales, np.float32)
    if values.ndim != 2 or scales.shape != values.shape[:1]:
        raise ValueError(f"scales {scales.shape} don't fit {values.shape} values")
    return np.ascontiguousarray(values), scales


def linear_scores(
    values: NDArray[Any],
    scales: NDArray[np.float32] | None,
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Weights @ (value * scale) + bias.

    Args:
        values: (N, K) int8 codes or float32.
        scales: (N,) float32 of the codes; None: all 1.
        weights: (C, K) float32.
        bias: (C,) float32.

    Returns:
        (N, C) float32.

    Raises:
        ValueError: shapes disagree.
    """
    values, scales = _checked(values, scales)
    if weights.shape != (len(bias), values.shape[1]):
        raise ValueError(f"weights {weights.shape} and bias {bias.shape} don't fit {values.shape} values")
    weights, bias = (np.ascontiguousarray(each, np.float32) for each in (weights, bias))
    out = np.empty((len(values), len(bias)), np.float32)
    in_shares(lambda share: _linear(values[share], scales[share], weights, bias, out[share]), len(out))
    return out


def network_scores(
    values: NDArray[Any],
    scales: NDArray[np.float32] | None,
    first: tuple[NDArray[np.float32], NDArray[np.float32]],
    last: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """A network with one hidden layer: last @ relu(first @ (value * scale) + its bias) + its bias.

    Args:
        values: (N, K) int8 codes or float32.
        scales: (N,) float32 of the codes; None: all 1.
        first: weights (H, K) and bias (H,), float32.
        last: weights (C, H) and bias (C,), float32.

    Returns:
        (N, C) float32.

    Raises:
        ValueError: shapes disagree.
    """
    values, scales = _checked(values, scales)
    hidden, outputs = len(first[1]), len(last[1])
    if first[0].shape != (hidden, values.shape[1]) or last[0].shape != (outputs, hidden):
        raise ValueError(f"layers {first[0].shape} and {last[0].shape} don't fit {values.shape} values")
    # Another layout in memory would be compiled to another order of sums
    w1, b1, w2, b2 = (np.ascontiguousarray(each, np.float32) for each in (*first, *last))
    out = np.empty((len(values), outputs), np.float32)
    in_shares(lambda share: _network(values[share], scales[share], w1, b1, w2, b2, out[share]), len(out))
    return out


def most_likely(
    scores: NDArray[np.float32], temperature: float = 1.0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The class with the largest score of each vector, the first of equal ones, and its probability.

    Args:
        scores: (N, C) float32, C at least 1.
        temperature: more than 0; the larger, the less sure.

    Returns:
        (N,) numbers of classes, and (N,) probabilities, softmax(scores / temperature).
    """
    number, probability = np.empty(len(scores), np.int64), np.empty(len(scores), np.float32)
    factor, scores = np.float32(1 / temperature), np.ascontiguousarray(scores, np.float32)
    in_shares(
        lambda share: _most_likely(scores[share], factor, number[share], probability[share]), len(scores)
    )
    return number, probability


def probabilities(scores: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """(N, C) float32 softmax(scores / temperature) of (N, C) scores."""
    exponents: NDArray[np.float32] = (scores - scores.max(axis=1, keepdims=True)) * np.float32(
        1 / temperature
    )
    np.exp(exponents, out=exponents)
    exponents /= exponents.sum(axis=1, keepdims=True)
    return exponents
