"""Random pixels of each class of a map, in memory that doesn't depend on the map's size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.class_map import ClassMap


def draw_pixels(
    of: ClassMap, points: Mapping[int, int], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw pixels of each class at random, each pixel of a class with the same probability and none twice.

    Args:
        of: the map.
        points: how many of each class, by its value; not more than it has pixels.
        seed: the same seed draws the same pixels.

    Returns:
        (N,) values, columns and rows, in random order: the first ones are a sample too.
    """
    generator = np.random.default_rng(seed)
    # The pixels of a class are numbered row by row
    wanted = {
        value: np.sort(generator.choice(of.pixels[value], count, replace=False))
        for value, count in points.items()
    }
    passed = dict.fromkeys(wanted, 0)
    found = []
    for window, values, there in of.strips():
        flat = np.where(there, values, -1).reshape(-1)
        for value, numbers in wanted.items():
            here = np.flatnonzero(flat == value)
            first, last = np.searchsorted(numbers, [passed[value], passed[value] + len(here)])
            pixels = here[numbers[first:last] - passed[value]]
            rows, cols = np.divmod(pixels, window.width)
            found.append(np.stack([np.full(len(pixels), value), cols + window.col, rows + window.row]))
            passed[value] += len(here)
    # By class first, so that the size of the strips has no influence on the order
    drawn = np.concatenate(found, axis=1)
    drawn = drawn[:, np.lexsort((drawn[1], drawn[2], drawn[0]))]
    value, col, row = drawn[:, generator.permutation(drawn.shape[1])]
    return value, col, row
