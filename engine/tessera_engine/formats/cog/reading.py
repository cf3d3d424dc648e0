"""Reading `embeddings.tif` and what lies beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.formats.embeddings.bands import by_pixel
from tessera_engine.formats.embeddings.base import asset_path, item_grid
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.scene import Grid, Window

CACHE_BYTES = 8_000_000
"""GDAL's block cache. A file is opened for one window and read band by band, so each block is needed once."""

BANDS = 32
"""Bands that are read at once. All of them, beside the values of each pixel together, would take twice the memory."""


@dataclass(frozen=True)
class CogSource:
    """GeoTIFFs, opened for each window: threads can't share GDAL's file handles."""

    grid: Grid
    dim: int
    stored_as: str
    embeddings: Path
    scales: Path | None
    observations: Path
    quality: Path | None = None
    block: int = 256
    level: int = 0
    """0: full resolution; n: the n-th overview."""

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        values = np.empty((window.height, window.width, dim), self.stored_as)
        for first, bands in self._read_bands(self.embeddings, window, dim):
            by_pixel(bands, values[..., first : first + len(bands)])
        scales = None if self.scales is None else self._read(self.scales, window, 1)[..., 0]
        return StoredBlock(values, scales)

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        return self._read(self.observations, window, 2)

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """See `tessera_engine.formats.embeddings.stored.QualitySource`."""
        return None if self.quality is None else self._read(self.quality, window, len(QUALITY_BANDS))

    def overview(self, level: int) -> CogSource | None:
        """See `tessera_engine.formats.embeddings.stored.HasOverviews`."""
        grid, factor = self.grid, 2**level
        width, height = -(-grid.width // factor), -(-grid.height // factor)
        paths = [path for path in (self.embeddings, self.scales, self.observations) if path is not None]
        if any(_overview_size(path, level) != (width, height) for path in paths):
            return None
        transform = grid.transform @ Affine.scale(grid.width / width, grid.height / height)
        return replace(self, grid=Grid(width, height, grid.crs, transform), level=level)

    def _read(self, path: Path, window: Window, count: int) -> NDArray[Any]:
        """(height, width, count) of a file's first `count` bands, of which there are few."""
        (found,) = self._read_bands(path, window, count)
        return np.ascontiguousarray(np.moveaxis(found[1], 0, 2))

    def _read_bands(self, path: Path, window: Window, count: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """The first `count` bands, up to `BANDS` at a time: how many came before, and (bands, height, width)."""
        from rasterio.windows import Window as RasterioWindow

        from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, gdal_reason

        try:
            with gdal_environment(CACHE_BYTES), _open(path, self.level) as file:
                for first in range(0, count, BANDS):
                    numbers = range(first + 1, min(first + BANDS, count) + 1)
                    yield first, file.read(list(numbers), window=RasterioWindow(*window))
        except GDAL_ERRORS as error:
            raise TesseraError(
                f"can't read {path}: {gdal_reason(error)}; make or copy the output again"
            ) from None


def open_source(path: Path, item: Mapping[str, Any]) -> CogSource:
    """Open the GeoTIFFs of an output.

    Raises:
        TesseraError: one can't be read, or isn't what the item says.
    """
    grid, dim = item_grid(item), int(item["properties"]["tessera:dim"])
    stored_as = item["properties"]["tessera:store"]

    def checked(key: str, bands: int, dtype: str) -> Path:
        file = asset_path(path, item, key)
        _check(file, (bands, grid.height, grid.width), dtype)
        return file

    return CogSource(
        grid,
        dim,
        stored_as,
        checked("embeddings", dim, stored_as),
        checked("scales", 1, "float32") if stored_as == "int8" else None,
        checked("observations", 2, "uint16"),
        checked("quality", len(QUALITY_BANDS), "uint16") if "quality" in item["assets"] else None,
    )


def _check(path: Path, shape: tuple[int, int, int], dtype: str) -> None:
    """Make sure that a file has so many bands, rows and columns of a dtype.

    Raises:
        TesseraError: it hasn't, or can't be read.
    """
    from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, gdal_reason

    try:
        with gdal_environment(), _open(path, 0) as file:
            found, kinds = (file.count, file.height, file.width), set(file.dtypes)
    except GDAL_ERRORS as error:
        raise TesseraError(
            f"can't read {path}: {gdal_reason(error)}; make or copy the output again"
        ) from None
    if found != shape or kinds != {dtype}:
        raise TesseraError(
            f"{path} has {_in_words(found, ' and '.join(sorted(kinds)))}, expected {_in_words(shape, dtype)} as "
            "item.json says; make or copy the output again"
        )


def _in_words(shape: tuple[int, int, int], dtype: str) -> str:
    bands, height, width = shape
    return f"{bands} bands of {width} x {height} px as {dtype}"


def _open(path: Path, level: int) -> Any:
    """A file at full resolution, or one of its overviews: a rasterio dataset."""
    from tessera_engine.gdal import raster_reader

    return raster_reader(path, OVERVIEW_LEVEL=level - 1) if level else raster_reader(path)


def _overview_size(path: Path, level: int) -> tuple[int, int] | None:
    """Width and height of a file's n-th overview; None where it hasn't so many."""
    from tessera_engine.gdal import GDAL_ERRORS, gdal_environment

    try:
        with gdal_environment(), _open(path, level) as file:
            return file.width, file.height
    except GDAL_ERRORS:
        return None
