"""Embeddings whose codes are easy to get wrong: ties, divisions that round, zeros, the smallest and the largest numbers."""

from __future__ import annotations

import numpy as np

DIMS = 128
SCALE = np.float32(1e-12)
"""Smallest scale of v2."""


def ties(power):
    """Halves of a scale that is a power of two, in either sign: each quotient lies exactly between two codes."""
    halves = np.arange(DIMS // 2, dtype=np.float32) + np.float32(0.5)
    row = np.stack([halves, -halves], axis=1).reshape(-1)
    row[-2:] = 127, -126.5
    return row * np.float32(2.0) ** power


def rounded_divisions(seed):
    """Values whose float32 quotient by the scale lies exactly between two codes, though the true one does not.

    Only a division that rounds to the nearest float32 gives these codes: one in float64, a product with the scale's
    reciprocal, or an approximate division round some of them to the other code.
    """
    random = np.random.default_rng(seed)
    while True:
        largest = np.float32(random.uniform(0.5, 9))
        scale = np.float32(largest / np.float32(127))
        halves = np.arange(126, dtype=np.float32) + np.float32(0.5)
        near = (halves * scale).astype(np.float32)
        found = []
        for steps in range(-2, 3):
            value = near.copy()
            for _ in range(abs(steps)):
                value = np.nextafter(value, np.float32(np.sign(steps) * np.inf))
            exact = value.astype(np.float64) / np.float64(scale)
            found += list(value[(value / scale == halves) & (np.rint(exact) != np.rint(halves))])
        if len(found) >= 8:
            row = np.resize(np.array(found, np.float32), DIMS)
            row[1::2] *= -1
            row[0] = largest
            return row


def hard_embeddings():
    """(N, 128) float32, all finite."""
    tiny = np.nextafter(np.float32(0), np.float32(1))
    random = np.random.default_rng(0).standard_normal((4, DIMS)).astype(np.float32)
    alone = np.zeros((4, DIMS), np.float32)
    alone[0, -1], alone[1, -1], alone[2, 15], alone[3, 16] = 3.5, -3.5, 2, 2
    last = random.copy()
    last[:, -1] = -9, 9, 0, -0.0
    beyond = random.copy()  # the largest value lies behind every prefix that is shorter
    beyond[:, 16], beyond[:, 32], beyond[:, 64] = 20, -40, 80
    return np.concatenate(
        [
            [ties(power) for power in (-5, 0, 3, -30)],
            [rounded_divisions(seed) for seed in range(6)],
            np.zeros((1, DIMS), np.float32),
            np.full((1, DIMS), -0.0, np.float32),
            np.full((1, DIMS), tiny),
            np.resize(np.array([tiny, -tiny, 1e-39, -1e-40, 0], np.float32), (1, DIMS)),
            # About the smallest scale: below it, at it, and above
            np.resize(SCALE * np.array([0.5, -0.5, 1.5, 2.5, 127, -126.5], np.float32), (1, DIMS)),
            np.resize(SCALE * np.array([128, 63.5, -64.5], np.float32), (1, DIMS)),
            np.resize(np.array([3e38, -3e38, 1, 0], np.float32), (1, DIMS)),  # their sum is no float32
            alone,
            last,
            beyond,
        ]
    ).astype(np.float32)


def spoiled_embeddings():
    """(N, 128) float32: the rows after the first each have a value that isn't finite."""
    rows = np.ones((7, DIMS), np.float32)
    for row, (column, value) in enumerate(
        [(0, np.nan), (127, np.nan), (0, np.inf), (5, -np.inf), (127, np.inf), (100, -np.inf)], 1
    ):
        rows[row, column] = value
    return rows
