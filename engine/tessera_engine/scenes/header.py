"""A raster's header: what some layouts need to know of a file before any pixel is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tessera_engine.scenes.members import Unusable
from tessera_engine.scenes.products import Asset

IMAGE_DRIVERS = ("GTiff", "JP2OpenJPEG")
"""Named, since GDAL looks at the content: a virtual raster called `x.tif` could read any file, or the network."""


@contextmanager
def header(asset: Asset, drivers: tuple[str, ...] = IMAGE_DRIVERS) -> Iterator[Any]:
    """Open a raster as a rasterio dataset, with no other driver than those named.

    Raises:
        Unusable: it can't be opened.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(asset.path, driver=list(drivers))
    except RasterioError as error:
        raise Unusable(f"can't be read as a raster ({error})") from None
    with dataset:
        yield dataset
