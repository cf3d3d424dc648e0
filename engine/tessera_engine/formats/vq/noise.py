"""In which directions embeddings tell places apart: distances in units of the noise between neighbours.

Neighbours are mostly of one field, so what differs between them is mostly noise. Directions with little noise separate
classes, though they may have little variance: plain Euclidean words round them away, and a linear classifier loses most
by that. The transform is that of the minimum noise fraction (Green et al. 1988, "A transformation for ordering
multispectral data in terms of image quality with implications for noise removal").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.axes import principal_axes, turn

DIRECTIONS = 32
"""Directions that are compared, those with most signal. More take time and gain nothing."""

FLOOR = 0.07
"""Noise of every direction, in mean noises: no direction is without. With 0.03 words are spent on directions with
hardly any variance; with 0.3 a class that differs only in a direction of little variance is lost."""


def directions(vectors: NDArray[np.float32], differences: NDArray[np.float32]) -> NDArray[np.float32]:
    """The matrix that brings vectors to at most `DIRECTIONS` directions, in units of the noise.

    Differences across the edges of fields count as noise, too: they show how fields of one class differ. If they are
    left out, a linear probe loses half a point more.

    Args:
        vectors: (N, K) float32, N at least 1.
        differences: (M, K) float32, between neighbours.

    Returns:
        (K, R) float32. Where neighbours don't differ, all directions have the same unit.
    """
    dim = vectors.shape[1]
    noise, axes = np.zeros(dim), np.eye(dim)
    if len(differences):
        noise, axes = principal_axes(differences)
    if not noise.mean() > 0:
        noise, axes = np.ones(dim), np.eye(dim)
    units = (axes / np.sqrt(noise + FLOOR * noise.mean())[:, np.newaxis]).T
    _, chosen = principal_axes(turn(vectors, units.astype(np.float32)))
    # einsum: a linear algebra library may sum in another order with other threads
    matrix: NDArray[np.float32] = np.einsum("kj,rj->kr", units, chosen[:DIRECTIONS]).astype(np.float32)
    return matrix
