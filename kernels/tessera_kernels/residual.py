"""Residual codebooks: a vector is coded as a sum of words, one of each codebook.

The words of all codebooks are chosen together, by a beam search (Babenko and Lempitsky 2014, "Additive quantization for
extreme vector compression"): after each codebook the few best sums so far are kept. Products of a vector with words and
of words with words are computed once, so that a sum's distance is one addition for each codebook before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.axes import turn
from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares
from tessera_kernels.vq import LANES, MOST_WORDS, TOGETHER, scores_of_two

BEAM = 4
"""Sums that are kept. With 1 a linear probe loses 0.1 to 0.2 points more; 8 gain nothing that can be measured."""


@kernel(nogil=True)
def _largest_of_lanes(values: NDArray[np.float32], largest: NDArray[np.float32]) -> None:
    """Of every `LANES`th value, from each of the first ones; for all lanes at once."""
    for lane in range(LANES):
        largest[lane] = values[lane]
    for first in range(LANES, len(values), LANES):
        for lane in range(LANES):
            value = values[first + lane]
            largest[lane] = value if value > largest[lane] else largest[lane]


@kernel(nogil=True)
def _reached(largest: NDArray[np.float32], count: int) -> np.float32:
    """A value that at least so many reach: the smallest of the largest ones of so many groups of lanes."""
    reached = np.float32(np.inf)
    for group in range(count):
        of_group = np.float32(-np.inf)
        for lane in range(group, LANES, count):
            of_group = largest[lane] if largest[lane] > of_group else of_group
        reached = of_group if of_group < reached else reached
    return reached


@kernel(nogil=True)
def _best_sums(
    products: NDArray[np.float32],
    tables: NDArray[np.float32],
    scores: NDArray[np.float32],
    paths: NDArray[np.int64],
    row: NDArray[np.float32],
    largest: NDArray[np.float32],
) -> int:
    """Search the codebooks one after the other.

    The score of a sum is its product with the vector, less half of its square: the largest is nearest.

    Args:
        products: (S, W) scores of the words of each codebook alone.
        tables: (S, S, W, W) products of the words of an earlier codebook with those of a later one.
        scores: (2, B) to work in.
        paths: (2, B, S) to work in.
        row: (W,) to work in.
        largest: (LANES,) to work in.

    Returns:
        Which half of `paths` has the best sums, the best one first.
    """
    stages, beam = products.shape[0], scores.shape[1]
    old, kept = 0, 1
    scores[old, 0] = 0
    for stage in range(stages):
        new, found = 1 - old, 0
        best, longer, alone = scores[new], paths[new], products[stage]
        best[:] = -np.inf
        least = np.float32(-np.inf)
        for before in range(kept):
            score = scores[old, before]
            for word in range(len(row)):
                row[word] = score + alone[word]
            for earlier in range(stage):
                shared = tables[earlier, stage, paths[old, before, earlier]]
                for word in range(len(row)):
                    row[word] -= shared[word]
            _largest_of_lanes(row, largest)
            if before == 0:
                least = _reached(largest, beam)
            for lane in range(LANES):
                if largest[lane] < least:
                    continue
                for word in range(lane, len(row), LANES):
                    value = row[word]
                    if value < least or not value > best[beam - 1]:
                        continue
                    place = beam - 1
                    while place > 0 and best[place - 1] < value:
                        best[place] = best[place - 1]
                        for each in range(stage + 1):
                            longer[place, each] = longer[place - 1, each]
                        place -= 1
                    best[place] = value
                    for each in range(stage):
                        longer[place, each] = paths[old, before, each]
                    longer[place, stage] = word
                    found = min(found + 1, beam)
            least = max(least, best[beam - 1])
        old, kept = new, found
    return old


@kernel(nogil=True)
def _code(
    vectors: NDArray[np.float32],
    words: NDArray[np.float32],
    halves: NDArray[np.float32],
    tables: NDArray[np.float32],
    beam: int,
    found: NDArray[np.uint8],
) -> None:
    stages, _, count = words.shape
    products = np.empty((2, stages, count), np.float32)
    scores, row = np.empty((2, beam), np.float32), np.empty(count, np.float32)
    largest = np.empty(LANES, np.float32)
    paths = np.zeros((2, beam, stages), np.int64)
    for first in range(0, len(vectors), 2):
        second = min(first + 1, len(vectors) - 1)
        for stage in range(stages):
            one, two = products[0, stage], products[1, stage]
            scores_of_two(vectors[first], vectors[second], words[stage], halves[stage], one, two)
        for number in range(first, second + 1):
            best = _best_sums(products[number - first], tables, scores, paths, row, largest)
            for stage in range(stages):
                found[stage, number] = paths[best, 0, stage]


def code(
    vectors: NDArray[np.float32], words: Sequence[NDArray[np.float32]], beam: int = BEAM
) -> NDArray[np.uint8]:
    """Code vectors by sums of words, one of each codebook.

    The search keeps the `beam` best sums of the first codebook, then of the first two, and so on; of equally near
    sums always the same ones. Each vector's result depends on nothing but the vector and the words.

    Args:
        vectors: (N, R) float32, finite.
        words: (W, R) float32 of each codebook, 1 to `MOST_WORDS` words.
        beam: sums that are kept.

    Returns:
        (codebooks, N) uint8.
    """
    dim, stages = vectors.shape[1], len(words)
    missing = -dim % TOGETHER
    rows = np.zeros((stages, MOST_WORDS, dim + missing), np.float32)
    halves = np.full((stages, MOST_WORDS), np.inf, np.float32)  # what isn't a word is nearest to nothing
    for stage, each in enumerate(words):
        rows[stage, : len(each), :dim] = each
        halves[stage, : len(each)] = (each.astype(np.float64) ** 2).sum(axis=1) / 2
    turned = np.ascontiguousarray(rows.transpose(0, 2, 1))
    tables = np.zeros((stages, stages, MOST_WORDS, MOST_WORDS), np.float32)
    for later in range(stages):
        for earlier in range(later):
            tables[earlier, later] = turn(rows[earlier], turned[later])
    if missing:
        vectors = np.pad(vectors, ((0, 0), (0, missing)))
    vectors = np.ascontiguousarray(vectors, np.float32)
    found = np.empty((stages, len(vectors)), np.uint8)
    in_shares(
        lambda share: _code(vectors[share], turned, halves, tables, beam, found[:, share]), len(vectors)
    )
    return found
