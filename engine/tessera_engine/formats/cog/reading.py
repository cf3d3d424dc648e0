"""Reading `embeddings.tif` and what lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.formats.embeddings.base import StoredBlock, asset_path, item_grid
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

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.base.Source`."""
        values = _read(self.embeddings, window, dim)
        return StoredBlock(values, None if self.scales is None else _read(self.scales, window, 1)[..., 0])

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.base.Source`."""
        return _read(self.observations, window, 2)

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """See `tessera_engine.formats.embeddings.stored.QualitySource`."""
        return None if self.quality is None else _read(self.quality, window, len(QUALITY_BANDS))


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


def _read(path: Path, window: Window, bands: int) -> NDArray[Any]:
    """(height, width, bands)."""
    from rasterio.windows import Window as RasterioWindow

    from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, raster_reader

    try:
        with gdal_environment(), raster_reader(path) as file:
            block = file.read(list(range(1, bands + 1)), window=RasterioWindow(*window))
    except GDAL_ERRORS as error:
        raise TesseraError(f"can't read {path}: {error}; make or copy the output again") from None
    return np.ascontiguousarray(np.moveaxis(block, 0, 2))
