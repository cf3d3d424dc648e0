"""Reading the Zarr store that `tessera_engine.formats.vq.writing` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import MissingExtra, TesseraError, reason, without_url
from tessera_engine.formats.embeddings.base import asset_path, item_grid
from tessera_engine.formats.embeddings.stored import Distinct, StoredBlock
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.formats.vq.tiles import NO_DATA, TILE, WORDS, Decoded, decode
from tessera_engine.offline.chunks import guard_chunks
from tessera_engine.scene import Grid, Window
from tessera_kernels.vq import MOST_WORDS, Packed

if TYPE_CHECKING:
    from zarr import Group

BOOKS = tuple(f"codebook{stage}" for stage in range(1, len(WORDS) + 1))
NUMBERS = tuple(f"number{stage}" for stage in range(1, len(WORDS) + 1))
LARGEST = 1e30
"""Larger numbers are of no embedding, and the sum of two of them may be infinite."""

STRIP = 32
"""Rows of a tile that are read as float32 at a time: all different embeddings of a tile may take 134 MB."""

RANGES = "_range"
"""What follows the name of a codebook in that of its ranges."""


@dataclass(frozen=True)
class VqSource:
    """Numbers and codebooks; read as float32."""

    grid: Grid
    dim: int
    group: Group
    stored_as: str = "float32"
    block: int = TILE
    most_distinct: int = TILE**2

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        values = np.full((window.height, window.width, dim), np.nan, np.float32)
        for rows, cols, decoded in self._tiles(window, dim, STRIP):
            there = decoded.which >= 0
            values[rows, cols][there] = decoded.vectors[decoded.which[there]]
        return StoredBlock(values, None)

    def read_distinct(self, window: Window, dim: int) -> Distinct:
        """See `tessera_engine.formats.embeddings.stored.HasDistinct`."""
        which = np.full((window.height, window.width), -1, np.int32)
        vectors, count = [np.zeros((0, dim), np.float32)], 0
        for rows, cols, decoded in self._tiles(window, dim, TILE):
            which[rows, cols] = np.where(decoded.which < 0, -1, decoded.which + count)
            vectors.append(decoded.vectors)
            count += len(decoded.vectors)
        return Distinct(vectors[-1] if len(vectors) <= 2 else np.concatenate(vectors), which)

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        return self._counts("observations", 2, window)

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """See `tessera_engine.formats.embeddings.stored.QualitySource`."""
        return self._counts("quality", len(QUALITY_BANDS), window) if "quality" in self.group else None

    def _counts(self, name: str, bands: int, window: Window) -> NDArray[np.uint16]:
        shape = (bands, self.grid.height, self.grid.width)
        return np.moveaxis(self._part(name, shape, "uint16", (slice(None), *window.slices)), 0, 2)

    def _tiles(self, window: Window, dim: int, strip: int) -> Iterator[tuple[slice, slice, Decoded]]:
        """Rows and columns of a window, and what is there, for each strip of so many rows of a tile with data."""
        shape = (self.grid.height, self.grid.width)
        for row in range(window.row // TILE, (window.row + window.height - 1) // TILE + 1):
            for col in range(window.col // TILE, (window.col + window.width - 1) // TILE + 1):
                part = window.intersection(Window(col * TILE, row * TILE, TILE, TILE))
                if part is None:
                    continue
                numbers = np.stack([self._part(name, shape, "uint8", part.slices) for name in NUMBERS])
                if (numbers[0] == NO_DATA).all():
                    continue
                books = [self._book(name, row, col) for name in BOOKS]
                for top in range(0, part.height, strip):
                    piece = part._replace(row=part.row + top, height=min(strip, part.height - top))
                    try:
                        decoded = decode(books, numbers[:, top : top + strip], dim)
                    except ValueError as error:
                        raise self._damaged(NUMBERS[0], f"{error} in tile {row}, {col}") from None
                    yield *piece.relative_to(window).slices, decoded

    def _book(self, name: str, row: int, col: int) -> Packed:
        """The codebook of a tile, checked."""
        rows, cols = (-(-size // TILE) for size in (self.grid.height, self.grid.width))
        array = self._array(name)
        words = array.shape[2] if len(array.shape) == 4 else 0
        if not 1 <= words <= MOST_WORDS:
            raise self._damaged(
                name, f"it has the shape {array.shape}, expected 1 to {MOST_WORDS} words a tile"
            )
        steps = self._part(name, (rows, cols, words, self.dim), "uint8", (row, col))
        ranges = self._part(name + RANGES, (rows, cols, self.dim, 2), "float32", (row, col))
        if not (np.abs(ranges) < LARGEST).all() or (ranges[:, 0] > ranges[:, 1]).any():
            raise self._damaged(name + RANGES, f"tile {row}, {col} has ranges that are none")
        return Packed(steps, ranges)

    def _array(self, name: str) -> Any:
        try:
            array: Any = self.group[name]
            array.shape, array.dtype, array.chunks  # noqa: B018, which a group doesn't have
        except Exception as error:  # zarr raises errors of every kind for a damaged store
            raise self._damaged(name, reason(error)) from None
        return array

    def _part(self, name: str, shape: tuple[int, ...], dtype: str, part: Any) -> NDArray[Any]:
        """A part of an array of which shape and dtype are known."""
        array = self._array(name)
        if tuple(array.shape) != shape or array.dtype != dtype:
            raise self._damaged(
                name,
                f"it has values of {array.dtype} and the shape {array.shape}, expected {dtype} and {shape}",
            )
        if max(array.chunks, default=1) > max(TILE, self.dim):
            raise self._damaged(
                name, f"it has chunks of {array.chunks}, expected at most {TILE} pixels across"
            )
        try:
            return np.asarray(array[part])
        except Exception as error:  # and so do its codecs
            raise self._damaged(name, reason(error)) from None

    def _damaged(self, name: str, why: str) -> TesseraError:
        store = without_url(str(self.group.store_path))
        return TesseraError(f"can't read {name} of {store}: {why}; convert again")


def open_source(path: Path, item: Mapping[str, Any]) -> VqSource:
    """Open an output's store."""
    try:
        import zarr
    except ModuleNotFoundError:
        raise MissingExtra("zarr", "zarr", "reading format=vq") from None

    guard_chunks()
    store = asset_path(path, item, "embeddings")
    try:
        group = zarr.open_group(store, mode="r", zarr_format=3)
    except Exception as error:  # see VqSource._array
        raise TesseraError(f"can't read {store}: {reason(error)}; convert again") from None
    return VqSource(item_grid(item), int(item["properties"]["tessera:dim"]), group)
