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


def naive_code(wanted, valid, words, gain, band):
    """(codebooks, H, W) as `code` gives it, in float64."""
    height, width = valid.shape
    numbers, coded = np.zeros((len(words), height, width), np.uint8), np.zeros(wanted.shape)
    for row in range(height):
        for col in range(width):
            if not valid[row, col]:
                continue
            vector, own = wanted[row, col].astype(np.float64), []
            left = vector.copy()
            for each in words:
                own.append(naive_nearest(left[np.newaxis], each)[0])
                left -= each[own[-1]]
            options = [(float((left**2).sum()), own, vector - left)]
            for r, c in ((row, col - 1), (row - 1, col)):
                if c >= 0 and r >= row - row % band and valid[r, c]:
                    square = float(((vector - coded[r, c]) ** 2).sum()) - gain
                    options.append((square, numbers[:, r, c], coded[r, c]))
            _, numbers[:, row, col], coded[row, col] = min(options, key=lambda option: option[0])
    return numbers
