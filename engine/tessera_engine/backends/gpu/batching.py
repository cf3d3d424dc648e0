"""Which pixels share a batch on a GPU, and which shapes its runtime is prepared for.

A pixel has two lengths, and a batch is as long as its longest pixel in either. So pixels are cut into groups of like
lengths, first by Sentinel-2's and within those by Sentinel-1's: both times where it costs least, counting what has to
be filled up and what a further batch costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.scene import S1_BANDS, S2_BANDS

BATCH_COST = 2048
"""Tokens that might as well be filled up as another batch begun, which is some fifty kernel launches. Not measured: for
most pairs of GPU and model 1,000 to 2,000 by published peak speeds, more for a small model on a large GPU."""

STEP = 32
"""Profiles end at multiples of this, so that the plans of one scene serve the next."""

MOST_PROFILES = 4
"""Each is built on its own, which takes minutes."""

WORTH_A_PROFILE = 0.1
"""Share of all tokens that makes a profile worth it."""

Lengths = NDArray[np.int64]


class Shape(NamedTuple):
    """A rectangular batch: pixels, and tokens that each has of either modality."""

    pixels: int
    s2: int
    s1: int

    @property
    def tokens(self) -> int:
        """Of all pixels and both modalities, filling included."""
        return self.pixels * (self.s2 + self.s1)

    def holds(self, s2: int, s1: int) -> bool:
        """Whether pixels of these lengths fit in."""
        return s2 <= self.s2 and s1 <= self.s1


class Batch(NamedTuple):
    """Pixels that are computed together.

    Attributes:
        pixels: (B,) int64 numbers of pixels.
        s2: tokens of the longest of them, and so of all, in Sentinel-2.
        s1: the same in Sentinel-1.
    """

    pixels: NDArray[np.int64]
    s2: int
    s1: int

    @property
    def shape(self) -> Shape:
        """Of its rectangles."""
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
    """Put every pixel into one batch of pixels of like lengths.

    Args:
        s2: (N,) tokens of each pixel, at least 1.
        s1: the same in Sentinel-1.
        most_pixels: how many pixels a batch of two given lengths may have, at least 1; fewer, the longer they are.

    Returns:
        Batches, the one with the most tokens first: memory that suffices for it suffices for all.
    """
    batches = []
    for group in _groups(np.arange(len(s2)), s2):
        for pixels in _groups(group, s1):
            longest = int(s2[pixels].max()), int(s1[pixels].max())
            parts = -(-len(pixels) // most_pixels(*longest))
            # Sorted, so that a part may be shorter than its group; and of like size, so that none is a mere rest
            pixels = pixels[np.lexsort((s2[pixels], s1[pixels]))]
            for part in np.array_split(pixels, parts):
                batches.append(Batch(part, int(s2[part].max()), int(s1[part].max())))
    return sorted(batches, key=lambda batch: batch.shape.tokens, reverse=True)


def _groups(pixels: NDArray[np.int64], lengths: Lengths) -> Iterator[NDArray[np.int64]]:
    """Cut pixels into groups by their length, at the least cost of filling and of batches."""
    own = lengths[pixels]
    values, counts = np.unique(own, return_counts=True)
    if not len(values):
        return
    ends = cut(values, counts)
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        yield pixels[(own >= values[first]) & (own <= values[last - 1])]


def cut(values: NDArray[np.int64], counts: NDArray[np.int64], cost: int = BATCH_COST) -> list[int]:
    """Cut a histogram of lengths into runs, so that filling each up to its longest, and `cost` a run, is least.

    Args:
        values: (D,) lengths, ascending.
        counts: (D,) pixels of each.
        cost: tokens that a further run costs.

    Returns:
        Where each run ends: `values[previous:end]` is one; the last end is D.
    """
    before = np.concatenate([[0], np.cumsum(counts)])
    best = np.zeros(len(values) + 1)
    begin = np.zeros(len(values) + 1, np.int64)
    for end in range(1, len(values) + 1):
        # All tokens and not only the filled ones: those of the pixels themselves are the same however they are cut
        total = best[:end] + (before[end] - before[:end]) * values[end - 1] + cost
        begin[end] = total.argmin()
        best[end] = total[begin[end]]
    ends = [len(values)]
    while begin[ends[-1]] > 0:
        ends.append(int(begin[ends[-1]]))
    return ends[::-1]


def padding(s2: Lengths, s1: Lengths, batches: list[Batch]) -> float:
    """Share of all tokens that are filled up, of both modalities together."""
    total = sum(batch.shape.tokens for batch in batches)
    return 1 - float(s2.sum() + s1.sum()) / total


def choose_profiles(s2: Lengths, s1: Lengths, most_tokens: int) -> list[Shape]:
    """The shapes that a runtime shall be prepared for, from the lengths of a scene's pixels.

    Args:
        s2: (N,) tokens of each pixel, at least one pixel.
        s1: the same in Sentinel-1.
        most_tokens: of one batch.

    Returns:
        Largest shapes, from the one of the shortest tokens to one that holds every pixel. Each may be met by any batch
        with no more pixels and no more tokens.
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
