"""The codebooks of a tile: learned from some of its pixels, and fitted again to what they are used for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.vq.noise import directions
from tessera_engine.scene import Window
from tessera_kernels import residual
from tessera_kernels.axes import turn
from tessera_kernels.patches import BAND
from tessera_kernels.quantize import restore
from tessera_kernels.vq import Packed, learn, means, nearest, pack, unpack

SAMPLE = 8192
"""Pixels of a tile that codebooks are first learned from, at most; and pairs of neighbours in each direction."""

FITTED = 2 * SAMPLE
"""Pixels that they are fitted to, at most. Twice as many gain 0.0005 of the variance that is explained, and a second
round of fitting gains 0.0003."""

ROUNDS = 3
"""Of learning, before the codebooks are fitted together."""


ROWS = BAND
"""Of a tile that are in memory at a time: 8 MB in float32."""


class Pixels:
    """The pixels of a tile, row by row. They are read when they are asked for: a whole tile may take 134 MB.

    Attributes:
        valid: (height, width), where there is data.
    """

    def __init__(self, read: Callable[[Window], StoredBlock], tile: Window) -> None:
        """Find out where there is data.

        Args:
            read: gives a part of the tile.
            tile: what `read` calls it.
        """
        self._read, self._tile = read, tile
        self.valid = np.empty((tile.height, tile.width), bool)
        for top in range(0, tile.height, ROWS):
            stored = self._rows(top)
            self._dim = stored.values.shape[2]
            self.valid[top : top + ROWS] = (
                np.isfinite(stored.values).all(axis=2)
                if stored.scales is None
                else np.isfinite(stored.scales)
            )

    def _rows(self, top: int) -> StoredBlock:
        tile = self._tile
        return self._read(tile._replace(row=tile.row + top, height=min(ROWS, tile.height - top)))

    def vectors(self, pixels: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, K) embeddings of some, whose numbers rise."""
        found = np.empty((len(pixels), self._dim), np.float32)
        first = 0
        for top in range(0, self._tile.height, ROWS):
            begin, last = (
                top * self._tile.width,
                int(np.searchsorted(pixels, (top + ROWS) * self._tile.width)),
            )
            if last > first:
                stored, here = self._rows(top), pixels[first:last] - begin
                values = stored.values.reshape(-1, self._dim)
                if stored.scales is None:
                    found[first:last] = values[here]
                else:
                    found[first:last] = restore(values, stored.scales.reshape(-1), here)
            first = last
        return found

    @cached_property
    def drawn(self) -> NDArray[np.int64]:
        """All pixels with data, in random order."""
        return np.random.default_rng(0).permutation(np.flatnonzero(self.valid))

    def differences(self) -> NDArray[np.float32]:
        """(M, K) between neighbours beside each other and above each other, drawn at random."""
        rng, width = np.random.default_rng(1), self.valid.shape[1]
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
class Books:
    """The codebooks of a tile.

    Attributes:
        matrix: (K, R) float32, see `noise.directions`.
        packed: as they are stored.
    """

    matrix: NDArray[np.float32]
    packed: tuple[Packed, ...]

    @cached_property
    def words(self) -> tuple[NDArray[np.float32], ...]:
        """(W, R) float32 of each, as they are read back, in the matrix's directions."""
        return tuple(turn(unpack(book), self.matrix) for book in self.packed)


def first_books(pixels: Pixels, counts: Sequence[int]) -> Books:
    """Learn codebooks, one after the other: each of what the ones before it leave of single pixels.

    Args:
        pixels: of the tile; some have data.
        counts: words of each codebook.
    """
    left = pixels.vectors(np.sort(pixels.drawn[:SAMPLE]))
    matrix = directions(left, pixels.differences())
    near, books = turn(left, matrix), []
    for seed, count in enumerate(counts):
        # A mean of vectors is brought to the mean of what they are brought to
        found = nearest(near, learn(near, count, seed, ROUNDS))
        books.append(pack(means(left, found, count)))
        read = unpack(books[-1])
        words = turn(read, matrix)
        found = nearest(near, words)
        left, near = left - read[found], near - words[found]
    return Books(matrix, tuple(books))


def errors(pixels: Pixels, books: Books) -> tuple[float, float]:
    """Mean squared distance of a pixel to what it is coded as, and to the mean of all.

    Of other pixels than those that the codebooks are learned from, if there are any: those are nearer.
    """
    drawn = pixels.drawn[SAMPLE : 2 * SAMPLE] if len(pixels.drawn) > SAMPLE else pixels.drawn
    left = turn(pixels.vectors(np.sort(drawn)), books.matrix)
    spread = _mean_square(left - left.mean(axis=0))
    for words in books.words:
        left -= words[nearest(left, words)]
    return _mean_square(left), spread


def fitted(pixels: Pixels, books: Books, which: NDArray[np.int32], wanted: NDArray[np.float32]) -> Books:
    """Fit codebooks to the patches that are coded by them, all together.

    Patches are coded, and each codebook in turn becomes what the others leave of their pixels, on average.

    Args:
        pixels: of the tile.
        books: to begin with.
        which: (height, width) the patch of each pixel.
        wanted: (M, R) float32 mean of each patch, in the matrix's directions.
    """
    drawn = np.sort(pixels.drawn[:FITTED])
    chosen, patch = np.unique(which.reshape(-1)[drawn], return_inverse=True)
    found = residual.code(wanted[chosen], books.words)[:, patch]
    packed, left = list(books.packed), pixels.vectors(drawn)
    for book, numbers in zip(packed, found, strict=True):
        left -= unpack(book)[numbers]
    for stage, numbers in enumerate(found):
        left += unpack(packed[stage])[numbers]
        packed[stage] = pack(means(left, numbers, len(packed[stage].steps)))
        left -= unpack(packed[stage])[numbers]
    return Books(books.matrix, tuple(packed))


def _mean_square(vectors: NDArray[np.float32]) -> float:
    return float(np.square(vectors).sum(axis=1, dtype=np.float64).mean())
