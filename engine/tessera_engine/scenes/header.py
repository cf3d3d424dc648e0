"""A raster's header: what some layouts need to know of a file before any pixel is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tessera_engine.scenes.members import Unusable
from tessera_engine.scenes.products import Asset

_JPEG_2000 = (".jp2", ".j2k")


def driver(asset: Asset) -> str:
    """The GDAL driver that opens a raster.

    It is named, since GDAL left alone looks at the content: a virtual raster called `B04.tif` could read any file
    of the machine, or the network.
    """
    if asset.name.startswith("NETCDF:"):
        return "netCDF"
    if asset.name.startswith("ZARR:"):
        return "Zarr"
    return "JP2OpenJPEG" if asset.path.lower().endswith(_JPEG_2000) else "GTiff"


@contextmanager
def header(asset: Asset) -> Iterator[Any]:
    """Open a raster as a rasterio dataset.

    Raises:
        Unusable: it can't be opened.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(asset.path, driver=driver(asset))
    except RasterioError as error:
        raise Unusable(f"can't be read as a raster ({error})") from None
    with dataset:
        yield dataset
