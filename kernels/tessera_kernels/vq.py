"""Vector quantisation: a vector is replaced by the nearest of a few words, and the words are a codebook.

Words are learned by k-means: rounds of Lloyd (1982), "Least squares quantization in PCM", after the start of Arthur and
Vassilvitskii (2007), "k-means++". Everything random comes from a seed, each vector's result depends on nothing but the
vector and the words, and sums have one order: so results don't depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares

MOST_WORDS = 256
"""Words of a codebook: their numbers fit into a byte."""

LEVELS = 255
"""Steps between the lowest and the highest value of a dimension, in a packed codebook."""

ROUNDS = 6
"""Of learning. Ten gain 0.0005 of the variance that is explained."""

_TOGETHER = 8
"""Dimensions whose products are added at a time."""

BAND = 32
"""Rows of pixels that are coded one after the other. Bands are fixed, so that numbers don't depend on the threads."""

_LANES = 16
"""Words that are compared at a time."""

# Sums may be reordered for SIMD. Neither nnan nor ninf: NaN and infinity must stay what they are
REORDERED = {"reassoc", "contract"}


class Packed(NamedTuple):
    """A codebook in a byte a value: value = low + step * (high - low) / `LEVELS`.

    Attributes:
        steps: (W, K) uint8.
        ranges: (K, 2) float32, the lowest and the highest value of each dimension.
    """

    steps: NDArray[np.uint8]
    ranges: NDArray[np.float32]


