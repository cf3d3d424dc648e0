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


def gdal_options(cache_bytes: int = CACHE_BYTES, **options: Any) -> rasterio.Env:
    """A context in which GDAL has a limited cache and further options; of this thread only.

    Args:
        cache_bytes: size of GDAL's block cache.
        options: further configuration options of GDAL.
    """
    return rasterio.Env(GDAL_CACHEMAX=cache_bytes, **options)


@contextmanager
def without_georeference_warnings() -> Iterator[None]:
    """Hide rasterio's warnings about rasters without a georeference, which the engine reports itself.

    Not for use in several threads at once: it changes the warning filters of the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def gdal_environment(cache_bytes: int = CACHE_BYTES, **options: Any) -> Iterator[None]:
    """`gdal_options` and `without_georeference_warnings` together; not for use in several threads at once.

    Args:
        cache_bytes: size of GDAL's block cache.
        options: further configuration options of GDAL.
    """
    with gdal_options(cache_bytes, **options), without_georeference_warnings():
        yield
