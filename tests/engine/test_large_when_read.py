"""Small files that are large when they are read: refused in one line or read in parts, within a second or a few."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN, made_up_arrays, write_tile
from mosaic_files import FOLDERS
from numpy.lib import format as npy
from outputs import made_up_output
from staged import landscape
from tessera_engine.analysis.maps.labels import read_labels

import tessera_engine as te
from tessera_engine.errors import CheckFailed, InputError, TesseraError
from tessera_engine.gdal import MOST_BLOCK_BYTES, gdal_environment, raster_reader
from tessera_engine.scene import Grid
from tessera_engine.scenes.reading.product_scene import MOST_CANDIDATES

STRIP = {"width": 12_000, "height": 12_000, "blockysize": 12_000, "dtype": "uint16"}
"""One strip of 288 MB; nothing was written into it, so the file has some hundred bytes."""

SPARSE = {
    "width": 60_000,
    "height": 60_000,
    "tiled": True,
    "blockxsize": 512,
    "blockysize": 512,
    "dtype": "uint16",
}


def empty_raster(path: Path, count: int = 1, **profile) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"driver": "GTiff", "count": count, "crs": CRS, "transform": ORIGIN, "SPARSE_OK": True} | profile
    with rasterio.open(path, "w", compress="deflate", **about):
        return path


def mosaics(folder: Path, **profile) -> Path:
    for name in (*FOLDERS, "scl"):
        empty_raster(folder / "data_raw" / name / f"{date(2021, 6, 1)}_mosaic.tiff", **profile)
    return folder


def assert_one_line(error: Exception, *facts: str) -> None:
    text = str(error)
    assert "\n" not in text
    for fact in facts:
        assert fact in text


def test_a_products_file(tmp_path):
    with pytest.raises(InputError) as refused:
        te.open_scene(mosaics(tmp_path / "scene", **STRIP))
    assert (tmp_path / "scene/data_raw/red/2021-06-01_mosaic.tiff").stat().st_size < 10_000
    assert_one_line(refused.value, "12000 x 12000", "288 MB", "128 MB")


def test_the_place_of_a_tile(tmp_path):
    tile = write_tile(tmp_path / "tile", made_up_arrays(6, 5, 4))
    empty_raster(tile / "roi.tiff", **STRIP)
    with pytest.raises(InputError) as refused:
        te.open_scene(tile)
    assert_one_line(refused.value, "roi.tiff", "288 MB")


def test_labels(tmp_path):
    labels = empty_raster(tmp_path / "labels.tif", **STRIP)
    with pytest.raises(InputError) as refused:
        read_labels(labels, None, Grid(10, 10, CRS, ORIGIN), regression=False)
    assert_one_line(refused.value, "labels.tif", "288 MB")


def test_bands_that_lie_pixel_by_pixel_are_one_block(tmp_path):
    shape = {
        "width": 2048,
        "height": 2048,
        "tiled": True,
        "blockxsize": 2048,
        "blockysize": 2048,
        "dtype": "uint8",
    }
    apart = empty_raster(tmp_path / "apart.tif", 40, interleave="band", **shape)
    mixed = empty_raster(tmp_path / "mixed.tif", 40, interleave="pixel", **shape)
    assert 2048**2 < MOST_BLOCK_BYTES < 40 * 2048**2
    with gdal_environment():
        raster_reader(apart).close()
        with pytest.raises(rasterio.errors.RasterioIOError, match="168 MB"):
            raster_reader(mixed)


def test_embeddings_of_an_output(tmp_path):
    out = made_up_output(tmp_path / "out", landscape(20, 30))
    tiles = {"tiled": True, "blockxsize": 4096, "blockysize": 4096}
    empty_raster(out / "embeddings.tif", 16, width=30, height=20, dtype="int8", **tiles)
    with pytest.raises(TesseraError) as refused:
        te.open_embeddings(out).read()
    assert_one_line(refused.value, "embeddings.tif", "268 MB")
    with pytest.raises(CheckFailed) as failed:
        te.verify(out)
    assert_one_line(failed.value, "embeddings.tif")


def test_a_cube_with_one_chunk(tmp_path):
    shape = (1, 16, 16_000_000)
    variable = tmp_path / "cube.zarr" / "B02"
    variable.mkdir(parents=True)
    (variable.parent / ".zgroup").write_text('{"zarr_format": 2}')
    plain = {
        "zarr_format": 2,
        "dtype": "<u2",
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    (variable / ".zarray").write_text(json.dumps(plain | {"shape": shape, "chunks": shape}))
    with gdal_environment(), pytest.raises(rasterio.errors.RasterioIOError) as refused:
        raster_reader(f'ZARR:"{variable.parent}":/B02', "Zarr")
    assert_one_line(refused.value, "16000000 x 16", "512 MB")


def test_an_array_that_claims_more_than_its_file(tmp_path):
    tile = write_tile(tmp_path / "tile", made_up_arrays(6, 5, 4))
    out = made_up_output(tmp_path / "out", landscape(20, 30), "npy")
    for path in (tile / "bands.npy", out / "field.npy"):
        with path.open("wb") as file:
            shape, dtype = (
                ((4, 100_000, 100_000, 10), "<u2") if path.parent == tile else ((20, 30, 16), "|i1")
            )
            npy.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
            file.write(b"0" * 100)
    with pytest.raises(InputError) as refused:
        te.open_scene(tile)
    assert_one_line(refused.value, "bands.npy", "800,000,000,128")
    with pytest.raises(TesseraError) as cut:
        te.open_embeddings(out)
    assert_one_line(cut.value, "field.npy", "9,600")


def test_a_huge_scene_without_data_is_sampled_from_few_of_its_cells(tmp_path):
    reader = te.open_scene(mosaics(tmp_path / "scene", **SPARSE)).reader
    region = reader.grid.window
    assert region.pixels == 60_000**2
    cells = reader._candidates(region, (64, 64))
    assert MOST_CANDIDATES / 4 < len(cells) <= MOST_CANDIDATES
    assert {(cell.width, cell.height) for cell in cells} == {(64, 64)}
    assert {cell.col % 64 for cell in cells} == {cell.row % 64 for cell in cells} == {0}
    sample = reader.sample(region, 64**2)
    assert sample.s2.shape[1:3] == (64, 64)
    assert not sample.s2_valid.any()


def test_zeros_are_read_as_zeros_where_the_file_is_sparse(tmp_path):
    path = empty_raster(tmp_path / "sparse.tif", **SPARSE)
    with gdal_environment(), raster_reader(path) as file:
        part = file.read(1, window=((59_000, 59_100), (100, 200)))
    np.testing.assert_array_equal(part, 0)
