"""GDAL through rasterio: a quiet environment with a small cache, and all the errors that it raises."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rasterio

# rasterio lets GDAL's own errors through, and exports no public name for them.
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

GDAL_ERRORS = (CPLE_BaseError, RasterioError, OSError)
"""Whatever opening, reading, writing or projecting with rasterio can raise."""

PROJECTION_ERRORS = (CPLE_BaseError, RasterioError)
"""Whatever projecting coordinates can raise."""

CACHE_BYTES = 64_000_000
"""GDAL's block cache. Its own default is 5 % of the machine's memory."""


@contextmanager
def gdal_environment(cache_bytes: int = CACHE_BYTES, **options: Any) -> Iterator[None]:
    """Run GDAL with a limited cache and without warnings about rasters that have no georeference.

    Those are reported once, when a scene is opened.

    Args:
        cache_bytes: size of GDAL's block cache.
        options: further configuration options of GDAL.
    """
    with rasterio.Env(GDAL_CACHEMAX=cache_bytes, **options), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
