"""Rasters of products: opened for their header, checked, and read block by block."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.scene import Window
from tessera_engine.scenes.products import Asset, Unusable

_OPTIONS = {
    "GDAL_CACHEMAX": 32_000_000,  # bytes; left alone it is a twentieth of the machine's memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no search for files beside each file: thousands of them
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_NUM_THREADS": "1",  # several files are read at once already
}

_CHECKED_BLOCKS = 3


class Unreadable(Unusable):
    """A raster can't be used."""


class Geometry(NamedTuple):
    """Where a raster's pixels lie."""

    crs: str
    transform: Affine
    width: int
    height: int


@dataclass(frozen=True)
class Raster:
    """One band of a file that could be opened.

    Attributes:
        asset: where it is.
        geometry: where it lies.
        dtype: of its values.
        nodata: what it has for no data; None: nothing, or 0 among whole numbers.
        block: width and height of the blocks that it is stored in.
    """

    asset: Asset
    geometry: Geometry
    dtype: str
    nodata: float | None
    block: tuple[int, int]


@contextmanager
def without_georeference_warnings() -> Iterator[None]:
    """Keep rasterio from warning of what `open_raster` refuses. Not for threads: it changes the whole process."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def open_raster(asset: Asset) -> Raster:
    """Read a raster's header, and check that a few of its blocks are there.

    Raises:
        Unreadable: it can't be opened, lies nowhere on Earth, or is cut short.
    """
    with opened(asset) as dataset:
        if not 1 <= asset.band <= dataset.count:
            raise Unreadable(f"{asset.label} has {dataset.count} bands, expected at least {asset.band}")
        if dataset.crs is None:
            raise Unreadable(f"{asset.label} has no CRS: it can't be placed on Earth")
        if not np.isfinite(dataset.transform).all() or dataset.transform.determinant == 0:
            raise Unreadable(f"{asset.label} has pixels without an extent: {tuple(dataset.transform)[:6]}")
        _check_blocks(asset, dataset)
        dtype, nodata = dataset.dtypes[asset.band - 1], dataset.nodatavals[asset.band - 1]
        return Raster(
            asset,
            Geometry(dataset.crs.to_string(), dataset.transform, dataset.width, dataset.height),
            dtype,
            None if nodata == 0 and "float" not in dtype else nodata,
            dataset.block_shapes[asset.band - 1][::-1],
        )


def read_block(raster: Raster, block: Window) -> NDArray[Any]:
    """Read a block that lies in the raster: (height, width) of its own dtype.

    What it has for no data becomes 0, or NaN among floats: of decibels, 0 is a value like any other.

    Raises:
        InputError: the file is damaged, or has changed since it was opened.
    """
    try:
        with opened(raster.asset) as dataset:
            from rasterio.windows import Window as RasterioWindow

            values: NDArray[Any] = dataset.read(raster.asset.band, window=RasterioWindow(*block))
    except Unreadable as error:
        raise InputError(
            f"{error}; copy {raster.asset.file} again, or move its product out of the scene folder to embed "
            "without it"
        ) from None
    if raster.nodata is not None:
        missing = np.isnan(values) if np.isnan(raster.nodata) else values == raster.nodata
        values[missing] = np.nan if values.dtype.kind == "f" else 0
    return values


@contextmanager
def opened(asset: Asset) -> Iterator[Any]:
    """A rasterio dataset; whatever GDAL says against the file, opening or reading it, is `Unreadable`."""
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env(**_OPTIONS), rasterio.open(asset.path, driver=asset.driver) as dataset:
            yield dataset
    except (
        RasterioError,
        CPLE_BaseError,
        UnicodeDecodeError,
        IndexError,
    ) as error:  # the last two: damaged tags
        # rasterio says "see above" where GDAL has said more
        cause = error.__cause__ or error.__context__ or error
        reason = " ".join(str(cause).replace(f"'{asset.path}' ", "").split())
        raise Unreadable(f"{asset.label} can't be read as a raster ({reason})") from None


def _check_blocks(asset: Asset, dataset: Any) -> None:
    """Find a file that was cut short, without decoding anything."""
    if asset.name:
        return  # in a zip, whose directory is at its end
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
                raise Unreadable(f"{asset.label} is cut short: {size:,} bytes, expected at least {end:,}")
    elif dataset.driver == "JP2OpenJPEG":
        _check_boxes(asset, size)


def _check_boxes(asset: Asset, size: int) -> None:
    """A JPEG 2000 file is a chain of boxes, each with its length; the picture is the last one or nearly."""
    at = 0
    with asset.file.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:], "big")
            elif length == 0:  # to the end of the file, which the codestream marks
                file.seek(-2, 2)
                if head[4:8] == b"jp2c" and file.read(2) != b"\xff\xd9":
                    raise Unreadable(f"{asset.label} is cut short: its picture has no end")
                return
            if length < 8 or at + length > size:
                raise Unreadable(
                    f"{asset.label} is cut short: {size:,} bytes, expected at least {at + length:,}"
                )
            at += length
