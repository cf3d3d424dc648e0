"""Rasters of products: their headers, checks of them, and reading in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.gdal import GDAL_ERRORS, block_bytes, gdal_environment, raster_crs, raster_reader
from tessera_engine.scene import Window
from tessera_engine.scenes.products import Asset, PixelLayer, Unusable

CACHE_BYTES = 32_000_000
"""GDAL's block cache while products are read."""

_OPTIONS = {
    "GDAL_NUM_THREADS": "1",  # several files are read at once already
}

_WITHOUT_PLACE = {driver: {"GEOREF_SOURCES": "NONE"} for driver in ("GTiff", "JP2OpenJPEG")}
"""Open options where only pixels are wanted: to understand a CRS takes longer than to decode a small block."""

_UNUSUAL = (np.dtype(np.int8), np.dtype(np.uint64), np.dtype(np.int64))
_INT32 = (0, 2**31 - 1)
"""Digital numbers and classes of these types become int32, so that kernels needn't be compiled for them; negative
numbers count as 0 in any case."""

_CHECKED_BLOCKS = 3
"""Blocks of a GeoTIFF whose position is compared with the file's size."""


class Unreadable(Unusable):
    """A raster can't be used."""


class Geometry(NamedTuple):
    """Where the pixels of a raster are: its grid."""

    crs: str
    transform: Affine
    width: int
    height: int


@dataclass(frozen=True)
class Raster:
    """One band of a file that could be opened.

    Attributes:
        asset: the file and band.
        geometry: its grid.
        dtype: name of the dtype of its values.
        nodata: the value that means no data; None: there is none, or it is 0 in whole numbers.
        block: width and height of the blocks in which it is stored.
        block_bytes: memory that reading one of its pixels takes.
    """

    asset: Asset
    geometry: Geometry
    dtype: str
    nodata: float | None
    block: tuple[int, int]
    block_bytes: int


def open_rasters(assets: Sequence[Asset]) -> list[Raster]:
    """Read the headers of rasters, and check that the files aren't truncated. A file with several is opened once.

    Raises:
        Unreadable: one can't be opened, has no place on Earth, or is truncated.
    """
    rasters = {asset: _of_cube(asset, asset.pixels.layer) for asset in assets if asset.pixels is not None}
    files: dict[str, list[Asset]] = {}
    for asset in assets:
        if asset.pixels is None:
            files.setdefault(asset.path, []).append(asset)
    for bands in files.values():
        with opened(bands[0]) as dataset:
            geometry = _geometry(bands[0], dataset)
            rasters |= {asset: _of_file(asset, dataset, geometry) for asset in bands}
    return [rasters[asset] for asset in assets]


def open_raster(asset: Asset) -> Raster:
    """Read one raster's header; see `open_rasters`."""
    (raster,) = open_rasters([asset])
    return raster


def _of_cube(asset: Asset, layer: PixelLayer) -> Raster:
    geometry = Geometry(layer.crs, layer.transform, layer.width, layer.height)
    taken = layer.block[0] * layer.block[1] * np.dtype(layer.dtype).itemsize
    return Raster(asset, geometry, layer.dtype, None, layer.block, taken)


def _of_file(asset: Asset, dataset: Any, geometry: Geometry) -> Raster:
    if not 1 <= asset.band <= dataset.count:
        raise Unreadable(f"{asset.label} has {dataset.count} bands, expected at least {asset.band}")
    _check_blocks(asset, dataset)
    dtype, nodata = dataset.dtypes[asset.band - 1], dataset.nodatavals[asset.band - 1]
    return Raster(
        asset,
        geometry,
        dtype,
        None if nodata == 0 and "float" not in dtype else nodata,
        dataset.block_shapes[asset.band - 1][::-1],
        block_bytes(dataset),
    )


def _geometry(asset: Asset, dataset: Any) -> Geometry:
    crs = raster_crs(dataset)
    if crs is None:
        raise Unreadable(f"{asset.label} has no CRS, so its place on Earth is unknown")
    if dataset.transform.is_identity:  # what GDAL returns where a file has no geotransform
        raise Unreadable(f"{asset.label} has no geotransform, so its place on Earth is unknown")
    if not np.isfinite(dataset.transform).all() or dataset.transform.determinant == 0:
        raise Unreadable(
            f"{asset.label} has a transform under which pixels have no area: {tuple(dataset.transform)[:6]}"
        )
    return Geometry(crs.to_string(), dataset.transform, dataset.width, dataset.height)


