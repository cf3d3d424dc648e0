"""One tile: its embeddings as two numbers a pixel and two codebooks, and back.

embedding = first codebook[first number] + second codebook[second number]; the second codebook holds what the first one
leaves. Sizes and rounding are those of Keshav (2026), "Per-tile vector quantization for Tessera embedding compression",
which calls it residual vector quantisation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_kernels.vq import Packed, learn, nearest, pack, unpack

TILE = 512
"""Pixels across. In smaller tiles the codebooks take more bytes than the numbers; in larger ones more is lost."""

WORDS = (255, 256)
"""Of the first codebook and of the second: as many as a byte can number. With 20 words first, as tessera-vq has them, a
pixel takes 0.6 bytes less, and a linear probe loses 4.5 points instead of 3.1 (docs/lossy.md)."""

MOST_DISTINCT = WORDS[0] * WORDS[1]
"""Sums of a word of each codebook."""

NO_DATA = 255
"""Number in the first plane of a pixel without data."""

SAMPLE = 8192
"""Pixels of a tile that codebooks are learned from, at most. Twice as many gain 0.001 of the variance."""

STRIP = 32_768
"""Pixels whose float32 values are in memory at a time."""


def bytes_per_pixel(dim: int) -> float:
    """Of a whole tile: two numbers a pixel, and its share of the codebooks; before compression."""
    words, ranges = sum(WORDS) * dim, len(WORDS) * dim * 2 * 4
    return 2 + (words + ranges) / TILE**2


class Tile(NamedTuple):
    """A tile as it is stored.

    Attributes:
        books: the two codebooks.
        numbers: (2, height, width) uint8; the first is `NO_DATA` where there is no data, and the second 0.
    """

    books: tuple[Packed, Packed]
    numbers: NDArray[np.uint8]


def encode(stored: StoredBlock) -> Tile | None:
    """Code a tile; None where no pixel has data. The same values give the same bytes, with any number of threads.

    Args:
        stored: at most `TILE` x `TILE` pixels.
    """
    height, width, dim = stored.values.shape
    values = stored.values.reshape(-1, dim)
    scales = None if stored.scales is None else stored.scales.reshape(-1)
    valid = np.flatnonzero(np.isfinite(values).all(axis=1) if scales is None else np.isfinite(scales))
    if not len(valid):
        return None

    def vectors(pixels: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = values[pixels].astype(np.float32)
        return found if scales is None else found * scales[pixels, np.newaxis]

    drawn = np.random.default_rng(0).permutation(len(valid))[:SAMPLE]
    left = vectors(valid[np.sort(drawn)])
    books, words = [], []
    for seed, count in enumerate(WORDS):
        books.append(pack(learn(left, count, seed)))
        words.append(unpack(books[-1]))
        left = left - words[-1][nearest(left, words[-1])]
    numbers = np.zeros((2, height * width), np.uint8)
    numbers[0] = NO_DATA
    for start in range(0, len(valid), STRIP):
        pixels = valid[start : start + STRIP]
        left = vectors(pixels)
        numbers[0, pixels] = nearest(left, words[0])
        left -= words[0][numbers[0, pixels]]
        numbers[1, pixels] = nearest(left, words[1])
    return Tile((books[0], books[1]), numbers.reshape(2, height, width))


class Decoded(NamedTuple):
    """A part of a tile, read back.

    Attributes:
        vectors: (M, K) float32, the different embeddings in it.
        which: (height, width) int32, the number of each pixel's embedding; -1 = no data.
    """

    vectors: NDArray[np.float32]
    which: NDArray[np.int32]


def decode(books: tuple[Packed, Packed], numbers: NDArray[np.uint8], dim: int) -> Decoded:
    """Read a part of a tile back.

    Args:
        books: of the tile.
        numbers: (2, height, width) of the part.
        dim: dimensions to read, the first ones.

    Raises:
        ValueError: a number is larger than its codebook.
    """
    first, second = (unpack(Packed(book.steps[:, :dim], book.ranges[:dim])) for book in books)
    valid = numbers[0] != NO_DATA
    for plane, words in zip(numbers, (first, second), strict=True):
        largest = int(plane[valid].max(initial=0))
        if largest >= len(words):
            raise ValueError(f"a pixel has word {largest} of a codebook of {len(words)}")
    # Few of the 5,120 sums occur in a window, and each in many pixels
    pairs = numbers[0].astype(np.int32) * len(second) + numbers[1]
    counts = np.bincount(pairs[valid], minlength=len(first) * len(second))
    used = np.flatnonzero(counts)
    order = np.full(len(counts), -1, np.int32)
    order[used] = np.arange(len(used), dtype=np.int32)
    which = np.full(valid.shape, -1, np.int32)
    which[valid] = order[pairs[valid]]
    return Decoded(first[used // len(second)] + second[used % len(second)], which)
