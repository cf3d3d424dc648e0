"""One tile: its embeddings as four numbers a pixel and four codebooks, and back.

embedding = codebook 1[number 1] + ... + codebook 4[number 4]; each codebook holds what the ones before it leave. The
tile and its rounding are those of Keshav (2026), "Per-tile vector quantization for Tessera embedding compression", with
two codebooks (residual vector quantisation). Ours differ in what is near: distances are in units of the noise, see
`noise`. And what is coded are patches: neighbouring pixels that are about as near to each other as the codebooks could
code them, by the mean of each patch. That takes fewer bytes, and noise goes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.vq.learning import Pixels, errors, first_books, fitted
from tessera_engine.machine import give_back_memory
from tessera_engine.scene import Window
from tessera_kernels.axes import turn
from tessera_kernels.patches import BAND, patches
from tessera_kernels.residual import code
from tessera_kernels.vq import Packed, group, unpack

TILE = 512
"""Pixels across. In smaller tiles the codebooks take more bytes than the numbers; in larger ones more is lost."""

WORDS = (255, 256, 256, 256)
"""Of each codebook: as many as a byte can number. The fourth one takes 0.8 bytes a pixel; without it a linear probe
loses 0.3 points more, and 0.4 of common classes."""

NO_DATA = 255
"""Number in the first plane of a pixel without data."""

ALIKE = 3.0
"""How far a pixel of a patch may be from the patch's mean, in mean squared errors of a pixel that is coded alone. With
2 there are 0.3 bytes a pixel more, and a linear probe gains nothing."""

MOST_ALIKE = 0.25
"""The same in variances of the tile: where codebooks explain little, patches don't make it less."""

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
    """Code a tile that is in memory, see `encode_read`."""

    def read(window: Window) -> StoredBlock:
        scales = stored.scales
        return StoredBlock(stored.values[window.slices], None if scales is None else scales[window.slices])

    height, width = stored.values.shape[:2]
    return encode_read(read, Window(0, 0, width, height))


def encode_read(read: Callable[[Window], StoredBlock], tile: Window) -> Tile | None:
    """Code a tile; None where no pixel has data. The same values give the same bytes, with any number of threads.

    Args:
        read: gives a part of the tile; it is called several times for each.
        tile: what `read` calls the tile; at most `TILE` x `TILE` pixels.
    """
    give_back_memory()  # of the tile before
    pixels = Pixels(read, tile)
    if not pixels.valid.any():
        return None
    books = first_books(pixels, WORDS)
    error, spread = errors(pixels, books)
    give_back_memory()  # the C library keeps 40 MB of what the books were learned from
    which, wanted = _patches(pixels, books.matrix, min(ALIKE * error, MOST_ALIKE * spread))
    books = fitted(pixels, books, which, wanted)
    numbers = np.zeros((len(WORDS), *which.shape), np.uint8)
    numbers[0] = NO_DATA
    for plane, found in zip(numbers, code(wanted, books.words), strict=True):
        plane[pixels.valid] = found[which[pixels.valid]]
    return Tile(books.packed, numbers)


def _patches(
    pixels: Pixels, matrix: NDArray[np.float32], most: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The patch of each pixel, and the mean of each patch in the matrix's directions."""
    height, width = pixels.valid.shape
    which = np.empty((height, width), np.int32)
    # As many as there may be: what isn't written takes no memory, and joining strips would take all of it twice
    means, count = np.empty((np.count_nonzero(pixels.valid), matrix.shape[1]), np.float32), 0
    for top in range(0, height, STRIP):
        valid = pixels.valid[top : top + STRIP]
        wanted = np.zeros((*valid.shape, matrix.shape[1]), np.float32)
        for row in range(0, len(valid), BAND):
            here = slice(row, row + BAND)
            some = np.flatnonzero(valid[here]) + (top + row) * width
            wanted[here][valid[here]] = turn(pixels.vectors(some), matrix)
        found, mean = patches(wanted, valid, most)
        which[top : top + STRIP] = np.where(found < 0, -1, found + count)
        means[count : count + len(mean)] = mean
        count += len(mean)
    return which, means[:count]


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
    vectors = every[0][numbers[0].reshape(-1)[firsts]]
    for plane, words in zip(numbers[1:], every[1:], strict=True):
        vectors += words[plane.reshape(-1)[firsts]]
    return Decoded(vectors, which.reshape(valid.shape))
