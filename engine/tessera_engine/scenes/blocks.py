"""Blocks of windows: read whole and kept, since files are stored in blocks too.

A file's block has to be decoded whole for a few of its pixels; one of a JPEG 2000 product has 1024 x 1024. Read window
by window, each would be decoded dozens of times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from tessera_engine.scene import Observations, Window

Size = tuple[int, int]
"""Width and height."""


def cells(region: Window, size: Size, anchor: tuple[int, int]) -> Iterator[Window]:
    """A region cut into cells, row by row: counted from the anchor (column, row), cut off at the region's edges."""
    col, row = (region.col - anchor[0]) % size[0], (region.row - anchor[1]) % size[1]
    around = Window(region.col - col, region.row - row, region.width + col, region.height + row)
    for cell in around.blocks(*size):
        part = cell.intersection(region)
        assert part is not None
        yield part


class BlockReader:
    """Reads a block for its first window, and gives the others from what it has kept."""

    def __init__(self, read: Callable[[Window], Observations], anchor: tuple[int, int]) -> None:
        """Read with `read`; blocks are counted from the anchor (column, row)."""
        self._read, self._anchor = read, anchor
        self._region, self._size = Window(0, 0, 0, 0), (1, 1)
        self._kept: tuple[Window, Observations] | None = None

    def plan(self, region: Window, size: Size) -> Iterator[Window]:
        """The blocks of a region, from now on read whole for any window in them."""
        self._region, self._size, self._kept = region, size, None
        return cells(region, size, self._anchor)

    def read(self, window: Window) -> Observations:
        """The observations of a window; without its block where that isn't planned."""
        block = self._around(window)
        if block is None:
            return self._read(window)
        if self._kept is None or self._kept[0] != block:
            self._kept = None  # before the next one takes as much memory
            self._kept = block, self._read(block)
        return _part(self._kept[1], window.relative_to(block))

    def _around(self, window: Window) -> Window | None:
        """The planned block that has all of the window, or None."""
        width, height = self._size
        col, row = (window.col - self._anchor[0]) % width, (window.row - self._anchor[1]) % height
        block = Window(window.col - col, window.row - row, width, height).intersection(self._region)
        return block if block is not None and block.intersection(window) == window else None


def _part(observations: Observations, window: Window) -> Observations:
    """A copy of some pixels: a view would keep the block alive beside the next one."""
    rows, cols = slice(window.row, window.row + window.height), slice(window.col, window.col + window.width)
    arrays = {
        name: np.ascontiguousarray(getattr(observations, name)[:, rows, cols])
        for name in ("s2", "s2_valid", "s1_ascending", "s1_descending")
    }
    return replace(observations, **arrays)
