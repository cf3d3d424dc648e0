"""One output that the page shows: its levels as they are stored, and unpacked once that is done."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import HasOverviews, HasPrefixes, StoredBlock
from tessera_engine.progress import Progress
from tessera_engine.scene import Window
from tessera_engine.view import cache
from tessera_engine.view.levels import TILE, ArraySource, Level, Thinned, levels, nearest, picked

T = TypeVar("T")

DECODED_VALUES = 300_000_000
"""Values that may be decoded for the first picture, at most: a second or two."""

BLOCK_BYTES = 100_000_000
"""Of the blocks of stored embeddings that are kept in memory."""


class Kept(Generic[T]):
    """What was computed last, up to a number of bytes; the rest is computed again. For several threads."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[int, T]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """What is kept under a key, or what `make` gives."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][1]
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = (size(made), made)
                self._bytes += size(made)
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1][0]
        return made


class Viewed:
    """An output.

    Attributes:
        number: its place on the command line, from 0: the page's name of it.
        embeddings: as it was opened.
        levels: from full resolution to the one of a single tile.
    """

    def __init__(self, number: int, embeddings: Embeddings) -> None:
        self.number, self.embeddings = number, embeddings
        self.levels: list[Level] = levels(embeddings.grid)
        self._thinned = Thinned(embeddings)
        self._pictured = Thinned(_for_pictures(embeddings))
        self._unpacked: Embeddings | None = None
        self._base_lock = threading.Lock()
        self._blocks: Kept[StoredBlock] = Kept(BLOCK_BYTES)

    @property
    def unpacked(self) -> bool:
        """Whether questions are answered at full resolution."""
        return self._unpacked is not None or self.base_level.z == 0

    @property
    def base_level(self) -> Level:
        """The level that is kept in memory."""
        return self._thinned.base_level

    def whole(self) -> Embeddings:
        """The best that can be searched at once: full resolution if that is unpacked, else the level in memory.

        Raises:
            TesseraError: a file can't be read.
        """
        return self._unpacked or self._base()

    def _base(self) -> Embeddings:
        """The level in memory."""
        with self._base_lock:  # it is read once
            return self._thinned.base

    @property
    def picture_dim(self) -> int:
        """Dimensions that pictures are made of."""
        return self._pictured.embeddings.dim

    def pictured(self) -> Embeddings:
        """What colours are fitted to: a level in memory, with the dimensions that pictures are made of.

        Raises:
            TesseraError: a file can't be read.
        """
        if self.picture_dim == self.embeddings.dim:
            return self._base() if self.embeddings.distinct_values else self.whole()
        with self._base_lock:
            return self._pictured.base

    def level_of(self, embeddings: Embeddings) -> int:
        """Which level `whole` has given."""
        return 0 if embeddings.grid == self.embeddings.grid else self.base_level.z

    def full(self) -> Embeddings:
        """All at full resolution: unpacked, or else as it is stored."""
        whole = self.whole()
        return whole if self.level_of(whole) == 0 else self.embeddings

    def at_level(self, z: int) -> Embeddings:
        """All of a level, as embeddings of their own.

        Raises:
            TesseraError: a file can't be read.
        """
        whole = self.whole()
        if self.level_of(whole) == z:
            return whole
        level = self.levels[z]
        block = self.read(z, Window(0, 0, level.width, level.height))
        return replace(whole, source=ArraySource(self._thinned.grid(z), block.values, block.scales))

    @property
    def kept(self) -> bool:
        """Whether unpacking takes no time: an earlier session has done it, or it isn't needed."""
        if self.embeddings.distinct_values:
            return True
        try:
            return cache.find(self.embeddings) is not None
        except TesseraError:
            return False

    def unpack(self, report: Progress) -> None:
        """Unpack it, unless it is, or has few different embeddings: comparing each of these once is faster.

        Raises:
            TesseraError: there is no room, or a file can't be read or written.
        """
        if not self.unpacked:
            few = self.embeddings.distinct_values > 0
            self._unpacked = self.embeddings if few else cache.unpack(self.embeddings, report)

    def read(self, z: int, window: Window) -> StoredBlock:
        """A window of a level, as it is stored.

        Raises:
            TesseraError: a file can't be read.
        """
        if self._unpacked is not None and isinstance(self._unpacked.source, ArraySource):
            source = self._unpacked.source
            rows, cols = self._picked(z, window)
            return StoredBlock(
                source.values[rows][:, cols], None if source.scales is None else source.scales[rows][:, cols]
            )
        if z == self.base_level.z:
            return self._base().read_stored(window)
        return self._thinned.read(z, window)

    def read_tile(self, z: int, x: int, y: int) -> tuple[StoredBlock, Window]:
        """A tile's embeddings as they are stored, and its window of its level. The last ones are kept.

        Raises:
            TesseraError: a file can't be read.
        """
        window = self.tile_window(z, x, y)
        block = self._blocks.get((z, x, y), lambda: self.read(z, window), _size)
        return block, window

    def read_picture(self, z: int, x: int, y: int) -> tuple[StoredBlock, Window]:
        """A tile's embeddings as they are stored, with the dimensions that pictures are made of; and its window.

        Raises:
            TesseraError: a file can't be read.
        """
        if self.picture_dim == self.embeddings.dim or self._unpacked is not None:
            block, window = self.read_tile(z, x, y)
            return StoredBlock(block.values[..., : self.picture_dim], block.scales), window
        window = self.tile_window(z, x, y)
        if z == self._pictured.base_level.z:
            return self.pictured().read_stored(window), window
        return self._blocks.get((z, x, y, "picture"), lambda: self._pictured.read(z, window), _size), window

    def read_observations(self, z: int, window: Window) -> NDArray[np.uint16]:
        """(height, width, 2) clear S2 and valid S1 observations of a window of a level."""
        return self._thinned.read_observations(z, window)

    def tile_window(self, z: int, x: int, y: int) -> Window:
        """The pixels of a level in a tile.

        Raises:
            LookupError: there is no such tile.
        """
        if not 0 <= z < len(self.levels):
            raise LookupError
        level = self.levels[z]
        window = Window(x * TILE, y * TILE, TILE, TILE).intersection(Window(0, 0, level.width, level.height))
        if window is None:
            raise LookupError
        return window

    def pixel(self, col: int, row: int) -> StoredBlock:
        """One pixel, as it is stored."""
        if self._unpacked is not None:
            return self._unpacked.read_stored(Window(col, row, 1, 1))
        block, window = self.read_tile(0, col // TILE, row // TILE)
        row, col = row - window.row, col - window.col
        return StoredBlock(
            block.values[row : row + 1, col : col + 1],
            None if block.scales is None else block.scales[row : row + 1, col : col + 1],
        )

    def of_level(self, values: NDArray[Any], z: int, window: Window) -> NDArray[Any]:
        """A window of level `z` of what was computed from `whole`, (height, width, ...) of whichever level that was."""
        rows, cols = self._picked(z, window)
        height, width = values.shape[:2]
        grid = self.embeddings.grid
        if (height, width) != (grid.height, grid.width):
            rows, cols = nearest(rows, grid.height, height), nearest(cols, grid.width, width)
        return values[rows[:, None], cols]

    def _picked(self, z: int, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the full resolution that a window of a level shows."""
        grid = self.embeddings.grid
        rows = picked(grid.height, z)[window.row : window.row + window.height]
        return rows, picked(grid.width, z)[window.col : window.col + window.width]


def _for_pictures(embeddings: Embeddings) -> Embeddings:
    """The embeddings, or a prefix of them: where there are no overviews, the first picture decodes all of a store."""
    source = embeddings.source
    if isinstance(source, HasOverviews) or not isinstance(source, HasPrefixes):
        return embeddings
    if embeddings.grid.window.pixels * embeddings.dim <= DECODED_VALUES:
        return embeddings
    return replace(embeddings, dim=min((*source.prefixes, embeddings.dim)))


def _size(block: StoredBlock) -> int:
    return int(block.values.nbytes + (0 if block.scales is None else block.scales.nbytes))
