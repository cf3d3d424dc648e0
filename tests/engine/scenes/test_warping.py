"""Products in another zone or at another resolution, against GDAL's own warping and on a real scene."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pytest
from affine import Affine
from made_up import CRS
from mosaic_files import write_mosaics, write_raster
from numpy.typing import NDArray
from places import FLANDERS
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from tessera_engine.running import loading
from tessera_engine.scene import Grid, Window
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.products import Asset
from tessera_engine.scenes.reading.rasters import open_raster
from tessera_engine.scenes.reading.warping import Points, read_bilinear, read_codes, read_nearest

OTHER_ZONE = "EPSG:32632"


def smooth(height: int, width: int, seed: int = 0) -> NDArray:
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    waves = sum(np.sin(rows / a + b) * np.cos(cols / b + a) for a, b in rng.uniform(3, 9, (6, 2)))
    return (3000 + 400 * waves).astype(np.uint16)


def covering(grid: Grid, crs: str, pixel: float) -> tuple[Affine, int, int]:
    """Transform, height and width of a raster in another CRS that covers a grid with a margin of 100 m."""
    right, bottom = grid.transform @ (grid.width, grid.height)
    west, south, east, north = transform_bounds(CRS, crs, grid.transform.c, bottom, right, grid.transform.f)
    height, width = (int((high - low + 200) / pixel) for low, high in ((south, north), (west, east)))
    return Affine(pixel, 0, west - 100, 0, -pixel, north + 100), height, width


@pytest.fixture(scope="module")
def grid():
    return Grid(70, 60, CRS, Affine(10, 0, 600_000, 0, -10, 5_600_000))


def by_gdal(values: NDArray, transform: Affine, crs: str, grid: Grid, resampling: Resampling) -> NDArray:
    out = np.zeros((grid.height, grid.width), values.dtype)
    reproject(
        values,
        out,
        src_transform=transform,
        src_crs=crs,
        src_nodata=0,
        dst_transform=grid.transform,
        dst_crs=CRS,
        dst_nodata=0,
        resampling=resampling,
        tolerance=0,  # exact, and not GDAL's approximation by an eighth of a pixel
        XSCALE=1,  # no blur: a rotated grid looks coarser to GDAL than it is
        YSCALE=1,
    )
    return out


@pytest.mark.parametrize(("crs", "pixel"), [(CRS, 20.0), (OTHER_ZONE, 10.0), (OTHER_ZONE, 20.0)])
def test_resampling_equals_gdal(tmp_path, grid, crs, pixel):
    transform, height, width = covering(grid, crs, pixel)
    values = smooth(height, width)
    raster = open_raster(Asset(write_raster(tmp_path / "a.tif", values, transform, crs)))
    points = Points(grid, grid.window)
    out = np.zeros((grid.height, grid.width), np.uint16)
    read_bilinear(raster, points, out)
    difference = out.astype(int) - by_gdal(values, transform, crs, grid, Resampling.bilinear)
    assert abs(difference).max() <= 1  # GDAL rounds halves up
    nearest = read_nearest(raster, points)
    assert (
        nearest == by_gdal(values, transform, crs, grid, Resampling.nearest)
    ).mean() > 0.999  # ties of rounding
    power = (values / np.float32(20_000)).astype(np.float32)
    raster = open_raster(Asset(write_raster(tmp_path / "b.tif", power, transform, crs)))
    codes = np.zeros((grid.height, grid.width), np.int16)
    read_codes(raster, points, "power", codes)
    warped = by_gdal(power, transform, crs, grid, Resampling.bilinear)
    assert abs(codes - (20 * np.log10(warped) + 50) * 200).max() < 2


def test_outside_a_raster_nothing_is_read(tmp_path, grid):
    transform, height, width = covering(grid, OTHER_ZONE, 10.0)
    away = Affine.translation(-20_000, 0) @ transform
    raster = open_raster(Asset(write_raster(tmp_path / "a.tif", smooth(height, width), away, OTHER_ZONE)))
    points = Points(grid, grid.window)
    out = np.zeros((grid.height, grid.width), np.uint16)
    read_bilinear(raster, points, out)
    assert not out.any()
    assert read_nearest(raster, points) is None


def thinned_flanders(every: int) -> tuple[dict[str, NDArray], dict[str, list[date]], Affine]:
    """Every n-th date of the real scene."""
    import rasterio

    names = {"doys": "s2_dates", "sar_ascending_doy": "s1_dates"}
    arrays = {
        name: np.load(FLANDERS / f"{name}.npy")[::every]
        for name in ("bands", "masks", "sar_ascending", *names)
    }
    text = json.loads((FLANDERS / "dates.json").read_text())
    days = {name: [date.fromisoformat(day) for day in text[key]][::every] for name, key in names.items()}
    with rasterio.open(FLANDERS / "roi.tiff") as roi:
        return arrays, days, roi.transform


def in_another_zone(
    arrays: dict[str, NDArray], grid: Grid, pixel: float
) -> tuple[dict[str, NDArray], Affine]:
    """The same ground as seen by a finer sensor in the other zone: each point has the value of its pixel."""
    transform, height, width = covering(grid, OTHER_ZONE, pixel)
    warped = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            warped[name] = array
            continue
        planes = array.reshape(*array.shape[:3], -1).transpose(0, 3, 1, 2)
        out = np.zeros((*planes.shape[:2], height, width), array.dtype)
        reproject(
            planes.reshape(-1, *planes.shape[2:]),
            out.reshape(-1, height, width),
            src_transform=grid.transform,
            src_crs=CRS,
            dst_transform=transform,
            dst_crs=OTHER_ZONE,
            resampling=Resampling.nearest,
        )
        warped[name] = out.transpose(0, 2, 3, 1).reshape(len(array), height, width, *array.shape[3:])
    return warped, transform


def centred_cosines(a: NDArray, b: NDArray) -> NDArray:
    a, b = a - a.mean(axis=0), b - a.mean(axis=0)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(scope="module")
def model():
    return loading.load_model("demo", backend="onnxruntime")


def embedded(model, reader) -> NDArray:
    window = Window(2, 2, reader.grid.width - 4, reader.grid.height - 4)  # pixels at the edge lose neighbours
    found = reader.read(window)
    arrays = [
        array.transpose(1, 2, 0, *range(3, array.ndim)).reshape(
            window.pixels, array.shape[0], *array.shape[3:]
        )
        for array in (found.s2, found.s2_valid, found.s1_ascending)
    ]
    return model.embed_pixels(arrays[0], found.s2_doy, arrays[1], arrays[2], found.s1_ascending_doy)


@pytest.mark.skipif(not FLANDERS.exists(), reason="needs ../shared/data/flanders-2018")
def test_embeddings_of_a_real_scene_hardly_change_in_another_zone(tmp_path, model):
    arrays, days, transform = thinned_flanders(every=7)
    grid = Grid(64, 64, CRS, transform)
    here = open_scene(write_mosaics(tmp_path / "here", arrays, days, transform=transform))
    assert here.grid == grid
    warped, other = in_another_zone(arrays, grid, pixel=4.0)
    write_mosaics(tmp_path / "there", warped, days, transform=other, crs=OTHER_ZONE)
    like = next((tmp_path / "here").glob("data_raw/red/*.tiff"))
    there = open_scene(tmp_path / "there", like=like)
    assert there.grid == grid
    cosines = centred_cosines(embedded(model, here.reader), embedded(model, there.reader))
    assert cosines.mean() >= 0.999
