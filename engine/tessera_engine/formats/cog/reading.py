"""Reading `embeddings.tif` and what lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
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
        """See `tessera_engine.formats.embeddings.base.Source`."""
        bands = self._read_bands(self.embeddings, window, dim)
        scales = None if self.scales is None else self._read_bands(self.scales, window, 1)[0]
        return StoredBlock(by_pixel(bands), scales)

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.base.Source`."""
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

    def _read(self, path: Path, window: Window, bands: int) -> NDArray[Any]:
        """(height, width, bands)."""
        return np.ascontiguousarray(np.moveaxis(self._read_bands(path, window, bands), 0, 2))

    def _read_bands(self, path: Path, window: Window, bands: int) -> NDArray[Any]:
        """(bands, height, width)."""
        from rasterio.windows import Window as RasterioWindow

        from tessera_engine.gdal import GDAL_ERRORS, gdal_environment

        try:
            with gdal_environment(), _open(path, self.level) as file:
                block: NDArray[Any] = file.read(list(range(1, bands + 1)), window=RasterioWindow(*window))
        except GDAL_ERRORS as error:
            raise TesseraError(f"can't read {path}: {error}; make or copy the output again") from None
        return block


def open_source(path: Path, item: Mapping[str, Any]) -> CogSource:
    """Open the GeoTIFFs of an output."""
    stored_as = item["properties"]["tessera:store"]
    return CogSource(
        grid=item_grid(item),
        dim=item["properties"]["tessera:dim"],
        stored_as=stored_as,
        embeddings=asset_path(path, item, "embeddings"),
        scales=asset_path(path, item, "scales") if stored_as == "int8" else None,
        observations=asset_path(path, item, "observations"),
        quality=asset_path(path, item, "quality") if "quality" in item["assets"] else None,
    )


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
