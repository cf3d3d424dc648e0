"""A raster's header: what some layouts need to know of a file before any pixel is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tessera_engine.scenes.members import Unusable
from tessera_engine.scenes.products import Asset

_IMAGE_DRIVERS = ["GTiff", "JP2OpenJPEG"]
_CUBE_DRIVERS = {"NETCDF:": ["netCDF"], "ZARR:": ["Zarr"]}
"""How an asset's name starts -> what may open it."""


def drivers(asset: Asset) -> list[str]:
    """The GDAL drivers that may open a raster.

    They are named, since GDAL looks at the content: a virtual raster called `B04.tif` could read any file of the
    machine, or the network.
    """
    return next(
        (each for start, each in _CUBE_DRIVERS.items() if asset.name.startswith(start)), _IMAGE_DRIVERS
    )


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
            dataset = rasterio.open(asset.path, driver=drivers(asset))
    except RasterioError as error:
        raise Unusable(f"can't be read as a raster ({error})") from None
    with dataset:
        yield dataset
