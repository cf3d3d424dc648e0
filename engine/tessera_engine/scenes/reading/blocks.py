"""Blocks of several windows, read at once and kept, because files are stored in blocks too.

A block of a file has to be decoded completely even for a few of its pixels; in JPEG 2000 products it has 1024 x 1024.
If products were read window by window, each block would be decoded dozens of times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from tessera_engine.scene import Observations, Window

Size = tuple[int, int]
"""Width and height."""


LARGEST_SIDE, LARGEST_BYTES = 128, 64 << 20
"""Of a block in which neighbours are compared: pixels along a side, and bytes of its observations."""

TILE_BYTES, TILE_STEP = 20 << 20, 16
"""The same in d-pixel tiles, which are read pixel by pixel: bytes, and what the side is a multiple of. What is compared
takes as much again, and small scenes with many dates are embedded within 300 MB."""


def block_side(bytes_per_pixel: int) -> int:
    """Pixels along a side of a block in which neighbours are compared; a power of two, like cells."""
    most = math.isqrt(LARGEST_BYTES // max(bytes_per_pixel, 1))
    return min(LARGEST_SIDE, 1 << max(most.bit_length() - 1, 3))


def tile_side(bytes_per_pixel: int) -> int:
    """The same in d-pixel tiles."""
    most = math.isqrt(TILE_BYTES // max(bytes_per_pixel, 1))
    return min(LARGEST_SIDE, max(most // TILE_STEP, 1) * TILE_STEP)


def diagonal(region: Window, side: int, count: int) -> Iterator[Window]:
    """Windows of at most `side` x `side` pixels from the upper left to the lower right of a region; they may touch."""
    width, height = min(side, region.width), min(side, region.height)
    number = min(count, max(-(-region.width // side), -(-region.height // side)))
    for i in range(number):
        part = i / max(number - 1, 1)
        col, row = round(part * (region.width - width)), round(part * (region.height - height))
        yield Window(region.col + col, region.row + row, width, height)


def cells(region: Window, size: Size, anchor: tuple[int, int]) -> Iterator[Window]:
    """Cut a region into cells, row by row. One cell has its corner at the anchor (column, row)."""
    col, row = (region.col - anchor[0]) % size[0], (region.row - anchor[1]) % size[1]
    around = Window(region.col - col, region.row - row, region.width + col, region.height + row)
    for cell in around.blocks(*size):
        part = cell.intersection(region)
        assert part is not None
        yield part


class BlockReader:
    """Reads a whole block when its first window is asked for, and takes the other windows from memory."""

    def __init__(self, read: Callable[[Window], Observations], anchor: tuple[int, int]) -> None:
        """Make a reader.

        Args:
            read: reads the observations of a window.
            anchor: column and row of the grid at which a block has its corner.
        """
        self._read, self._anchor = read, anchor
        self._region, self._size = Window(0, 0, 0, 0), (1, 1)
        self._kept: tuple[Window, Observations] | None = None

    def plan(self, region: Window, size: Size) -> Iterator[Window]:
        """The blocks of a region, which from now on are read as a whole."""
        self._region, self._size, self._kept = region, size, None
        return cells(region, size, self._anchor)

    def read(self, window: Window) -> Observations:
        """The observations of a window; only the window itself is read where no planned block contains it."""
        block = self._around(window)
        if block is None:
            return self._read(window)
        if self._kept is None or self._kept[0] != block:
            self._kept = None  # frees the memory before the next block needs it
            self._kept = block, self._read(block)
        part = part_of(self._kept[1], window.relative_to(block))
        if (window.col + window.width, window.row + window.height) == (
            block.col + block.width,
            block.row + block.height,
        ):
            self._kept = None  # that was its last window
        return part

    def _around(self, window: Window) -> Window | None:
        """The planned block that contains the whole window, or None."""
        width, height = self._size
        col, row = (window.col - self._anchor[0]) % width, (window.row - self._anchor[1]) % height
        block = Window(window.col - col, window.row - row, width, height).intersection(self._region)
        return block if block is not None and block.intersection(window) == window else None


def part_of(observations: Observations, window: Window) -> Observations:
    """A copy of some pixels. A view would keep the whole block in memory."""
    rows, cols = window.slices
    arrays: dict[str, Any] = {
        name: np.ascontiguousarray(getattr(observations, name)[:, rows, cols])
        for name in ("s2", "s2_valid", "s1_ascending", "s1_descending")
    }
    covered = observations.covered
    return replace(observations, **arrays, covered=None if covered is None else covered[rows, cols].copy())