@kernel(nogil=True)
def _first_largest(
    scores: NDArray[np.float32], largest: NDArray[np.float32], where: NDArray[np.int32]
) -> int:
    # For each lane alone first, which the compiler does for all lanes at once
    for lane in range(_LANES):
        largest[lane], where[lane] = scores[lane], 0
    for block in range(1, len(scores) // _LANES):
        part = scores[_LANES * block : _LANES * (block + 1)]
        for lane in range(_LANES):
            larger = part[lane] > largest[lane]
            largest[lane] = part[lane] if larger else largest[lane]
            where[lane] = block if larger else where[lane]
    best = 0
    for lane in range(1, _LANES):
        first = where[lane] < where[best] and largest[lane] == largest[best]
        if first or largest[lane] > largest[best]:
            best = lane
    return int(where[best] * _LANES + best)


@kernel(nogil=True, fastmath={"contract"})
def _nearest(
    vectors: NDArray[np.float32],
    words: NDArray[np.float32],
    halves: NDArray[np.float32],
    found: NDArray[np.uint8],
) -> None:
    count = words.shape[1]
    # Two vectors at a time, so that each word is loaded once for both; the last of an odd number is its own partner.
    # Each score is summed in the order of dimensions, whatever the partner
    one, two = np.empty(count, np.float32), np.empty(count, np.float32)
    largest, where = np.empty(_LANES, np.float32), np.empty(_LANES, np.int32)
    for first in range(0, len(vectors), 2):
        second = min(first + 1, len(vectors) - 1)
        x, y = vectors[first], vectors[second]
        for word in range(count):
            one[word] = -halves[word]
            two[word] = -halves[word]
        for k in range(0, words.shape[0], _TOGETHER):
            a, b, c, d = words[k], words[k + 1], words[k + 2], words[k + 3]
            e, f, g, h = words[k + 4], words[k + 5], words[k + 6], words[k + 7]
            x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
            x4, x5, x6, x7 = x[k + 4], x[k + 5], x[k + 6], x[k + 7]
            y0, y1, y2, y3 = y[k], y[k + 1], y[k + 2], y[k + 3]
            y4, y5, y6, y7 = y[k + 4], y[k + 5], y[k + 6], y[k + 7]
            for word in range(count):
                p, q, r, s = a[word], b[word], c[word], d[word]
                t, u, v, w = e[word], f[word], g[word], h[word]
                one[word] += (x0 * p + x1 * q + x2 * r + x3 * s) + (x4 * t + x5 * u + x6 * v + x7 * w)
                two[word] += (y0 * p + y1 * q + y2 * r + y3 * s) + (y4 * t + y5 * u + y6 * v + y7 * w)
        found[first] = _first_largest(one, largest, where)
        found[second] = _first_largest(two, largest, where)


def nearest(vectors: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The number of the word nearest to each vector, by Euclidean distance; of equal ones the first.

    Args:
        vectors: (N, K) float32, finite.
        words: (W, K) float32, finite, 1 to `MOST_WORDS` words.

    Returns:
        (N,) uint8.

    Raises:
        ValueError: shapes disagree, or there are too many words or none.
    """
    if vectors.ndim != 2 or words.ndim != 2 or vectors.shape[1] != words.shape[1]:
        raise ValueError(f"vectors {vectors.shape} and words {words.shape} don't fit together")
    if not 1 <= len(words) <= MOST_WORDS:
        raise ValueError(f"expected 1 to {MOST_WORDS} words, got {len(words)}")
    # |v - w|2 = |v|2 - 2 (v w - |w|2 / 2): the nearest word has the largest product less half of its square
    halves = ((words.astype(np.float64) ** 2).sum(axis=1) / 2).astype(np.float32)
    missing, more = -words.shape[1] % _TOGETHER, -len(words) % _LANES
    if missing:
        vectors = np.pad(vectors, ((0, 0), (0, missing)))
    if missing or more:
        words = np.pad(words, ((0, more), (0, missing)))
        halves = np.pad(halves, (0, more), constant_values=np.inf)  # which is nearest to nothing
    vectors, turned = np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(words.T, np.float32)
    found = np.empty(len(vectors), np.uint8)
    in_shares(lambda share: _nearest(vectors[share], turned, halves, found[share]), len(vectors))
    return found


@kernel(fastmath=REORDERED)
def _square(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    total = np.float32(0)
    for k in range(len(a)):
        total += (a[k] - b[k]) * (a[k] - b[k])
    return total


@kernel(nogil=True)
def _closer(vectors: NDArray[np.float32], word: NDArray[np.float32], squares: NDArray[np.float32]) -> None:
    for i in range(len(vectors)):
        squares[i] = min(squares[i], _square(vectors[i], word))


@kernel(nogil=True)
def _add(
    vectors: NDArray[np.float32],
    found: NDArray[np.uint8],
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    for i in range(len(vectors)):
        counts[found[i]] += 1
        for k in range(vectors.shape[1]):
            sums[found[i], k] += vectors[i, k]


def learn(
    vectors: NDArray[np.float32], count: int, seed: int = 0, rounds: int = ROUNDS
) -> NDArray[np.float32]:
    """Words for vectors, by k-means.

    A word to which no vector is nearest stays where it is. Where there are fewer different vectors than words, some
    words are equal.

    Args:
        vectors: (N, K) float32, finite, N at least 1.
        count: of words, 1 to `MOST_WORDS`.
        seed: of the random start.
        rounds: of moving each word to the mean of the vectors nearest to it.

    Returns:
        (count, K) float32.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    words = _start(vectors, count, np.random.default_rng(seed))
    for _ in range(rounds):
        sums, counts = np.zeros(words.shape), np.zeros(count, np.int64)
        _add(vectors, nearest(vectors, words), sums, counts)
        used = counts > 0
        words[used] = sums[used] / counts[used, np.newaxis]
    return words


def _start(vectors: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """k-means++: each word is a vector, drawn in proportion to its squared distance from the words before."""
    squares = np.full(len(vectors), np.inf, np.float32)
    words = np.empty((count, vectors.shape[1]), np.float32)
    words[0] = vectors[rng.integers(len(vectors))]
    for word in range(1, count):
        _closer(vectors, words[word - 1], squares)
        sums = np.cumsum(squares, dtype=np.float64)
        drawn = np.searchsorted(sums, rng.random() * sums[-1], side="right")
        words[word] = vectors[min(int(drawn), len(vectors) - 1)]
    return words


@kernel(nogil=True)
def _means(vectors: NDArray[np.float32], found: NDArray[np.uint8], words: NDArray[np.float32]) -> None:
    sums, counts = np.zeros(words.shape), np.zeros(len(words), np.int64)
    _add(vectors, found, sums, counts)
    first = np.argmax(counts > 0)
    for word in range(len(words)):
        used = word if counts[word] > 0 else first
        for k in range(words.shape[1]):
            words[word, k] = sums[used, k] / counts[used]


def means(vectors: NDArray[np.float32], found: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """The mean of the vectors of each word; of a word without any, that of the first one with some.

    Args:
        vectors: (N, K) float32, finite, N at least 1.
        found: (N,) the word of each.
        count: of words.

    Returns:
        (count, K) float32.
    """
    words = np.empty((count, vectors.shape[1]), np.float32)
    _means(np.ascontiguousarray(vectors, np.float32), found, words)
    return words


@kernel(nogil=True, fastmath={"contract"})
def _search(
    left: NDArray[np.float32],
    words: NDArray[np.float32],
    halves: NDArray[np.float32],
    scores: NDArray[np.float32],
    found: NDArray[np.uint8],
) -> None:
    """The word of each codebook, one after the other; `left` becomes what they leave."""
    largest, where = np.empty(_LANES, np.float32), np.empty(_LANES, np.int32)
    count = words.shape[2]
    for stage in range(words.shape[0]):
        for word in range(count):
            scores[word] = -halves[stage, word]
        for k in range(0, words.shape[1], _TOGETHER):
            a, b, c, d = words[stage, k], words[stage, k + 1], words[stage, k + 2], words[stage, k + 3]
            e, f, g, h = words[stage, k + 4], words[stage, k + 5], words[stage, k + 6], words[stage, k + 7]
            x0, x1, x2, x3 = left[k], left[k + 1], left[k + 2], left[k + 3]
            x4, x5, x6, x7 = left[k + 4], left[k + 5], left[k + 6], left[k + 7]
            for word in range(count):
                first = x0 * a[word] + x1 * b[word] + x2 * c[word] + x3 * d[word]
                scores[word] += first + (x4 * e[word] + x5 * f[word] + x6 * g[word] + x7 * h[word])
        best = _first_largest(scores, largest, where)
        found[stage] = best
        for k in range(words.shape[1]):
            left[k] -= words[stage, k, best]


@kernel(nogil=True)
def _code(
    wanted: NDArray[np.float32],
    valid: NDArray[np.bool_],
    words: NDArray[np.float32],
    halves: NDArray[np.float32],
    gain: np.float32,
    numbers: NDArray[np.uint8],
) -> None:
    height, width, dim = wanted.shape
    coded = np.empty((2, width, dim), np.float32)  # of this row and the one above
    left, scores = np.empty(dim, np.float32), np.empty(words.shape[2], np.float32)
    found = np.empty(len(words), np.uint8)
    for row in range(height):
        here, above = coded[row % 2], coded[(row + 1) % 2]
        for col in range(width):
            if not valid[row, col]:
                continue
            vector = wanted[row, col]
            nearest_square, from_row, from_col = np.float32(np.inf), row, col
            if col > 0 and valid[row, col - 1]:
                nearest_square, from_col = _square(vector, here[col - 1]), col - 1
            if row > 0 and valid[row - 1, col]:
                square = _square(vector, above[col])
                if square < nearest_square:
                    nearest_square, from_row, from_col = square, row - 1, col
            # A neighbour that is nearer than the gain is taken, whatever is found
            if nearest_square >= gain:
                left[:] = vector
                _search(left, words, halves, scores, found)
                own = np.float32(0)
                for k in range(dim):
                    own += left[k] * left[k]
                if not nearest_square - gain < own:
                    for stage in range(len(words)):
                        numbers[stage, row, col] = found[stage]
                    for k in range(dim):
                        here[col, k] = vector[k] - left[k]
                    continue
            like = here[from_col] if from_row == row else above[from_col]
            for k in range(dim):
                here[col, k] = like[k]
            for stage in range(len(words)):
                numbers[stage, row, col] = numbers[stage, from_row, from_col]


def code(
    wanted: NDArray[np.float32], valid: NDArray[np.bool_], words: Sequence[NDArray[np.float32]], gain: float
) -> NDArray[np.uint8]:
    """Code pixels by the nearest word of each codebook for what the ones before leave, or as a neighbour is coded.

    From left to right and from top to bottom, in bands of `BAND` rows that don't look at each other. A pixel takes the
    numbers of its left or upper neighbour if the squared distance to what these stand for, less `gain`, is below that
    to what its own numbers would stand for. That takes fewer bytes and less time, and some noise goes.

    Args:
        wanted: (H, W, R) float32, finite where valid.
        valid: (H, W).
        words: (W, R) float32 of each codebook, 1 to `MOST_WORDS` words.
        gain: squared distance that equal numbers are worth.

    Returns:
        (codebooks, H, W) uint8, 0 where not valid.
    """
    dim = wanted.shape[2]
    missing = -dim % _TOGETHER
    turned = np.zeros((len(words), dim + missing, MOST_WORDS), np.float32)
    halves = np.full((len(words), MOST_WORDS), np.inf, np.float32)
    for stage, each in enumerate(words):
        turned[stage, :dim, : len(each)] = each.T
        halves[stage, : len(each)] = (each.astype(np.float64) ** 2).sum(axis=1) / 2
    if missing:
        wanted = np.pad(wanted, ((0, 0), (0, 0), (0, missing)))
    numbers = np.zeros((len(words), *valid.shape), np.uint8)
    rows = range(0, len(valid), BAND)

    def work(share: slice) -> None:
        for row in rows[share]:
            band = slice(row, row + BAND)
            _code(wanted[band], valid[band], turned, halves, np.float32(gain), numbers[:, band])

    in_shares(work, len(rows))
    return numbers


@kernel(nogil=True)
def _group(
    keys: NDArray[np.int64], slots: NDArray[np.int32], which: NDArray[np.int32], firsts: NDArray[np.int32]
) -> int:
    # A hash table: slots hold numbers of groups, and a slot that is taken by another key sends to the next
    count, mask = 0, len(slots) - 1
    for i in range(len(keys)):
        key = keys[i]
        if key < 0:
            which[i] = -1
            continue
        slot = ((key * np.int64(0x9E3779B1)) >> np.int64(12)) & mask
        while slots[slot] >= 0 and keys[firsts[slots[slot]]] != key:
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            slots[slot] = count
            firsts[count] = i
            count += 1
        which[i] = slots[slot]
    return count


def group(keys: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Which of the different keys each one is, in the order in which they come.

    Args:
        keys: (N,) int64; negative ones are in no group.

    Returns:
        (N,) int32 number of the group, -1 for none; and (M,) int32, where each group's first key is.
    """
    slots = np.full(1 << max(1, 2 * len(keys) - 1).bit_length(), -1, np.int32)
    which, firsts = np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
    count = _group(np.ascontiguousarray(keys), slots, which, firsts)
    return which, firsts[:count].copy()


def pack(words: NDArray[np.float32]) -> Packed:
    """Words in a byte a value.

    Args:
        words: (W, K) float32, finite.
    """
    low, high = words.min(axis=0), words.max(axis=0)
    span = high.astype(np.float64) - low
    steps = np.divide(words - low.astype(np.float64), span, out=np.zeros(words.shape), where=span > 0)
    return Packed(np.rint(steps * LEVELS).astype(np.uint8), np.stack([low, high], axis=1))


def unpack(packed: Packed) -> NDArray[np.float32]:
    """(W, K) float32 words of a packed codebook, computed in float64 and rounded once."""
    low, high = packed.ranges.astype(np.float64).T
    words: NDArray[np.float32] = (low + packed.steps / LEVELS * (high - low)).astype(np.float32)
    return words
