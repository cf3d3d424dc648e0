"""Headers of rasters: what is read from them, and what can't be used, before any pixel is decoded."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from mosaic_files import write_raster

from tessera_engine.errors import InputError
from tessera_engine.scene import Window
from tessera_engine.scenes.products import Asset
from tessera_engine.scenes.reading.rasters import Unreadable, open_raster, read_block
from tessera_kernels import scl

VALUES = np.random.default_rng(0).integers(1, 9000, (300, 200)).astype(np.uint16)

PROFILES = {
    "strips.tif": {},
    "tiles.tif": {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "predictor": 2},
    "big.tiff": {"BIGTIFF": "YES", "compress": "zstd"},
    "tile.jp2": {
        "driver": "JP2OpenJPEG",
        "QUALITY": "100",
        "REVERSIBLE": "YES",
        "BLOCKXSIZE": 128,
        "BLOCKYSIZE": 128,
    },
}


@pytest.fixture(params=PROFILES)
def path(request, tmp_path):
    return write_raster(tmp_path / request.param, VALUES, **PROFILES[request.param])


def test_what_was_written_is_read(path):
    raster = open_raster(Asset(path))
    assert raster.geometry == (CRS, ORIGIN, 200, 300)
    assert (raster.dtype, raster.nodata) == ("uint16", None)
    np.testing.assert_array_equal(read_block(raster, Window(30, 70, 101, 150)), VALUES[70:220, 30:131])


@pytest.mark.parametrize("kept", [0.999, 0.9, 0.5, 0.1])
def test_a_truncated_file_is_found_on_opening(path, kept):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(Unreadable, match=f"{path.name} (is truncated|can't be read)"):
        open_raster(Asset(path))


@given(st.binary(max_size=200), st.sampled_from([".tif", ".jp2", ".nc"]))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_in_one_line(tmp_path, content, suffix):
    path = tmp_path / f"any{suffix}"
    path.write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        open_raster(Asset(path))
    assert "\n" not in str(caught.value)


def test_a_member_of_a_zip_is_read_without_unpacking(path, tmp_path):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, f"IMG_DATA/{path.name}")
    asset = Asset(tmp_path / "packed.zip", name=f"/vsizip/{tmp_path / 'packed.zip'}/IMG_DATA/{path.name}")
    path.unlink()
    np.testing.assert_array_equal(read_block(open_raster(asset), Window(0, 0, 200, 300)), VALUES)
    with pytest.raises(Unreadable, match=rf"^IMG_DATA/{path.name}x can't be read"):
        open_raster(asset._replace(name=f"{asset.name}x"))


def test_nodata_is_read_as_0_or_as_nan_where_0_is_a_value(tmp_path):
    values = np.array([[1.0, np.nan], [-9999, 2]], np.float32)
    for nodata, wanted in ((np.nan, [[1, np.nan], [-9999, 2]]), (-9999, [[1, np.nan], [np.nan, 2]])):
        raster = open_raster(Asset(write_raster(tmp_path / "a.tif", values, nodata=nodata)))
        np.testing.assert_array_equal(read_block(raster, Window(0, 0, 2, 2)), wanted)
    raster = open_raster(Asset(write_raster(tmp_path / "b.tif", VALUES, nodata=int(VALUES[0, 0]))))
    assert read_block(raster, Window(0, 0, 1, 1)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crs": None}, "has no CRS"),
        ({"transform": Affine.identity()}, "has no geotransform"),
        ({"transform": Affine(0, 0, 5, 0, 0, 5)}, r"transform .*0\.0, 0\.0, 5\.0"),
    ],
)
def test_a_raster_without_a_place_on_earth_is_refused(tmp_path, change, message):
    path = write_raster(tmp_path / "a.tif", VALUES, **change)
    with pytest.raises(Unreadable, match=message):
        open_raster(Asset(path))


def test_a_missing_band_is_refused(tmp_path):
    with pytest.raises(Unreadable, match="has 1 bands, expected at least 2"):
        open_raster(Asset(write_raster(tmp_path / "a.tif", VALUES), band=2))


def test_a_file_that_vanishes_is_named(tmp_path):
    raster = open_raster(Asset(write_raster(tmp_path / "a.tif", VALUES)))
    raster.asset.file.unlink()
    with pytest.raises(InputError, match=r"copy .*a\.tif again"):
        read_block(raster, Window(0, 0, 2, 2))


def test_files_beside_a_raster_are_not_read(tmp_path):
    """A sidecar could change the raster's place, and looking for sidecars takes most of the time."""
    path = write_raster(tmp_path / "a.tif", VALUES)
    path.with_suffix(".tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:32733</SRS></PAMDataset>")
    assert open_raster(Asset(path)).geometry.crs == CRS


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint64"])
def test_whole_numbers_of_every_type_are_read(tmp_path, dtype):
    values = np.array([[0, 4], [100, -5 if dtype != "uint64" else 7]], dtype)
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", count=1, dtype=dtype, height=2, width=2, crs="EPSG:32631", transform=Affine(10, 0, 0, 0, -10, 0)) as file:  # fmt: skip
        file.write(values, 1)
    raster = open_raster(Asset(tmp_path / "a.tif"))
    found = read_block(raster, Window(0, 0, 2, 2))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.maximum(values.astype(np.int64), 0))
    assert scl.clear_classes(found).tolist() == [[0, 1], [0, 0 if dtype != "uint64" else 1]]
