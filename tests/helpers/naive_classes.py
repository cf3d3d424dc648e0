"""The plain twin of the kernel that gives vectors their classes."""

from __future__ import annotations

import numpy as np


def naive_scores(values, weights, bias):
    """(N, C) float64 scores; NaN for a vector with NaN."""
    values = np.asarray(values, np.float64)
    scores = np.empty((len(values), len(weights)))
    for i, vector in enumerate(values):
        length = np.sqrt((vector**2).sum())
        direction = vector / length if 0 < length < np.inf else vector
        for c, weight in enumerate(np.asarray(weights, np.float64)):
            scores[i, c] = (direction * weight).sum() + float(bias[c])
    return scores


def naive_classify(values, known, weights, bias, sure, numbers):
    """(N, 2): number of the class and margin 0..255, not rounded; (N,) the difference of the two best scores."""
    scores = naive_scores(values, weights, bias)
    found, gap = np.zeros((len(values), 2)), np.full(len(values), np.inf)
    for i, row in enumerate(scores):
        if not np.isfinite(known[i]) or not np.isfinite(np.asarray(values[i], np.float64)).all():
            continue
        order = np.argsort(-row, kind="stable")
        found[i, 0] = numbers[order[0]]
        if len(row) > 1:
            gap[i] = row[order[0]] - row[order[1]]
            found[i, 1] = np.clip(gap[i] * sure[order[0], order[1]], 0, 1) * 255
    return found, gap
