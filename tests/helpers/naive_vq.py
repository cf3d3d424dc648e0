"""Plain twins of `tessera_kernels.vq`."""

from __future__ import annotations

import numpy as np


def naive_nearest(vectors, words):
    """(N,) the nearest word of each vector, in float64; of equal ones the first."""
    found = []
    for vector in vectors.astype(np.float64):
        squares = [float(((vector - word) ** 2).sum()) for word in words.astype(np.float64)]
        found.append(squares.index(min(squares)))
    return np.array(found, np.uint8)


def naive_unpack(steps, ranges):
    """(W, K) words: low + step / 255 * (high - low)."""
    words = np.empty(steps.shape, np.float32)
    for word, row in enumerate(steps.tolist()):
        for k, step in enumerate(row):
            low, high = (float(bound) for bound in ranges[k])
            words[word, k] = low + step / 255 * (high - low)
    return words
