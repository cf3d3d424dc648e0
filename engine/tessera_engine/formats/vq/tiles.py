"""One tile: its embeddings as four numbers a pixel and four codebooks, and back.

embedding = codebook 1[number 1] + ... + codebook 4[number 4]; each codebook holds what the ones before it leave. The
tile and its rounding are those of Keshav (2026), "Per-tile vector quantization for Tessera embedding compression", with
two codebooks (residual vector quantisation). Ours differ in what is near: distances are in units of the noise, see
`noise`, and a pixel takes its neighbour's numbers where these are nearly as near.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.vq.noise import directions
from tessera_kernels.axes import turn
from tessera_kernels.vq import BAND, Packed, code, group, learn, means, nearest, pack, unpack

TILE = 512
"""Pixels across. In smaller tiles the codebooks take more bytes than the numbers; in larger ones more is lost."""

WORDS = (255, 256, 256, 256)
"""Of each codebook: as many as a byte can number. The fourth one takes 0.6 bytes a pixel; without it a linear probe
loses 0.2 points more, of common classes too."""

NO_DATA = 255
"""Number in the first plane of a pixel without data."""

SAMPLE = 8192
"""Pixels of a tile that codebooks are learned from, at most; and pairs of neighbours in each direction. Four times as
many gain nothing."""

GAIN = 1.0
"""What a neighbour's numbers are worth, in mean squared errors. A third of the bytes goes, and a linear probe gains 0.3
points: noise goes with them."""

STRIP = 4 * BAND
"""Rows of pixels that are coded at a time, by as many threads as there are bands."""


def bytes_per_pixel(dim: int) -> float:
    """Of a whole tile: a number a pixel and codebook, and its share of the codebooks; before compression."""
    words, ranges = sum(WORDS) * dim, len(WORDS) * dim * 2 * 4
    return len(WORDS) + (words + ranges) / TILE**2


class Tile(NamedTuple):
    """A tile as it is stored.

    Attributes:
        books: the codebooks.
        numbers: (4, height, width) uint8; the first is `NO_DATA` where there is no data, and the others 0.
    """

    books: tuple[Packed, ...]
    numbers: NDArray[np.uint8]


def encode(stored: StoredBlock) -> Tile | None:
    """Code a tile; None where no pixel has data. The same values give the same bytes, with any number of threads.

    Args:
        stored: at most `TILE` x `TILE` pixels.
    """
    pixels = _Pixels(stored)
    if not pixels.valid.any():
        return None
    learned = _learn(pixels)
    height, width = pixels.valid.shape
    numbers = np.empty((len(WORDS), height, width), np.uint8)
    for top in range(0, height, STRIP):
        valid = pixels.valid[top : top + STRIP]
        wanted = np.zeros((*valid.shape, learned.matrix.shape[1]), np.float32)
        for row in range(0, len(valid), BAND):
            here = slice(row, row + BAND)
            some = np.flatnonzero(valid[here]) + (top + row) * width
            wanted[here][valid[here]] = turn(pixels.vectors(some), learned.matrix)
        numbers[:, top : top + STRIP] = code(wanted, valid, learned.words, GAIN * learned.error)
    numbers[0][~pixels.valid] = NO_DATA
    return Tile(learned.books, numbers)


class _Pixels:
    """The pixels of a tile, row by row.

    Attributes:
        valid: (height, width), where there is data.
    """

    def __init__(self, stored: StoredBlock) -> None:
        dim = stored.values.shape[2]
        self._values = stored.values.reshape(-1, dim)
        self._scales = None if stored.scales is None else stored.scales.reshape(-1)
        self.valid = (
            np.isfinite(stored.values).all(axis=2) if stored.scales is None else np.isfinite(stored.scales)
        )

    def vectors(self, pixels: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, K) embeddings of some."""
        found: NDArray[np.float32] = self._values[pixels].astype(np.float32)
        return found if self._scales is None else found * self._scales[pixels, np.newaxis]

    def differences(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """(M, K) between neighbours beside each other and above each other, drawn at random."""
        width = self.valid.shape[1]
        found = []
        for beside, pairs in (
            (1, self.valid[:, :-1] & self.valid[:, 1:]),
            (width, self.valid[:-1] & self.valid[1:]),
        ):
            rows, cols = np.nonzero(pairs)
            drawn = np.sort(rng.permutation(len(rows))[:SAMPLE])
            pixels = rows[drawn] * width + cols[drawn]
            found.append(self.vectors(pixels + beside) - self.vectors(pixels))
        return np.concatenate(found)


@dataclass(frozen=True)
class _Learned:
    """What a tile is coded with.

    Attributes:
        matrix: (K, R) float32, see `noise.directions`.
        books: the codebooks.
        words: (W, R) float32 of each codebook, as they are read back, in these directions.
        error: mean squared distance of a pixel to what it is coded as.
    """

    matrix: NDArray[np.float32]
    books: tuple[Packed, ...]
    words: tuple[NDArray[np.float32], ...]
    error: float


def _learn(pixels: _Pixels) -> _Learned:
    rng = np.random.default_rng(0)
    drawn = rng.permutation(np.flatnonzero(pixels.valid))
    left = pixels.vectors(np.sort(drawn[:SAMPLE]))
    matrix = directions(left, pixels.differences(rng))
    near, books, words = turn(left, matrix), [], []
    for seed, count in enumerate(WORDS):
        # A mean of vectors is brought to the mean of what they are brought to
        found = nearest(near, learn(near, count, seed))
        books.append(pack(means(left, found, count)))
        read = unpack(books[-1])
        words.append(turn(read, matrix))
        found = nearest(near, words[-1])
        left, near = left - read[found], near - words[-1][found]
    # Of other pixels: what the words were learned from is nearer to them
    near = turn(
        pixels.vectors(np.sort(drawn[SAMPLE : SAMPLE + SAMPLE] if len(drawn) > SAMPLE else drawn)), matrix
    )
    for each in words:
        near -= each[nearest(near, each)]
    error = float(np.square(near).sum(axis=1, dtype=np.float64).mean())
    return _Learned(matrix, tuple(books), tuple(words), error)


class Decoded(NamedTuple):
    """A part of a tile, read back.

    Attributes:
        vectors: (M, K) float32, the different embeddings in it.
        which: (height, width) int32, the number of each pixel's embedding; -1 = no data.
    """

    vectors: NDArray[np.float32]
    which: NDArray[np.int32]


def decode(books: Sequence[Packed], numbers: NDArray[np.uint8], dim: int) -> Decoded:
    """Read a part of a tile back.

    Args:
        books: of the tile.
        numbers: (books, height, width) of the part.
        dim: dimensions to read, the first ones.

    Raises:
        ValueError: a number is larger than its codebook.
    """
    valid = numbers[0] != NO_DATA
    every = [unpack(Packed(book.steps[:, :dim], book.ranges[:dim])) for book in books]
    for plane, words in zip(numbers, every, strict=True):
        largest = int(plane[valid].max(initial=0))
        if largest >= len(words):
            raise ValueError(f"a pixel has word {largest} of a codebook of {len(words)}")
    keys = np.zeros(valid.shape, np.int64)
    for plane in numbers:
        keys = keys << 8 | plane
    keys[~valid] = -1
    which, firsts = group(keys.reshape(-1))
    first, *others = (words[plane.reshape(-1)[firsts]] for plane, words in zip(numbers, every, strict=True))
    for other in others:
        first += other
    return Decoded(first, which.reshape(valid.shape))
