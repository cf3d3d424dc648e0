"""The naive twin of `tessera_kernels.tiles`."""

from __future__ import annotations

import numpy as np


def naive_tiles(offsets, pixels, rows):
    """Longest first, each into the fullest tile that has room; of equally full ones, into the last that was touched."""
    size = rows // 16
    needs = {pixel: -(-(offsets[pixel + 1] - offsets[pixel]) // 16) for pixel in pixels}
    tiles, touched = [], []
    for pixel in sorted(pixels, key=lambda pixel: -needs[pixel]):
        free = [(size - sum(needs[each] for each in tile)) for tile in tiles]
        fitting = [index for index in range(len(tiles)) if free[index] >= needs[pixel] and free[index] < size]
        if fitting:
            least = min(free[index] for index in fitting)
            chosen = max((index for index in fitting if free[index] == least), key=touched.index)
        else:
            tiles.append([])
            chosen = len(tiles) - 1
        tiles[chosen].append(pixel)
        touched = [index for index in touched if index != chosen] + [chosen]
    groups = np.zeros((len(tiles), 3, size), np.int32)
    groups[:, 2] = range(size)
    place = np.full((len(tiles), 16), -1, np.int32)
    for index, tile in enumerate(tiles):
        at = 0
        for pixel in tile:
            place[index, at] = pixel
            for group in range(needs[pixel]):
                first = offsets[pixel] + 16 * group
                groups[index, :, at + group] = first, min(16, offsets[pixel + 1] - first), at
            at += needs[pixel]
    return groups, place
