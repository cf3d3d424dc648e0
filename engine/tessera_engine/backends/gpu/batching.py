"""Which pixels share a batch on a GPU, and which shapes a runtime is prepared for.

A pixel has two lengths: its numbers of Sentinel-2 and of Sentinel-1 tokens. A batch is as long as its longest pixel in
each. So pixels are divided into groups of similar lengths, first by Sentinel-2, then within these by Sentinel-1. Both
times the division with the lowest cost is taken: the padding tokens plus a fixed cost per batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.scene import S1_BANDS, S2_BANDS

BATCH_COST = 2048
"""Cost of one more batch, about fifty kernel launches, in padding tokens. Not measured: published peak speeds give
1,000 to 2,000 for most pairs of GPU and model, and more for a small model on a large GPU."""

STEP = 32
"""The lengths of profiles are multiples of this, so that the next scene can use the same plans."""

MOST_PROFILES = 4
"""Each profile has a plan of its own, which takes minutes to build."""

WORTH_A_PROFILE = 0.1
"""Least share of all tokens for which a profile of its own is worthwhile."""

Lengths = NDArray[np.int64]


class Shape(NamedTuple):
    """The shape of a rectangular batch: its pixels, and each pixel's tokens in both modalities."""

    pixels: int
    s2: int
    s1: int

    @property
    def tokens(self) -> int:
        """Tokens of all pixels and both modalities, padding included."""
        return self.pixels * (self.s2 + self.s1)

    def holds(self, s2: int, s1: int) -> bool:
        """Whether pixels of these lengths fit."""
        return s2 <= self.s2 and s1 <= self.s1


class Batch(NamedTuple):
    """Pixels that are computed together.

    Attributes:
        pixels: (B,) int64 pixel numbers.
        s2: Sentinel-2 tokens of the longest of them, and with padding of all.
        s1: the same for Sentinel-1.
    """

    pixels: NDArray[np.int64]
    s2: int
    s1: int

    @property
    def shape(self) -> Shape:
        """The batch's shape."""
        return Shape(len(self.pixels), self.s2, self.s1)


def input_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shapes of the model's inputs for a batch."""
    shapes: dict[str, tuple[int, ...]] = {}
    for modality, tokens, bands in (("s2", shape.s2, S2_BANDS), ("s1", shape.s1, S1_BANDS)):
        each = (shape.pixels, tokens)
        shapes |= {
            modality: (*each, len(bands)),
            f"{modality}_doy": each,
            f"{modality}_multiplicity": each,
        }
    return shapes


def plan_batches(s2: Lengths, s1: Lengths, most_pixels: Callable[[int, int], int]) -> list[Batch]:
    """Divide pixels into batches of similar lengths.

    Args:
        s2: (N,) Sentinel-2 tokens of each pixel, at least 1.
        s1: (N,) Sentinel-1 tokens of each pixel, at least 1.
        most_pixels: gives the most pixels of a batch with two given lengths, at least 1. Longer pixels give fewer.

    Returns:
        Batches; each pixel is in one of them. The one with the most tokens comes first: if the memory is enough for it,
        it is enough for all.
    """
    batches = []
    for group in _groups(np.arange(len(s2)), s2):
        for pixels in _groups(group, s1):
            longest = int(s2[pixels].max()), int(s1[pixels].max())
            parts = -(-len(pixels) // most_pixels(*longest))
            # Sorted, so that a part may be shorter than its group; of similar size, so that no part is tiny
            pixels = pixels[np.lexsort((s2[pixels], s1[pixels]))]
            for part in np.array_split(pixels, parts):
                batches.append(Batch(part, int(s2[part].max()), int(s1[part].max())))
    return sorted(batches, key=lambda batch: batch.shape.tokens, reverse=True)


def _groups(pixels: NDArray[np.int64], lengths: Lengths) -> Iterator[NDArray[np.int64]]:
    """Divide pixels into groups by their length, at the lowest cost of padding and batches."""
    own = lengths[pixels]
    values, counts = np.unique(own, return_counts=True)
    if not len(values):
        return
    ends = cut(values, counts)
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        yield pixels[(own >= values[first]) & (own <= values[last - 1])]


def cut(values: NDArray[np.int64], counts: NDArray[np.int64], cost: int = BATCH_COST) -> list[int]:
    """Divide a histogram of lengths into runs at the lowest cost: padding each run to its longest, plus `cost` per run.

    Args:
        values: (D,) lengths, ascending.
        counts: (D,) pixels of each length.
        cost: tokens that each run costs.

    Returns:
        Where each run ends: a run is `values[previous:end]`, and the last end is D.
    """
    before = np.concatenate([[0], np.cumsum(counts)])
    best = np.zeros(len(values) + 1)
    begin = np.zeros(len(values) + 1, np.int64)
    for end in range(1, len(values) + 1):
        # Counts all tokens, not only padding: the pixels' own tokens are the same for every division
        total = best[:end] + (before[end] - before[:end]) * values[end - 1] + cost
        begin[end] = total.argmin()
        best[end] = total[begin[end]]
    ends = [len(values)]
    while begin[ends[-1]] > 0:
        ends.append(int(begin[ends[-1]]))
    return ends[::-1]


def padding(s2: Lengths, s1: Lengths, batches: list[Batch]) -> float:
    """Share of padding in all tokens of both modalities."""
    total = sum(batch.shape.tokens for batch in batches)
    return 1 - float(s2.sum() + s1.sum()) / total


def choose_profiles(s2: Lengths, s1: Lengths, most_tokens: int) -> list[Shape]:
    """Choose the shapes for which a runtime is prepared, from the lengths of a scene's pixels.

    Args:
        s2: (N,) Sentinel-2 tokens of each pixel, at least one pixel.
        s1: (N,) Sentinel-1 tokens of each pixel.
        most_tokens: most tokens of one batch.

    Returns:
        Shapes in ascending length; the last holds every pixel. Each is for batches of at most that many pixels and
        tokens.
    """
    cells = np.stack([-(-s2 // STEP) * STEP, -(-s1 // STEP) * STEP], axis=1)
    found, index = np.unique(cells, axis=0, return_inverse=True)
    share = np.bincount(index.ravel(), weights=s2 + s1) / (s2.sum() + s1.sum())
    heaviest = [i for i in np.argsort(-share) if share[i] >= WORTH_A_PROFILE]
    chosen = {(int(found[i, 0]), int(found[i, 1])) for i in heaviest[: MOST_PROFILES - 1]}
    chosen.add((int(cells[:, 0].max()), int(cells[:, 1].max())))
    return sorted(
        (Shape(max(1, most_tokens // (long + short)), long, short) for long, short in chosen),
        key=lambda shape: shape.s2 + shape.s1,
    )
