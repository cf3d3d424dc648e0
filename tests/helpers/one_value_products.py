"""Products with one value in all pixels, and the scene of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
from mosaic_files import CLEAR, CLOUD, write_raster

from tessera_engine.scene import Observations
from tessera_engine.scenes.products import Asset, Found, S2Product
from tessera_engine.scenes.reading.product_scene import ProductScene


def s2_product(folder: Path, name: str, value: int, clear: np.ndarray, offset: int = 0, **place) -> S2Product:
    """A product with one value in all bands, and 20 m bands as files of 10 m."""
    height, width = clear.shape
    asset = Asset(write_raster(folder / f"{name}.tif", np.full((height, width), value, np.uint16), **place))
    mask = write_raster(folder / f"{name}_scl.tif", np.where(clear, CLEAR, CLOUD).astype(np.uint8), **place)
    bands = dict.fromkeys(("B04", "B02", "B03", "B08", "B8A", "B05", "B06", "B07", "B11", "B12"), asset)
    return S2Product(name, asset.file, date(2021, 5, 1), bands, Asset(mask), offset)


def read_all(folder: Path, **found) -> Observations:
    scene = ProductScene("test", folder, Found(**found))
    return scene.read(scene.grid.window)
