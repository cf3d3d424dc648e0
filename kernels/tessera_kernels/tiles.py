"""Which pixels share a tile on a GPU: best fit, the longest first.

A tile is a number of groups of `GROUP` rows. A pixel takes as many groups as its tokens need, and begins with a group.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel

GROUP = 16
"""Rows of a group: products on tensor cores add up 16 values at a time, so that a pixel that begins with a group has
the same bits in any tile."""

SLOTS = 16
"""Pixels that a tile's table of places has room for."""


class Tiles(NamedTuple):
    """Pixels in tiles.

    Attributes:
        groups: (tiles, 3, G) int32: of each group its first token, how many tokens, and the group with which its pixel
            begins; a free group has 0 tokens and is its own beginning.
        place: (tiles, SLOTS) int32: of each group the number of the pixel that begins with it; -1: none.
    """

    groups: NDArray[np.int32]
    place: NDArray[np.int32]


@kernel(nogil=True)
def _choose(
    needs: NDArray[np.int64],
    order: NDArray[np.int64],
    size: int,
    tile_of: NDArray[np.int32],
    at: NDArray[np.int32],
) -> int:
    """The tile and the first group of each pixel; gives the number of tiles."""
    # Tiles with free groups, as one stack for each number of them
    top = np.full(size + 1, -1, np.int64)
    below = np.empty(len(needs), np.int64)
    used = np.zeros(len(needs), np.int64)
    tiles = 0
    for pixel in order:
        need = needs[pixel]
        tile = -1
        for free in range(need, size):
            if top[free] >= 0:
                tile = top[free]
                top[free] = below[tile]
                break
        if tile < 0:
            tile = tiles
            tiles += 1
        tile_of[pixel], at[pixel] = tile, used[tile]
        used[tile] += need
        left = size - used[tile]
        if left:
            below[tile] = top[left]
            top[left] = tile
    return tiles


@kernel(nogil=True)
def _fill(
    offsets: NDArray[np.int64],
    pixels: NDArray[np.int64],
    tile_of: NDArray[np.int32],
    at: NDArray[np.int32],
    groups: NDArray[np.int32],
    place: NDArray[np.int32],
) -> None:
    for i in range(len(pixels)):
        pixel, tile, begin = pixels[i], tile_of[i], at[i]
        place[tile, begin] = pixel
        first, end = offsets[pixel], offsets[pixel + 1]
        group = begin
        while first < end:
            groups[tile, 0, group] = first
            groups[tile, 1, group] = min(GROUP, end - first)
            groups[tile, 2, group] = begin
            first += GROUP
            group += 1


def fill_tiles(offsets: NDArray[np.int64], pixels: NDArray[np.int64], rows: int) -> Tiles:
    """Put pixels into tiles.

    Args:
        offsets: (N + 1,) where the tokens of each pixel begin, all below 2^31.
        pixels: (P,) numbers of the pixels, each with 1 to `rows` tokens.
        rows: of a tile, a multiple of `GROUP`, at most `GROUP * SLOTS`.
    """
    pixels = np.ascontiguousarray(pixels, np.int64)
    needs = -(-(offsets[pixels + 1] - offsets[pixels]) // GROUP)
    tile_of, at = np.empty(len(pixels), np.int32), np.empty(len(pixels), np.int32)
    order = np.argsort(-needs, kind="stable")
    count = _choose(needs, order, rows // GROUP, tile_of, at)
    groups = np.zeros((count, 3, rows // GROUP), np.int32)
    groups[:, 2] = np.arange(rows // GROUP)
    place = np.full((count, SLOTS), -1, np.int32)
    _fill(offsets, pixels, tile_of, at, groups, place)
    return Tiles(groups, place)
