"""The files of a scene folder, and that nothing outside of it is ever opened."""

from __future__ import annotations

import os
from datetime import date

import numpy as np
import pytest
import rasterio
from mosaic_files import CLEAR, write_raster, write_s2_mosaic

from tessera_engine.errors import InputError
from tessera_engine.files.inside import inside
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.metadata.listing import list_folder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.tif").write_text("secret")
    root = tmp_path / "scene"
    for name in ("b/2.tif", "a.tif", "b/.hidden.tif", ".cache/x.tif"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    return root


def test_files_are_listed_sorted_and_without_hidden_ones(folder):
    listing = list_folder(folder)
    assert listing.files == (folder / "a.tif", folder / "b" / "2.tif")
    assert listing.problems == ()


def test_links_are_followed_within_the_folder_only(folder):
    (folder / "within.tif").symlink_to(folder / "a.tif")
    (folder / "out.tif").symlink_to("../outside/secret.tif")
    (folder / "out").symlink_to(folder.parent / "outside")
    (folder / "loop").symlink_to(folder)
    (folder / "broken.tif").symlink_to("nothing")
    os.mkfifo(folder / "pipe.tif")
    listing = list_folder(folder)
    assert {path.name for path in listing.files} == {"a.tif", "2.tif", "within.tif"}
    reasons = {problem.source.name: problem.reason for problem in listing.problems}
    assert reasons.keys() == {"out.tif", "out", "broken.tif", "pipe.tif"}
    assert "out of the scene folder" in reasons["out.tif"]
    assert reasons["out"] == reasons["out.tif"] != reasons["broken.tif"]


def test_inside(folder):
    assert inside(folder, folder / "b" / ".." / "a.tif")
    assert not inside(folder, folder / ".." / "outside" / "secret.tif")
    assert not inside(folder, folder.parent / "scene2")


def test_a_virtual_raster_in_disguise_is_not_opened(tmp_path):
    """GDAL looks at a file's content: this one, called .tif, would show another file."""
    secret = write_raster(tmp_path / "secret.tif", np.full((4, 4), 7, np.uint16))
    day = date(2021, 5, 1)
    write_s2_mosaic(
        tmp_path / "scene", day, np.full((4, 4, 10), 500, np.uint16), np.full((4, 4), CLEAR, np.uint8)
    )
    disguised = tmp_path / "scene" / "data_raw" / "red" / f"{day}_mosaic.tiff"
    disguised.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:32631</SRS><GeoTransform>0,10,0,0,0,-10</GeoTransform>'
        f'<VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename>{secret}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with rasterio.open(disguised) as raster:
        assert raster.read().max() == 7  # what would happen
    with pytest.raises(InputError, match=r"red/2021-05-01_mosaic\.tiff"):
        open_scene(tmp_path / "scene")
