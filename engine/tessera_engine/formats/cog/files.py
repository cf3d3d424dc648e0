"""Writing one cloud-optimised GeoTIFF, for embeddings and for maps made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterioWindow

from tessera_engine.errors import TesseraError
from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, gdal_reason, raster_reader, reported_errors
from tessera_engine.machine import give_back_memory
from tessera_engine.scene import Grid, Window

BLOCK = 256
"""Pixels across a tile: a window of int8 codes and 128 dimensions is 8 MB, float32 33 MB."""

CACHE_BYTES = 8_000_000
"""GDAL's block cache. Its own default is 5 % of the machine's memory, too much for a field laptop; 16 MB are no faster
here, because the file that is read again isn't compressed."""


class Part(NamedTuple):
    """Values of some bands in a window.

    Attributes:
        window: of the grid.
        bands: numbers of the bands, from 1.
        values: (bands, height, width).
    """

    window: Window
    bands: Sequence[int]
    values: NDArray[Any]


@dataclass(frozen=True)
class GeoTiff:
    """What a file is, besides its values.

    Attributes:
        grid: its pixels.
        dtype: of the values.
        bands: a name for each band.
        nodata: the value of pixels without data; None where every value means something.
        tags: of the file.
        colours: the colour table of a uint8 band, by value.
    """

    grid: Grid
    dtype: str
    bands: tuple[str, ...]
    nodata: float | None
    tags: Mapping[str, str] = field(default_factory=dict)
    colours: Mapping[int, tuple[int, int, int]] | None = None


@dataclass(frozen=True)
class Layout:
    """How values lie in the file.

    Attributes:
        plain: GDAL's options for the plain GeoTIFF that is written first.
        overviews: whether the plain file gets overviews; otherwise the driver makes them as it copies.
        driver: of GDAL, which copies the plain file into a cloud-optimised one.
        copied: the driver's options.
    """

    plain: Mapping[str, str]
    overviews: bool
    driver: str
    copied: Mapping[str, str]


_TILES = {
    "TILED": "YES",
    "BLOCKXSIZE": str(BLOCK),
    "BLOCKYSIZE": str(BLOCK),
    "INTERLEAVE": "BAND",
    "BIGTIFF": "IF_SAFER",
}
_PREDICTOR_INTEGER, _PREDICTOR_FLOAT = "2", "3"


def many_bands(dtype: str) -> Layout:
    """The layout of embeddings and of what lies beside them.

    Bands lie one after the other (INTERLEAVE=BAND), not pixel by pixel: with 128 bands a viewer that shows three would
    decode all of them. Measured at 1024 x 1024 x 128 int8 against pixel interleave: reading a band 7 ms instead of
    600 ms, a pixel's vector 60 ms instead of 100 ms, everything and the file's size the same, a third less memory to
    write. GDAL's COG driver interleaves by band only from 3.11 on; its GTiff driver lays the file out alike when it
    copies a file with its overviews.

    Zstandard, because it is decoded and written in 35 % of the time of DEFLATE, and files are 4 % smaller
    (docs/lossless.md). Level 1 after a predictor: higher levels gain nothing; codes of noisy embeddings don't shrink
    below 60 to 85 % of their size at any level. GDAL must be built with zstd, as its usual builds are.

    Overviews take the nearest pixel, never an average: each pixel's codes have a scale of their own, so codes of
    different pixels can't be averaged, and codes and scales must come from the same pixel.
    """
    predictor = _PREDICTOR_FLOAT if dtype.startswith("float") else _PREDICTOR_INTEGER
    copied = {"COPY_SRC_OVERVIEWS": "YES", "PREDICTOR": predictor, "COMPRESS": "ZSTD", "ZSTD_LEVEL": "1"}
    return Layout(_TILES, overviews=True, driver="GTiff", copied=_TILES | copied)


def few_bands(classes: bool) -> Layout:
    """The layout of a map or picture: its overviews are averages, or nearest pixels where the values are classes."""
    copied = {
        "COMPRESS": "DEFLATE",
        "LEVEL": "1",
        "PREDICTOR": "NO" if classes else "YES",
        "OVERVIEW_RESAMPLING": "NEAREST" if classes else "AVERAGE",
        "BLOCKSIZE": str(BLOCK),
    }
    return Layout({"TILED": "YES"}, overviews=False, driver="COG", copied=copied)


def write_cog(path: Path, about: GeoTiff, parts: Iterable[Part], layout: Layout) -> None:
    """Write a cloud-optimised GeoTIFF.

    Args:
        path: of the file; its folder exists.
        about: what the file is.
        parts: all its values, each once.
        layout: how they lie in it.

    Raises:
        TesseraError: it couldn't be written; nothing of it is left.
    """
    # Overviews lie before pixels in such a file, so it can't be written in one pass: a plain file first, then a copy
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with gdal_environment(CACHE_BYTES):
            with reported_errors():
                _write_plain(temporary, about, parts, layout)
            give_back_memory()  # what the C library keeps of overviews: up to 45 MB
            with reported_errors():
                rasterio.shutil.copy(temporary, path, driver=layout.driver, **layout.copied)
            _check_complete(path)
    except GDAL_ERRORS as error:
        path.unlink(missing_ok=True)
        raise TesseraError(
            f"can't write {path}: {gdal_reason(error)}; make room and give the same command again"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
        give_back_memory()  # before the next file takes as much


def _write_plain(path: Path, about: GeoTiff, parts: Iterable[Part], layout: Layout) -> None:
    grid = about.grid
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=grid.width,
        height=grid.height,
        count=len(about.bands),
        dtype=about.dtype,
        nodata=about.nodata,
        crs=grid.crs,
        # GDAL would write an identity as a georeference
        transform=None if grid.transform.is_identity else grid.transform,
        **layout.plain,
    ) as file:
        file.update_tags(**about.tags)
        file.descriptions = about.bands
        if about.colours:
            file.write_colormap(1, dict(about.colours))
        for part in parts:
            file.write(part.values, list(part.bands), window=RasterioWindow(*part.window))
    factors = _overview_factors(grid)
    if layout.overviews and factors:
        give_back_memory()  # of the windows
        tiles = gdal_environment(CACHE_BYTES, GDAL_TIFF_OVR_BLOCKSIZE=BLOCK)
        with tiles, rasterio.open(path, "r+", driver="GTiff") as file:
            file.build_overviews(factors, Resampling.nearest)


def _overview_factors(grid: Grid) -> list[int]:
    """2, 4, 8, ... until an overview fits into one tile."""
    factors, factor = [], 1
    while max(grid.width, grid.height) > BLOCK * factor:
        factor *= 2
        factors.append(factor)
    return factors


def _check_complete(path: Path) -> None:
    # GDAL reports no error when the last bytes don't fit on the disk: they are flushed as it closes the file. The last
    # tile of the last band lies at the file's end.
    with raster_reader(path) as file:
        col, row = (file.width - 1) // BLOCK * BLOCK, (file.height - 1) // BLOCK * BLOCK
        file.read(file.count, window=RasterioWindow(col, row, file.width - col, file.height - row))