def read_block(raster: Raster, block: Window) -> NDArray[Any]:
    """Read a block that is inside the raster: (height, width) of the raster's dtype.

    Its nodata value becomes 0, or NaN in floats: in decibels, 0 is an ordinary value.

    Raises:
        InputError: the file is damaged, or has changed since it was opened.
    """
    if raster.asset.pixels is not None:
        return raster.asset.pixels.read(block)
    try:
        with opened(raster.asset, **_WITHOUT_PLACE.get(raster.asset.driver, {})) as dataset:
            from rasterio.windows import Window as RasterioWindow

            values: NDArray[Any] = dataset.read(raster.asset.band, window=RasterioWindow(*block))
    except Unreadable as error:
        raise InputError(
            f"{error}; copy {raster.asset.file} again, or move its product out of the scene folder to embed the scene "
            "without it"
        ) from None
    if values.dtype in _UNUSUAL:
        values = np.clip(values, *_INT32).astype(np.int32)
    if raster.nodata is not None:
        missing = np.isnan(values) if np.isnan(raster.nodata) else values == raster.nodata
        values[missing] = np.nan if values.dtype.kind == "f" else 0
    return values


@contextmanager
def product_environment() -> Iterator[None]:
    """GDAL's settings for products.

    A thread that opens several files enters it around all of them: `opened` then finds GDAL's environment made, which
    takes as long as opening a file.
    """
    with gdal_environment(CACHE_BYTES, **_OPTIONS):
        yield


@contextmanager
def opened(asset: Asset, **options: Any) -> Iterator[Any]:
    """Open an asset as a rasterio dataset.

    Args:
        asset: a file, or what a file holds.
        options: open options of its driver.

    Raises:
        Unreadable: GDAL can't open the file, or can't read it while it is open.
    """
    try:
        with (
            product_environment(),
            raster_reader(asset.name or asset.file, asset.driver, **options) as dataset,
        ):
            yield dataset
    except (*GDAL_ERRORS, UnicodeDecodeError, IndexError) as error:  # the last two come from damaged tags
        # Where GDAL's own error has more to say, rasterio's message only refers to it
        cause = error.__cause__ or error.__context__ or error
        reason = " ".join(str(cause).replace(f"'{asset.path}' ", "").split())
        raise Unreadable(f"{asset.label} can't be read as a raster ({reason})") from None


def _check_blocks(asset: Asset, dataset: Any) -> None:
    """Raise `Unreadable` if the file is truncated; nothing is decoded."""
    if asset.name:
        return  # in a zip: a truncated zip has lost its directory, so it isn't opened at all
    size = asset.file.stat().st_size
    if dataset.driver == "GTiff":
        height, width = dataset.block_shapes[asset.band - 1]
        across, down = -(-dataset.width // width), -(-dataset.height // height)
        for n in np.linspace(0, across * down - 1, _CHECKED_BLOCKS).astype(int):
            end = 0
            for what in ("OFFSET", "SIZE"):
                tag = f"BLOCK_{what}_{n % across}_{n // across}"
                end += int(dataset.get_tag_item(tag, "TIFF", bidx=asset.band) or 0)  # None: a sparse file
            if end > size:
                raise Unreadable(f"{asset.label} is truncated: {size:,} bytes, expected at least {end:,}")
    elif dataset.driver == "JP2OpenJPEG":
        _check_boxes(asset, size)


def _check_boxes(asset: Asset, size: int) -> None:
    """Raise `Unreadable` if a JPEG 2000 file is truncated.

    The file is a chain of boxes, each with its length; the box with the image is the last one, or nearly so.
    """
    at = 0
    with asset.file.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:], "big")
            elif length == 0:  # the box reaches to the end of the file, where its data have an end marker
                file.seek(-2, 2)
                if head[4:8] == b"jp2c" and file.read(2) != b"\xff\xd9":
                    raise Unreadable(f"{asset.label} is truncated: its image data have no end marker")
                return
            if length < 8 or at + length > size:
                raise Unreadable(
                    f"{asset.label} is truncated: {size:,} bytes, expected at least {at + length:,}"
                )
            at += length
