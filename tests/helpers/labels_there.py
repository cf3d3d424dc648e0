"""Places and rasters for the tests of labels."""

from __future__ import annotations

import numpy as np
import rasterio
import shapely
from made_up import CRS, ORIGIN

WIDTH, HEIGHT, DIM = 40, 30, 16


def centre(col, row):
    return shapely.Point(*(ORIGIN @ (col + 0.5, row + 0.5)))


def write_raster(path, bands, nodata=None, **more):
    bands = np.asarray(bands)
    bands = bands[np.newaxis] if bands.ndim == 2 else bands
    profile = {
        "driver": "GTiff",
        "dtype": bands.dtype.name,
        "crs": CRS,
        "transform": ORIGIN,
        "nodata": nodata,
    }
    count, height, width = bands.shape
    with rasterio.open(path, "w", count=count, height=height, width=width, **(profile | more)) as file:
        file.write(bands)
    return path
