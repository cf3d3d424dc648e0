"""How far the images of a series lie beside each other, in parts of a pixel, from their texture alone.

Every pair of images is cross-correlated (Guizar-Sicairos et al. 2008, "Efficient subpixel image registration
algorithms", without its transform to frequencies: few shifts are tried, and as matrix products they cost less). The
shifts of the single images follow from all pairs together by least absolute deviations, so pairs without a common
texture, such as a bare field in one and a green one in the other, have no weight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REACH = 4
"""Pixels in each direction in which an image is looked for."""

SIDE = 2 * REACH + 1

STEP = 2
"""Rows of an image from one that is compared to the next: half the work, and still exact to a tenth of a pixel."""

NEIGHBOURHOOD = 12
"""Pixels on each side over which the mean is taken off: the texture is left, not the season of whole fields."""

CLIP = 4.0
"""Standard deviations at which the texture is cut: a house or a ship must not outweigh all fields."""

LEAST_PEAK, FULL_PEAK = 3.0, 23.0
"""Standard deviations by which the correlation of two images stands out: below the first a pair has no weight, and no
more of it beyond the second."""

FITS = 0.75
"""Pixels by which a pair may differ from the shifts of its two images."""

ROUNDS = 30
"""Of least squares with new weights. In practice fewer than ten change anything."""

CLUSTER = 0.4
"""The images that lie closest together, this share of them, define where the series lies."""


@dataclass(frozen=True)
class Shifts:
    """Where T images lie.

    Attributes:
        pixels: (T, 2) float64, rows down and columns to the right by which an image lies beside the series.
        agreement: (T,) float64, the share of an image's pairs, by weight, that its shift explains, 0..1.
        spread: pixels within which `CLUSTER` of the images lie: how well the series fits together.
    """

    pixels: NDArray[np.float64]
    agreement: NDArray[np.float64]
    spread: float


def texture(images: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What an image shows beside its local mean, in standard deviations; 0 where nothing is known.

    Args:
        images: (T, h, w) float32.
        known: (T, h, w) bool, where there is a value.
    """
    found = np.empty(images.shape, np.float32)
    for t in range(len(images)):  # one image at a time: what it takes is large beside the images themselves
        found[t] = _texture(images[t : t + 1], known[t : t + 1])[0]
    return found


