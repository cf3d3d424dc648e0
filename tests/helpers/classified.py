"""A map of classes with the truth that it errs from, and the points that are drawn from it."""

from __future__ import annotations

import numpy as np
import rasterio
from made_up import CRS, ORIGIN
from rasterio.warp import transform

from tessera_engine.places.read import read_features
from tessera_engine.places.shapes import ShapeFile

HEIGHT, WIDTH, NODATA = 50, 60, 255
NAMES = {1: "forest", 2: "maize", 7: "bog"}
generator = np.random.default_rng(0)
TRUTH = generator.choice([1, 2, 7], (HEIGHT, WIDTH), p=[0.5, 0.4, 0.1]).astype(np.uint8)
MAP = np.where(generator.random(TRUTH.shape) < 0.8, TRUTH, generator.choice([1, 2, 7], TRUTH.shape)).astype(
    np.uint8
)
MAP[:3] = NODATA


def write_map(path, values=MAP, names=NAMES, crs=CRS, at=ORIGIN, nodata=NODATA):
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": 1,
        "crs": crs,
        "transform": at,
        "nodata": nodata,
    }
    with rasterio.open(path, "w", height=values.shape[0], width=values.shape[1], **profile) as file:
        file.write(values, 1)
        file.update_tags(**{f"CLASS_{value}": name for value, name in names.items()})
    return path


def columns_of(path):
    features = read_features(ShapeFile(path))
    return {name: features.table.column(name).to_pylist() for name in features.table.column_names}


def places_of(path):
    """Columns and rows of the points of a file, by their longitude and latitude."""
    columns = columns_of(path)
    x, y = transform("EPSG:4326", CRS, columns["lon"], columns["lat"])
    col, row = np.floor(~ORIGIN @ np.array([x, y])).astype(int)
    return col, row, columns
