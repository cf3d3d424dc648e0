"""Plain twins of `tessera_kernels.vq`."""

from __future__ import annotations

from itertools import accumulate

import numpy as np


def naive_nearest(vectors, words):
    """(N,) the nearest word of each vector, in float64; of equal ones the first."""
    found = []
    for vector in vectors.astype(np.float64):
        squares = [float(((vector - word) ** 2).sum()) for word in words.astype(np.float64)]
        found.append(squares.index(min(squares)))
    return np.array(found, np.uint8)


def naive_start(vectors, count, rng):
    """(count, K) vectors, each drawn in proportion to its squared distance from the nearest one drawn before."""
    words = [vectors[rng.integers(len(vectors))]]
    while len(words) < count:
        squares = [min(float(((vector - word) ** 2).sum()) for word in words) for vector in vectors]
        wanted = rng.random() * sum(squares)
        larger = (i for i, total in enumerate(accumulate(squares)) if total > wanted)
        words.append(vectors[next(larger, len(vectors) - 1)])
    return np.array(words)


def naive_unpack(steps, ranges):
    """(W, K) words: low + step / 255 * (high - low)."""
    words = np.empty(steps.shape, np.float32)
    for word, row in enumerate(steps.tolist()):
        for k, step in enumerate(row):
            low, high = (float(bound) for bound in ranges[k])
            words[word, k] = low + step / 255 * (high - low)
    return words


def naive_group(keys):
    """(N,) which of the different keys each is, in the order in which they come, -1 for negative; where each is first."""
    firsts, which = {}, []
    for i, key in enumerate(keys.tolist()):
        if key >= 0:
            firsts.setdefault(key, i)
        which.append(list(firsts).index(key) if key >= 0 else -1)
    return which, list(firsts.values())


def naive_code(vectors, words, beam):
    """(codebooks, N) as `code` gives it, in float64: of all sums of the kept ones and a word, the nearest are kept."""
    found = []
    for vector in vectors.astype(np.float64):
        kept = [((), np.zeros_like(vector))]
        for each in words:
            longer = [((*path, i), total + word) for path, total in kept for i, word in enumerate(each)]
            kept = sorted(longer, key=lambda sum_: float(((vector - sum_[1]) ** 2).sum()))[:beam]
        found.append(kept[0][0])
    return np.array(found, np.uint8).T


def naive_patches(vectors, valid, most, band):
    """Patches as `patches` gives them, in float64."""
    height, width = valid.shape
    which, members = np.full((height, width), -1), []
    for row in range(height):
        for col in range(width):
            if not valid[row, col]:
                continue
            vector, options = vectors[row, col].astype(np.float64), []
            for r, c in ((row, col - 1), (row - 1, col)):
                if c >= 0 and r >= row - row % band and valid[r, c]:
                    mean = np.mean(members[which[r, c]], axis=0)
                    options.append((float(((vector - mean) ** 2).sum()), which[r, c]))
            square, patch = min(options, default=(np.inf, -1), key=lambda option: option[0])
            if square > most:
                patch = len(members)
                members.append([])
            members[patch].append(vector)
            which[row, col] = patch
    return which, np.array([np.mean(each, axis=0) for each in members])