def _texture(images: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """See `texture`."""
    weight = known.astype(np.float32)
    local = _box(np.where(known, images, 0)) / np.maximum(_box(weight), 1)
    detail = np.where(known, images - local, 0)
    power = np.sqrt((detail**2).sum(axis=(1, 2)) / np.maximum(weight.sum(axis=(1, 2)), 1))
    detail /= np.maximum(power, 1e-6)[:, None, None]
    return np.clip(detail, -CLIP, CLIP).astype(np.float32)


def correlate(textures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlations of all pairs of images at all shifts within `REACH`.

    Args:
        textures: (F, T, h, w) float32, F textures of each image, with h and w above 2 * `REACH`.

    Returns:
        (SIDE, SIDE, T, T) float32. [REACH + i, REACH + j, t, u] is the sum of products of image t and image u, the
        latter read i rows below and j columns to the right. Only every `STEP`-th row counts.
    """
    dates, height, width = textures.shape[1:]
    found = np.zeros((SIDE, SIDE, dates, dates), np.float32)
    for each in textures:
        middle = np.ascontiguousarray(each[:, REACH : height - REACH : STEP, REACH : width - REACH])
        middle = middle.reshape(dates, -1)
        for i, j in _half():
            moved = each[:, REACH + i : height - REACH + i : STEP, REACH + j : width - REACH + j]
            flat = np.ascontiguousarray(moved).reshape(dates, -1)
            # Not `@`: for matrices of this shape BLAS starts threads, which mostly wait for each other
            found[REACH + i, REACH + j] += np.einsum("tp,up->tu", middle, flat)
    for i, j in _half():
        found[REACH - i, REACH - j] = found[REACH + i, REACH + j].T
    return found


def locate(correlations: NDArray[np.float32]) -> Shifts:
    """Where each image lies, from the correlations of all pairs, which may be sums over several places."""
    offsets, peaks = _peaks(correlations)
    weights = np.clip(peaks - LEAST_PEAK, 0, FULL_PEAK - LEAST_PEAK).astype(np.float64) ** 2
    np.fill_diagonal(weights, 0)
    places, misfit = _solve(offsets, weights)
    total = weights.sum(axis=1)
    agreement = (weights * (misfit < FITS)).sum(axis=1) / np.maximum(total, 1e-9)
    centre, spread = _densest(places[agreement > 0.5] if (agreement > 0.5).any() else places)
    return Shifts(places - centre, agreement, spread)


def difference(correlations: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Of two images: (2,) the rows and columns by which the second lies beside the first, and their correlation there.

    The correlation is a coefficient, -1..1.
    """
    offsets, _ = _peaks(correlations)
    energy = correlations[REACH, REACH, [0, 1], [0, 1]]
    top = correlations[:, :, 0, 1].max()
    return offsets[0, 1], float(top / np.sqrt(max(float(energy[0] * energy[1]), 1e-9)))


def _half() -> Iterable[tuple[int, int]]:
    """One of each pair of opposite shifts."""
    for i in range(REACH + 1):
        for j in range(-REACH, REACH + 1):
            if i or j >= 0:
                yield i, j


def _box(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over `NEIGHBOURHOOD` pixels in all directions, fewer at the edges."""
    for axis in (1, 2):
        length = images.shape[axis]
        ends = np.arange(length)
        start = np.zeros_like(images[:, :1] if axis == 1 else images[:, :, :1])
        total = np.concatenate([start, np.cumsum(images, axis, np.float32)], axis)
        images = np.take(total, np.minimum(ends + NEIGHBOURHOOD + 1, length), axis)
        images -= np.take(total, np.maximum(ends - NEIGHBOURHOOD, 0), axis)
    return images


def _peaks(correlations: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """For each pair the (T, T, 2) shift of the highest correlation, and (T, T) how far that stands out."""
    dates = correlations.shape[2]
    flat = correlations.reshape(SIDE * SIDE, dates * dates)
    surface, pair = flat.reshape(SIDE, SIDE, -1), np.arange(dates * dates)
    row, col = np.divmod(flat.argmax(axis=0), SIDE)
    top = surface[row, col, pair]

    def part(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where between the pixels the parabola through three values is highest."""
        bend = before - 2 * top + after
        offset = 0.5 * (before - after) / np.where(bend < 0, bend, -1)
        return np.clip(np.where(bend < 0, offset, 0), -0.5, 0.5)

    inside = (row > 0) & (row < SIDE - 1) & (col > 0) & (col < SIDE - 1)
    i, j = np.clip(row, 1, SIDE - 2), np.clip(col, 1, SIDE - 2)
    down = row - REACH + part(surface[i - 1, j, pair], surface[i + 1, j, pair])
    right = col - REACH + part(surface[i, j - 1, pair], surface[i, j + 1, pair])

    # The rest of the surface is what chance gives
    rows, cols = (each.reshape(-1, 1) for each in np.mgrid[:SIDE, :SIDE])
    rest = np.maximum(np.abs(rows - row), np.abs(cols - col)) >= 3
    count = rest.sum(axis=0)
    mean = (flat * rest).sum(axis=0) / count
    deviation = np.sqrt((((flat - mean) * rest) ** 2).sum(axis=0) / count)
    stands_out = np.where(inside & (top > 0), (top - mean) / np.maximum(deviation, 1e-9), 0)
    offsets = np.stack([down, right], axis=-1).astype(np.float64).reshape(dates, dates, 2)
    return offsets, stands_out.reshape(dates, dates)


def _solve(
    offsets: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T, 2) places whose differences fit the (T, T, 2) offsets, and (T, T) pixels by which each pair doesn't fit."""
    dates = len(offsets)
    used, places, misfit = weights, np.zeros((dates, 2)), np.zeros((dates, dates))
    for _ in range(ROUNDS):
        before = places
        both = used + used.T
        laplacian = np.diag(both.sum(axis=1) + 1e-6) - both
        pull = (used[..., None] * offsets).sum(axis=0) - (used[..., None] * offsets).sum(axis=1)
        places = np.linalg.solve(laplacian, pull)
        misfit = np.linalg.norm(offsets - (places[None] - places[:, None]), axis=2)
        if np.abs(places - before).max() < 1e-3:
            break
        used = weights / np.maximum(misfit, 0.05)
    return places, misfit


def _densest(places: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The middle of the `CLUSTER` of places that lie closest together, and their distance from it.

    A median would lie between two halves of a series, where no image is.
    """
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    count = max(1, round(CLUSTER * len(places)))
    near = np.sort(apart, axis=1)[:, count - 1]
    first = int(near.argmin())
    members = places[apart[first] <= near[first]]
    centre = np.median(members, axis=0)
    return centre, float(np.sort(np.linalg.norm(places - centre, axis=1))[count - 1])
