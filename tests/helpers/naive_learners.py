"""Plain twins of the kernels that score, walk trees, look for neighbours and look around."""

from __future__ import annotations

import numpy as np


def naive_linear(x, weights, bias):
    return np.array(
        [[float(np.dot(w, v)) + b for w, b in zip(weights, bias, strict=True)] for v in x.astype(float)]
    )


def naive_trees(x, trees, outputs):
    """Walk each tree for each vector, one comparison after the other."""
    found = np.zeros((len(x), outputs))
    for n, vector in enumerate(x):
        for tree, root in enumerate(trees.roots[:-1]):
            node = root
            while trees.feature[node] >= 0:
                below = vector[trees.feature[node]] <= trees.threshold[node]
                node = trees.left[node] if below else trees.right[node]
            leaf = trees.values[trees.leaf[node]]
            if len(leaf) == outputs:
                found[n] += leaf
            else:
                found[n, tree % outputs] += leaf[0]
    return found


def naive_nearest(x, references, count):
    distance = np.array([[np.linalg.norm(v - r) for r in references.astype(float)] for v in x.astype(float)])
    order = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(distance, order, axis=1)


def naive_surroundings(embedding, row, col, side):
    """Embedding, mean and standard deviation of the pixels with data in the square around one pixel."""
    reach = side // 2
    around = [
        embedding[r, c]
        for r in range(row - reach, row + reach + 1)
        for c in range(col - reach, col + reach + 1)
        if 0 <= r < embedding.shape[0] and 0 <= c < embedding.shape[1] and np.isfinite(embedding[r, c, 0])
    ]
    return np.concatenate([embedding[row, col], np.mean(around, axis=0), np.std(around, axis=0)])
