"""A raster is opened alone: what GDAL would open beside it isn't, and a world file is."""

from __future__ import annotations

from pathlib import Path

import hostile
import numpy as np
import pytest
import rasterio
from made_up import CRS
from rasterio import Affine
from rasterio.errors import RasterioIOError

from tessera_engine.gdal import gdal_environment, raster_reader

SIDE = 64


def write(path: Path, value: int, **profile) -> Path:
    shape = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8"}
    with gdal_environment(), rasterio.open(path, "w", **shape, **profile) as file:
        file.write(np.full((SIDE, SIDE), value, np.uint8), 1)
    return path


@pytest.fixture
def raster(tmp_path):
    return write(tmp_path / "a.tif", 1, crs=CRS, transform=Affine(10, 0, 500000, 0, -10, 5600000))


def thinned(path: Path):
    with gdal_environment(), raster_reader(path) as file:
        return file.overviews(1), file.read(1, out_shape=(8, 8)).max(), file.read_masks(1).min()


@pytest.mark.parametrize("ending", [".ovr", ".msk", ".OVR"])
@pytest.mark.parametrize("described", [True, False])
def test_overviews_and_masks_beside_a_raster_are_not_opened(raster, tmp_path, ending, described):
    other = write(tmp_path / "other.tif", 0)
    beside = Path(f"{raster}{ending}")
    if described:
        beside.write_text(hostile.vrt(str(other)).replace('="24"', '="32"'))
    else:
        other.rename(beside)
    assert thinned(raster) == ([], 1, 255)


def test_a_raster_that_names_the_file_of_its_overviews_is_refused(raster, tmp_path):
    other = write(tmp_path / "other.tif", 9)
    with rasterio.open(raster, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(other))
    with gdal_environment(), pytest.raises(RasterioIOError, match=r"other\.tif.*gdal_translate"):
        raster_reader(raster)


@pytest.mark.parametrize("name", ["a.tfw", "a.TFW", "a.wld", "a.tifw"])
def test_a_world_file_places_a_raster(tmp_path, name):
    raster = write(tmp_path / "a.tif", 1)
    (tmp_path / name).write_text("10\n0\n0\n-10\n500005\n5599995\n")
    with gdal_environment(), raster_reader(raster) as file:
        assert file.transform == Affine(10, 0, 500000, 0, -10, 5600000)
    (tmp_path / "A.tif.ovr").write_text(hostile.vrt(str(tmp_path / "other.tif")))
    with gdal_environment(), pytest.raises(RasterioIOError, match=r"A\.tif\.ovr"):
        raster_reader(raster)
