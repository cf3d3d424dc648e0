"""Cloud-optimised GeoTIFFs: `embeddings.tif`, `scales.tif` (with int8 codes) and `observations.tif`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil

# rasterio lets GDAL's own errors through, and exports no public name for them.
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from tessera_engine.errors import TesseraError
from tessera_engine.files.staging import Staging
from tessera_engine.formats.layers import Layer, layers
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.writing import NODATA_RULE, QUANTIZATION, Asset

MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"

BLOCK = 256
"""Pixels across a tile: a window of int8 codes and 128 dimensions is 8 MB, float32 33 MB."""

CACHE_BYTES = 16_000_000
"""GDAL's block cache; its own default, 5 % of the machine's memory, is no business of a field laptop's."""

BANDS_AT_ONCE = 16
"""Bands of a tile that are put one behind the other at a time, which takes a copy."""

# Bands lie one after the other (INTERLEAVE=BAND), not pixel by pixel: with 128 bands a viewer that shows three would
# decode all of them. Measured at 1024 x 1024 x 128 int8 against pixel interleave: reading a band 7 ms instead of
# 600 ms, a pixel's vector 60 ms instead of 100 ms, everything and the file's size the same, a third less memory to
# write. GDAL's COG driver interleaves by band only from 3.11 on; its GTiff driver lays the file out alike when it
# copies a file with its overviews.
#
# DEFLATE because every reader has it. Level 1 after a predictor is within 4 % of level 9 and takes less than half its
# time; codes of noisy embeddings don't shrink below 70 to 85 % of their size whatever one does.
LAYOUT = {
    "TILED": "YES",
    "BLOCKXSIZE": str(BLOCK),
    "BLOCKYSIZE": str(BLOCK),
    "INTERLEAVE": "BAND",
    "BIGTIFF": "IF_SAFER",
}
COMPRESSION = {"COMPRESS": "DEFLATE", "ZLEVEL": "1"}
PREDICTOR_INTEGER, PREDICTOR_FLOAT = "2", "3"


def write(staging: Staging, folder: Path, name: str) -> list[Asset]:
    """Write one GeoTIFF a layer: see `tessera_engine.formats.writing.write`."""
    assets = []
    stored_as = staging.embeddings.dtype.name
    for layer in layers(staging):
        path = folder / f"{layer.key}.tif"
        tags = {"TIFFTAG_DOCUMENTNAME": name, "TIFFTAG_IMAGEDESCRIPTION": layer.title}
        if layer.key != "observations":
            tags |= {
                "TESSERA_QUANTIZATION": QUANTIZATION[stored_as],
                "TESSERA_NODATA": NODATA_RULE[stored_as],
            }
        _write_layer(layer, staging.grid, tags, path)
        assets.append(layer.asset(staging.grid, path.name, MEDIA_TYPE))
    return assets


def _write_layer(layer: Layer, grid: Grid, tags: dict[str, str], path: Path) -> None:
    # A COG has its overviews before its pixels, so it can't be written in one go: a plain GeoTIFF first, then a copy.
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with _gdal():
            _write_plain(layer, grid, tags, temporary)
            _write_cog(layer, temporary, path)
            _check_complete(path)
    except (CPLE_BaseError, RasterioError, OSError) as error:
        path.unlink(missing_ok=True)
        raise TesseraError(
            f"can't write {path}: {error}; make room and give the same command again"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _gdal() -> Iterator[None]:
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), warnings.catch_warnings():
        # A scene without georeference was spoken about when it was opened.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _write_plain(layer: Layer, grid: Grid, tags: dict[str, str], path: Path) -> None:
    raster = layer.raster
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=grid.width,
        height=grid.height,
        count=len(layer.bands),
        dtype=raster.dtype.name,
        nodata=layer.nodata,
        crs=grid.crs,
        # Given an identity, GDAL writes it as a georeference.
        transform=None if grid.transform.is_identity else grid.transform,
        **LAYOUT,
    ) as file:
        file.update_tags(**tags)
        file.descriptions = layer.bands
        for window in grid.window.blocks(BLOCK, BLOCK):
            block = raster.read(window).reshape(window.height, window.width, len(layer.bands))
            for first in range(0, len(layer.bands), BANDS_AT_ONCE):
                part = np.moveaxis(block[..., first : first + BANDS_AT_ONCE], 2, 0)
                bands = range(first + 1, first + 1 + len(part))
                file.write(part, list(bands), window=_rasterio_window(window))
    factors = _overview_factors(grid)
    if factors:
        # Nearest, never an average: each pixel's codes have a scale of their own, so codes of different pixels can't
        # be averaged, and codes and scales must come from the same pixel.
        with rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=BLOCK), rasterio.open(path, "r+") as file:
            file.build_overviews(factors, Resampling.nearest)


def _overview_factors(grid: Grid) -> list[int]:
    """2, 4, 8, ... until an overview fits into one tile."""
    factors, factor = [], 1
    while max(grid.width, grid.height) > BLOCK * factor:
        factor *= 2
        factors.append(factor)
    return factors


def _write_cog(layer: Layer, source: Path, path: Path) -> None:
    predictor = PREDICTOR_FLOAT if layer.raster.dtype.kind == "f" else PREDICTOR_INTEGER
    rasterio.shutil.copy(
        source, path, driver="GTiff", COPY_SRC_OVERVIEWS="YES", PREDICTOR=predictor, **LAYOUT, **COMPRESSION
    )


def _check_complete(path: Path) -> None:
    # GDAL says nothing when the last bytes didn't fit on the disk: they are flushed as it closes the file. The last
    # tile of the last band lies at its end.
    with rasterio.open(path) as file:
        col, row = (file.width - 1) // BLOCK * BLOCK, (file.height - 1) // BLOCK * BLOCK
        file.read(file.count, window=RasterioWindow(col, row, file.width - col, file.height - row))


def _rasterio_window(window: Window) -> RasterioWindow:
    return RasterioWindow(window.col, window.row, window.width, window.height)
