"""Levels of the page: an output at full resolution, and thinned by 2, 4, 8, ... until it fits into one tile.

A level's pixel is a pixel of the output, never a mean of several: what is computed on a level is true of the pixels
that it shows. Which ones these are is the rule of the overviews that the GeoTIFFs hold, so that those can be read
instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import HasOverviews, Source, StoredBlock
from tessera_engine.scene import Grid, Window

TILE = 256
"""Pixels across a tile, as in the GeoTIFFs: a tile of a level is a tile of the file."""

BASE_BYTES = 40_000_000
"""Most bytes of the level that is kept in memory, and from which questions are answered first."""


class Level(NamedTuple):
    """The size of a level: each pixel stands for 2**z x 2**z pixels."""

    z: int
    width: int
    height: int


def levels(grid: Grid) -> list[Level]:
    """The levels of a grid, from full resolution to the one that fits into one tile."""
    found = [Level(0, grid.width, grid.height)]
    while max(found[-1].width, found[-1].height) > TILE:
        z = found[-1].z + 1
        found.append(Level(z, -(-grid.width // 2**z), -(-grid.height // 2**z)))
    return found


def picked(size: int, z: int) -> NDArray[np.int64]:
    """(ceil(size / 2**z),) columns of the full resolution that level z shows, of `size` columns; or rows.

    GDAL's rule for overviews of the nearest pixel: int(0.5 + i * size / ceil(size / 2**z)).
    """
    count = -(-size // 2**z)
    columns: NDArray[np.int64] = np.floor(0.5 + np.arange(count) * (size / count)).astype(np.int64)
    return columns


def nearest(places: NDArray[np.int64], size: int, count: int) -> NDArray[np.int64]:
    """Of `count` rows or columns that stand for `size`, those in which the middles of places lie.

    The places that `picked` gives are those of their own rows and columns.
    """
    return (2 * places + 1) * count // (2 * size)


def hectares(grid: Grid) -> float | None:
    """Of a pixel; None where the CRS isn't in metres, or there is none."""
    if grid.crs is None:
        return None
    from rasterio.crs import CRS

    crs = CRS.from_user_input(grid.crs)
    if not crs.is_projected:
        return None
    return abs(float(grid.transform.determinant)) * float(crs.linear_units_factor[1]) ** 2 / 10_000


@dataclass(frozen=True)
class ArraySource:
    """Embeddings in arrays, in memory or mapped from a file, as a `tessera_engine.formats.embeddings.stored.Source`.

    Attributes:
        grid: of the arrays.
        values: (height, width, K) int8 codes or float32.
        scales: (height, width) float32; None for float32 values.
        block: 1, any window is read equally fast.
    """

    grid: Grid
    values: NDArray[Any]
    scales: NDArray[np.float32] | None
    block: int = 1

    @property
    def dim(self) -> int:
        """Length of the embedding."""
        return int(self.values.shape[2])

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        return str(self.values.dtype.name)

    def read(self, window: Window, dim: int) -> StoredBlock:
        """A part of the arrays, not a copy."""
        rows, cols = window.slices
        return StoredBlock(
            self.values[rows, cols, :dim], None if self.scales is None else self.scales[rows, cols]
        )

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """Not known here: zeros."""
        return np.zeros((window.height, window.width, 2), np.uint16)


class Thinned:
    """The levels of an output as it is stored.

    Attributes:
        embeddings: the output.
        levels: its levels.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self.levels = levels(embeddings.grid)
        self._sources: dict[int, Source | None] = {0: embeddings.source}

    @cached_property
    def base(self) -> Embeddings:
        """The finest level of at most `BASE_BYTES`, in memory, as embeddings of their own.

        Raises:
            TesseraError: a file can't be read.
        """
        stored = self.read(self.base_level.z, Window(0, 0, self.base_level.width, self.base_level.height))
        return replace(
            self.embeddings,
            source=ArraySource(
                self.grid(self.base_level.z), np.ascontiguousarray(stored.values), stored.scales
            ),
        )

    @cached_property
    def base_level(self) -> Level:
        """The size of `base`."""
        pixel = self.embeddings.dim * np.dtype(self.embeddings.stored_as).itemsize
        fitting = [each for each in self.levels if each.width * each.height * pixel <= BASE_BYTES]
        return fitting[0] if fitting else self.levels[-1]

    def grid(self, z: int) -> Grid:
        """The grid of a level."""
        whole, level = self.embeddings.grid, self.levels[z]
        scale = Affine.scale(whole.width / level.width, whole.height / level.height)
        return Grid(level.width, level.height, whole.crs, whole.transform @ scale)

    def read(self, z: int, window: Window) -> StoredBlock:
        """A window of a level, as it is stored.

        Raises:
            TesseraError: a file can't be read.
        """
        source = self._source(z)
        if source is not None:
            with self.embeddings.folder.reading():
                return source.read(window, self.embeddings.dim)
        parts = [
            (stored.values[rows][:, cols], None if stored.scales is None else stored.scales[rows][:, cols])
            for part, rows, cols in self._parts(z, window)
            for stored in [self.embeddings.read_stored(part)]
        ]
        scales = [scales for _, scales in parts if scales is not None]
        return StoredBlock(
            np.concatenate([values for values, _ in parts]), np.concatenate(scales) if scales else None
        )

    def read_observations(self, z: int, window: Window) -> NDArray[np.uint16]:
        """(height, width, 2) clear S2 and valid S1 observations of a window of a level.

        Raises:
            TesseraError: a file can't be read.
        """
        source = self._source(z)
        if source is not None:
            with self.embeddings.folder.reading():
                return source.read_observations(window)
        return np.concatenate(
            [
                self.embeddings.read_observations(part)[rows][:, cols]
                for part, rows, cols in self._parts(z, window)
            ]
        )

    def _source(self, z: int) -> Source | None:
        """What holds a level in the output's own files; None where it has to be thinned from full resolution."""
        if z not in self._sources:
            source = self.embeddings.source
            found = None
            if isinstance(source, HasOverviews):
                with self.embeddings.folder.reading():
                    found = source.overview(z)
            self._sources[z] = found
        return self._sources[z]

    def _parts(self, z: int, window: Window) -> Iterator[tuple[Window, NDArray[Any], NDArray[Any]]]:
        """Windows of the full resolution, from top to bottom, that hold a level's window; and what it shows of each."""
        grid, block = self.embeddings.grid, self.embeddings.source.block
        cols = picked(grid.width, z)[window.col : window.col + window.width]
        rows = picked(grid.height, z)[window.row : window.row + window.height]
        for _, group in _grouped(rows, block):
            first, last = int(group[0]), int(group[-1])
            part = Window(int(cols[0]), first, int(cols[-1] - cols[0]) + 1, last - first + 1)
            yield part, group - first, cols - cols[0]


def _grouped(rows: NDArray[np.int64], block: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Rows that lie in one row of blocks, together: no block is decoded twice."""
    bounds = np.flatnonzero(np.diff(rows // block)) + 1
    yield from enumerate(np.split(rows, bounds))
