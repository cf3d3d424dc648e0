"""A raster is opened alone: what GDAL would open beside it isn't, and a world file is. And settings in several threads."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import hostile
import numpy as np
import pytest
import rasterio
from made_up import CRS
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from tessera_engine.gdal import gdal_environment, raster_reader, without_georeference_warnings

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


@pytest.fixture
def nowhere(tmp_path):
    """A GeoTIFF without a place on Earth, about which rasterio warns."""
    path = tmp_path / "a.tif"
    file = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": np.uint8}
    with without_georeference_warnings(), rasterio.open(path, "w", **file) as raster:
        raster.write(np.ones((1, 8, 8), np.uint8))
    return path


def test_warnings_stay_hidden_until_the_last_thread_has_left(nowhere):
    entered, leave = threading.Event(), threading.Event()

    def first():
        with gdal_environment():
            entered.set()
            leave.wait()

    other = threading.Thread(target=first)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        other.start()
        entered.wait()
        with gdal_environment():
            leave.set()  # the thread that has added the filter leaves before this one
            other.join()
            raster_reader(nowhere).close()
            assert not seen
        assert warnings.filters == filters
        raster_reader(nowhere).close()
        assert [each.category for each in seen] == [NotGeoreferencedWarning]
