"""Plain twins of `tessera_kernels.vq`."""

from __future__ import annotations

import numpy as np


def naive_nearest(vectors, words):
    """(N,) the nearest word of each vector, in float64; of equal ones the first."""
    found = []
    for vector in vectors.astype(np.float64):
        squares = [float(((vector - word) ** 2).sum()) for word in words.astype(np.float64)]
        found.append(squares.index(min(squares)))
    return np.array(found, np.uint8)


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


def naive_like_neighbours(wanted, coded, valid, numbers, gain):
    """The same as `like_neighbours`, on copies, in float64."""
    wanted, coded, numbers = wanted.astype(np.float64), coded.astype(np.float64), numbers.copy()
    height, width = valid.shape
    for row in range(1, height):
        for col in range(width):
            if not valid[row, col]:
                continue
            options = [(float(((wanted[row, col] - coded[row, col]) ** 2).sum()), row, col)]
            for r, c in ((row, col - 1), (row - 1, col)):
                if c >= 0 and valid[r, c]:
                    options.append((float(((wanted[row, col] - coded[r, c]) ** 2).sum()) - gain, r, c))
            _, r, c = min(options, key=lambda option: option[0])  # of equal ones the first
            coded[row, col], numbers[:, row, col] = coded[r, c], numbers[:, r, c]
    return coded, numbers
