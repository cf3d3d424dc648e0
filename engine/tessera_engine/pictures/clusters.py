"""k-means: clusters of a sample, and the nearest cluster of each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEED = 0
STARTS = 4
"""k-means ends in a local minimum. The best of several starts is kept."""

ROUNDS = 50

POINTS = 5_000
"""Most pixels of a sample that are used; a few clusters need no more."""


def find_centres(sample: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Centres (C, K) of at most `most` clusters of a sample (N, K), N >= 1, by falling number of pixels.

    C is smaller than `most` only if the sample has fewer different values. The same sample gives the same centres.
    """
    random = np.random.default_rng(SEED)
    # Near the origin, float32 keeps more digits of distances
    mean = sample.mean(axis=0)
    points = sample[:: -(-len(sample) // POINTS)] - mean
    best, least = points[:1], np.inf
    for _ in range(STARTS):
        centres, spread = _settle(points, _spread_out(points, most, random))
        if spread < least:
            best, least = centres, spread
    counts = np.bincount(nearest(points, best), minlength=len(best))
    centres = best[np.argsort(-counts, kind="stable")] + mean
    return np.asarray(centres, np.float32)


def nearest(points: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    """(N,) index of the nearest centre (C, K) to each point (N, K)."""
    # Squared distances, less the point's own square, which is the same for all centres. einsum, because such small
    # products take less time than the threads of the linear algebra library wait for each other.
    distances = (centres**2).sum(axis=1) - 2 * np.einsum("nk,ck->nc", points, centres)
    return np.asarray(distances.argmin(axis=1), np.intp)


def _spread_out(points: NDArray[np.float32], most: int, random: np.random.Generator) -> NDArray[np.float32]:
    """First centres by k-means++: points, drawn in proportion to the squared distance to the nearest centre so far."""
    chosen = [points[random.integers(len(points))]]
    squares = ((points - chosen[0]) ** 2).sum(axis=1, dtype=np.float64)
    while len(chosen) < most and squares.any():
        chosen.append(points[random.choice(len(points), p=squares / squares.sum())])
        squares = np.minimum(squares, ((points - chosen[-1]) ** 2).sum(axis=1, dtype=np.float64))
    return np.stack(chosen)


def _settle(points: NDArray[np.float32], centres: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Lloyd's rounds, until no point changes its cluster: the centres, and the sum of squared distances to them."""
    of = np.full(len(points), -1)
    for _ in range(ROUNDS):
        now = nearest(points, centres)
        if (now == of).all():
            break
        of = now
        members = (of == np.arange(len(centres))[:, None]).astype(np.float32)
        counts = members.sum(axis=1)
        # A cluster without points keeps its centre
        centres[counts > 0] = np.einsum("cn,nk->ck", members, points)[counts > 0] / counts[counts > 0, None]
    return centres, float(((points - centres[of]) ** 2).sum(dtype=np.float64))
