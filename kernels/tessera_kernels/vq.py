"""Vector quantisation: a vector is replaced by the nearest of a few words, and the words are a codebook.

Words are learned by k-means: rounds of Lloyd (1982), "Least squares quantization in PCM", after the start of Arthur and
Vassilvitskii (2007), "k-means++". Everything random comes from a seed, each vector's result depends on nothing but the
vector and the words, and sums have one order: so results don't depend on the number of threads.
"""

from __future__ import annotations

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

TOGETHER = 8
"""Dimensions whose products are added at a time."""

LANES = 16
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
    for lane in range(LANES):
        largest[lane], where[lane] = scores[lane], 0
    for block in range(1, len(scores) // LANES):
        part = scores[LANES * block : LANES * (block + 1)]
        for lane in range(LANES):
            larger = part[lane] > largest[lane]
            largest[lane] = part[lane] if larger else largest[lane]
            where[lane] = block if larger else where[lane]
    best = 0
    for lane in range(1, LANES):
        first = where[lane] < where[best] and largest[lane] == largest[best]
        if first or largest[lane] > largest[best]:
            best = lane
    return int(where[best] * LANES + best)


@kernel(nogil=True, fastmath={"contract"})
def scores_of_two(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    words: NDArray[np.float32],
    halves: NDArray[np.float32],
    one: NDArray[np.float32],
    two: NDArray[np.float32],
) -> None:
    """Products of two vectors with words, less half of the words' squares: the nearest word has the largest one.

    Two at a time, so that each word is loaded once for both. Each score is summed in the order of dimensions, whatever
    the partner.

    Args:
        x: (K,) a vector; K is a multiple of `TOGETHER`.
        y: (K,) another one, or the same.
        words: (K, W), a dimension a row.
        halves: (W,) half of each word's square.
        one: (W,) float32, written: the scores of `x`.
        two: (W,) float32, written: the scores of `y`.
    """
    count = words.shape[1]
    for word in range(count):
        one[word] = -halves[word]
        two[word] = -halves[word]
    for k in range(0, words.shape[0], TOGETHER):
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


@kernel(nogil=True)
def _nearest(
    vectors: NDArray[np.float32],
    words: NDArray[np.float32],
    halves: NDArray[np.float32],
    found: NDArray[np.uint8],
) -> None:
    count = words.shape[1]
    one, two = np.empty(count, np.float32), np.empty(count, np.float32)
    largest, where = np.empty(LANES, np.float32), np.empty(LANES, np.int32)
    for first in range(0, len(vectors), 2):
        second = min(first + 1, len(vectors) - 1)  # the last of an odd number is its own partner
        scores_of_two(vectors[first], vectors[second], words, halves, one, two)
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
    missing, more = -words.shape[1] % TOGETHER, -len(words) % LANES
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
def square(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Squared distance of two (K,) vectors."""
    total = np.float32(0)
    for k in range(len(a)):
        total += (a[k] - b[k]) * (a[k] - b[k])
    return total


@kernel(nogil=True)
def _draw(vectors: NDArray[np.float32], draws: NDArray[np.float64], words: NDArray[np.float32]) -> None:
    count = len(vectors)
    squares, sums = np.full(count, np.inf, np.float32), np.empty(count)
    for word in range(1, len(words)):
        total = 0.0
        for i in range(count):
            squares[i] = min(squares[i], square(vectors[i], words[word - 1]))
            total += squares[i]
            sums[i] = total
        drawn = np.searchsorted(sums, draws[word - 1] * total, side="right")
        words[word] = vectors[min(drawn, count - 1)]


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
    words = np.empty((count, vectors.shape[1]), np.float32)
    words[0] = vectors[rng.integers(len(vectors))]
    _draw(vectors, rng.random(count - 1), words)
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
