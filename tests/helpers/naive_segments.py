"""Plain twins of the kernels that find segments."""

from __future__ import annotations

import numpy as np


def edge(a, b):
    """The edge between two vectors."""
    product = np.linalg.norm(a.astype(float)) * np.linalg.norm(b.astype(float))
    if not product > 0:
        return 255
    cosine = min(max(float(a.astype(float) @ b.astype(float)) / product, -1), 1)
    return round(254 * np.sqrt((1 - cosine) / 2))


def merge(right, down, allowance, least):
    """Segments as sets of pixels, merged edge by edge; (h, w) first pixel of each."""
    height, width = right.shape
    every = []
    for p in range(height * width):
        row, col = divmod(p, width)
        if col + 1 < width and right[row, col] < 255:
            every.append((int(right[row, col]), p, 0, p + 1))
        if row + 1 < height and down[row, col] < 255:
            every.append((int(down[row, col]), p, 1, p + width))
    every.sort()
    segment = {p: p for p in range(height * width)}
    members = {p: [p] for p in segment}
    inside = dict.fromkeys(segment, 0)

    def join(a, b):
        low, high = min(a, b), max(a, b)
        for p in members[high]:
            segment[p] = low
        members[low] += members.pop(high)
        return low

    for weight, p, _, q in every:
        a, b = segment[p], segment[q]
        if a != b and weight <= min(inside[x] + allowance / len(members[x]) for x in (a, b)):
            inside[join(a, b)] = weight
    for _, p, _, q in every:
        a, b = segment[p], segment[q]
        if a != b and min(len(members[a]), len(members[b])) < least:
            join(a, b)
    return np.array([segment[p] for p in range(height * width)], np.int32).reshape(height, width)
