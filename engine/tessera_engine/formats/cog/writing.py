"""Embeddings as GeoTIFFs: `embeddings.tif`, `scales.tif` (with int8 codes) and `observations.tif`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tessera_engine.formats.cog.files import BLOCK, GeoTiff, Part, many_bands, write_cog
from tessera_engine.formats.cog.styles import style_bands
from tessera_engine.formats.format import Content
from tessera_engine.formats.layers import Layer, layers
from tessera_engine.scene import Grid
from tessera_engine.stac.items import Asset
from tessera_engine.stac.writing import NODATA_RULE, QUANTIZATION

SHOWN = 3
"""Bands that QGIS shows as red, green and blue."""

SAMPLE = 20_000
"""Pixels that their limits are found from, about."""

MOST = (2, 98)
"""Percentiles at which the colours begin and end."""

BANDS_AT_ONCE = 16
"""Bands of a tile that are reordered at a time: each needs a copy in memory."""


def write(content: Content, folder: Path, media_type: str) -> list[Asset]:
    """Write one GeoTIFF for each layer: see `tessera_engine.formats.format.Format`."""
    staging, assets = content.staging, []
    stored_as = staging.embeddings.dtype.name
    for layer in layers(staging):
        path = folder / f"{layer.key}.tif"
        tags = {"TIFFTAG_DOCUMENTNAME": content.name, "TIFFTAG_IMAGEDESCRIPTION": layer.title}
        if layer.key in ("embeddings", "scales"):
            tags |= {
                "TESSERA_QUANTIZATION": QUANTIZATION[stored_as],
                "TESSERA_NODATA": NODATA_RULE[stored_as],
            }
        dtype = layer.raster.dtype.name
        about = GeoTiff(staging.grid, dtype, layer.bands, layer.nodata, tags)
        write_cog(path, about, _parts(layer, staging.grid), many_bands(dtype))
        assets.append(layer.asset(staging.grid, path.name, media_type))
        if layer.key == "embeddings" and len(layer.bands) >= SHOWN:
            style_bands(path, _limits(layer, staging.grid))
    return assets


def _limits(layer: Layer, grid: Grid) -> list[tuple[float, float]]:
    """The values of the first three bands between which most pixels lie, from some rows and columns."""
    step = max(1, math.ceil(math.sqrt(grid.window.pixels / SAMPLE)))
    values = layer.raster.read(grid.window, step)[..., :SHOWN].reshape(-1, SHOWN)
    there = np.isfinite(values[:, 0]) & (values[:, 0] != layer.nodata)
    if not there.any():
        return [(0.0, 1.0)] * SHOWN
    low, high = np.percentile(values[there], MOST, axis=0)
    return [(float(a), float(b) if b > a else float(a) + 1) for a, b in zip(low, high, strict=True)]


def _parts(layer: Layer, grid: Grid) -> Iterator[Part]:
    count = len(layer.bands)
    for window in grid.window.blocks(BLOCK, BLOCK):
        block = layer.raster.read(window).reshape(window.height, window.width, count)
        for first in range(0, count, BANDS_AT_ONCE):
            values = np.moveaxis(block[..., first : first + BANDS_AT_ONCE], 2, 0)
            yield Part(window, range(first + 1, first + 1 + len(values)), values)
