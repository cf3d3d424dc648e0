"""Embeddings on disk: a `Source` reads what is stored, `Embeddings` gives it as users want it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray

from tessera_engine.errors import InputError
from tessera_engine.geo import check_window
from tessera_engine.scene import Grid, Window

if TYPE_CHECKING:
    import xarray

PREFIXES = (16, 32, 64, 128)
"""Lengths to which a Matryoshka embedding can be cut."""

BLOCK_VALUES = 8_000_000
"""Values that are read at a time by whatever goes through all of a scene."""


class StoredBlock(NamedTuple):
    """A window as it is stored; nodata is the code -128 with the scale NaN, or NaN in float32.

    Attributes:
        values: (height, width, K) int8 codes or float32.
        scales: (height, width) float32, embedding = code * scale; None where float32 is stored.
    """

    values: NDArray[Any]
    scales: NDArray[np.float32] | None

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(height, width), where there is an embedding."""
        return np.isfinite(self.values[..., 0] if self.scales is None else self.scales)

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """(height, width, K) float32, NaN = nodata."""
        if self.scales is None:
            return self.values.astype(np.float32, copy=False)
        embeddings: NDArray[np.float32] = self.values * self.scales[..., None]
        return embeddings


class Source(Protocol):
    """One format of embeddings on disk."""

    @property
    def grid(self) -> Grid:
        """The grid on which `read` answers."""
        ...

    @property
    def dim(self) -> int:
        """Length of the stored embedding."""
        ...

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        ...

    @property
    def block(self) -> int:
        """Pixels across a tile of the file; 1 where any window is read equally fast."""
        ...

    def read(self, window: Window, dim: int) -> StoredBlock:
        """The first `dim` dimensions of a window, see `StoredBlock`."""
        ...

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """(height, width, 2) clear S2 and valid S1 observations; 0 where that isn't known."""
        ...


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of one place, read when asked for.

    Attributes:
        path: the folder.
        source: what reads it.
        dim: length of the embeddings that are given.
        item: the output's STAC item.
    """

    path: Path
    source: Source
    dim: int
    item: Mapping[str, Any]

    @property
    def grid(self) -> Grid:
        """The pixels."""
        return self.source.grid

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        return self.source.stored_as

    @property
    def bytes_per_value(self) -> int:
        """Bytes that a value takes while it is read, whatever the format.

        What is stored, twice: bands lie one behind the other in most files, so they are turned. Once more for int8,
        whose marks of no data are translated.
        """
        return 3 if self.stored_as == "int8" else 8

    @property
    def provenance(self) -> dict[str, Any]:
        """Facts of the run by name: `model`, `model_sha256`, `precision`, `generation`, `year`, ...; empty: unknown."""
        return {
            key.removeprefix("tessera:"): value
            for key, value in self.item["properties"].items()
            if key.startswith("tessera:")
            and key != "tessera:item_sha256"  # that is of the item, not of the run
        }

    def windows(self, values: int = BLOCK_VALUES, part: Window | None = None) -> Iterator[Window]:
        """Full-width strips that cover the grid, or a part of it, from top to bottom, of about so many values."""
        part = part or self.grid.window
        rows = max(1, values // (part.width * self.dim))
        if rows > self.source.block:
            # No tile is decoded twice
            rows -= rows % self.source.block
        return part.blocks(part.width, rows)

    def read_stored(self, window: Window | None = None) -> StoredBlock:
        """A window as it is stored; None: all.

        Raises:
            InputError: the window doesn't lie in the grid.
        """
        return self.source.read(check_window(self.grid, window or self.grid.window), self.dim)

    def read(self, window: Window | None = None) -> NDArray[np.float32]:
        """The embeddings of a window, dequantised; None: all.

        Returns:
            (height, width, dim) float32, NaN = nodata.

        Raises:
            InputError: the window doesn't lie in the grid.
        """
        return self.read_stored(window).embeddings

    def pixels_at(self, lon: ArrayLike, lat: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Columns and rows (N,) of the pixels in which points lie; they may lie outside of the grid.

        Args:
            lon: (N,) degrees, WGS 84.
            lat: (N,) degrees.

        Raises:
            InputError: the embeddings aren't on Earth.
        """
        if self.grid.crs is None:
            raise InputError(f"{self.path} has no CRS, so longitude and latitude can't be placed in it")
        from rasterio.transform import array_bounds
        from rasterio.warp import transform, transform_bounds

        lon, lat = np.atleast_1d(lon).astype(float), np.atleast_1d(lat).astype(float)
        west, south, east, north = transform_bounds(
            self.grid.crs, "EPSG:4326", *array_bounds(self.grid.height, self.grid.width, self.grid.transform)
        )
        # Points far away can't be projected, and one of them would spoil the others
        across = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
        near = np.flatnonzero(across & (lat >= south) & (lat <= north))
        cols, rows = np.full(len(lon), -1, np.int64), np.full(len(lon), -1, np.int64)
        if len(near):
            x, y = map(np.asarray, transform("EPSG:4326", self.grid.crs, lon[near], lat[near]))
            to_pixel: Affine = ~self.grid.transform
            cols[near] = np.floor(to_pixel.a * x + to_pixel.b * y + to_pixel.c)
            rows[near] = np.floor(to_pixel.d * x + to_pixel.e * y + to_pixel.f)
        return cols, rows

    def points(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float32]:
        """The embeddings of the pixels in which points lie.

        Args:
            lon: (N,) degrees, WGS 84.
            lat: (N,) degrees.

        Returns:
            (N, dim) float32; NaN for a point outside or without data.

        Raises:
            InputError: the embeddings aren't on Earth.
        """
        return self.pixels(*self.pixels_at(lon, lat))

    def pixels(self, cols: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The embeddings of single pixels: (N, dim) float32; NaN outside and where there is no data."""
        found = np.full((len(cols), self.dim), np.nan, np.float32)
        inside = (cols >= 0) & (rows >= 0) & (cols < self.grid.width) & (rows < self.grid.height)
        # Points of one tile are read together: decoding it costs the same for one of them
        block = self.source.block
        tiles = (rows // block) * (self.grid.width // block + 1) + cols // block
        for tile in np.unique(tiles[inside]):
            here = np.flatnonzero(inside & (tiles == tile))
            col, row = cols[here].min(), rows[here].min()
            window = Window(
                int(col), int(row), int(cols[here].max() - col) + 1, int(rows[here].max() - row) + 1
            )
            found[here] = self.read(window)[rows[here] - row, cols[here] - col]
        return found

    def to_xarray(self) -> xarray.DataArray:
        """A lazy (band, y, x) float32 array with coordinates and the CRS where rioxarray looks for it.

        Raises:
            MissingExtra: xarray isn't installed.
        """
        from tessera_engine.formats.embeddings.lazy import to_xarray

        return to_xarray(self)


def item_grid(item: Mapping[str, Any]) -> Grid:
    """The grid that an item describes."""
    properties = item["properties"]
    height, width = properties["proj:shape"]
    crs = properties.get("proj:code") or properties.get("proj:wkt2")
    transform = properties.get("proj:transform")
    return Grid(width, height, crs, Affine(*transform) if transform else Affine.identity())


def asset_path(path: Path, item: Mapping[str, Any], key: str) -> Path:
    """Where one of an item's files lies.

    Raises:
        InputError: the item doesn't name it, or it isn't there.
    """
    asset = item["assets"].get(key)
    if asset is None:
        raise InputError(f"{path / 'item.json'} names no '{key}'; is it an output of another version?")
    file: Path = path / asset["href"]
    if not file.exists():
        raise InputError(f"{file} is missing, though item.json names it; make or copy the output again")
    return file
