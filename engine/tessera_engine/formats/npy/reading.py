"""Reading the published layout by plain reads of windows, see `tessera_engine.files.staging.RasterFile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.staging import RasterFile
from tessera_engine.formats.embeddings.base import asset_path, item_grid
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.scene import Grid, Window


@dataclass(frozen=True)
class NpySource:
    """The three arrays of an output."""

    grid: Grid
    dim: int
    stored_as: str
    embeddings: RasterFile
    scales: RasterFile | None
    observations: RasterFile
    quality: RasterFile | None = None
    block: int = 1

    def read(self, window: Window, dim: int) -> StoredBlock:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        values = self.embeddings.read(window)[..., :dim]
        return StoredBlock(values, None if self.scales is None else self.scales.read(window))

    def read_observations(self, window: Window) -> NDArray[np.uint16]:
        """See `tessera_engine.formats.embeddings.stored.Source`."""
        return self.observations.read(window)

    def read_quality(self, window: Window) -> NDArray[np.uint16] | None:
        """See `tessera_engine.formats.embeddings.stored.QualitySource`."""
        return None if self.quality is None else self.quality.read(window)


def open_source(path: Path, item: Mapping[str, Any]) -> NpySource:
    """Open the arrays of an output."""
    grid, dim = item_grid(item), int(item["properties"]["tessera:dim"])
    stored_as = item["properties"]["tessera:store"]
    size = (grid.height, grid.width)
    return NpySource(
        grid,
        dim,
        stored_as,
        open_array(asset_path(path, item, "embeddings"), (*size, dim), stored_as),
        open_array(asset_path(path, item, "scales"), size, "float32") if stored_as == "int8" else None,
        open_array(asset_path(path, item, "observations"), (*size, 2), "uint16"),
        open_array(asset_path(path, item, "quality"), (*size, len(QUALITY_BANDS)), "uint16")
        if "quality" in item["assets"]
        else None,
    )


def open_array(path: Path, shape: tuple[int, ...], dtype: str) -> RasterFile:
    """The array of a file.

    Raises:
        TesseraError: it isn't an array of that shape and dtype.
    """
    array = RasterFile(path, shape, np.dtype(dtype))
    array.check()
    return array
