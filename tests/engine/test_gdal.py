"""GDAL's settings in several threads at once."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from tessera_engine.gdal import gdal_environment, raster_reader, without_georeference_warnings


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
