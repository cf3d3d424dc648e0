"""GeoTIFF stacks of Earth Engine and openEO: what is read equals the d-pixel form, and what is unclear is named."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN, FakeReader
from mosaic_files import day_of
from product_files import product_arrays, radar, scl, write_opera

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.search import find_products

ARRAYS = product_arrays(6, 8, steps=3)
DAYS = [day_of(doy) for doy in ARRAYS["doys"]]
SHORT = [band.replace("B0", "B") for band in S2_BANDS]
ORBITS = {"ascending": "17", "descending": "05"}


def write_stack(path, layers, descriptions, dtype):
    """A GeoTIFF with one band for each layer."""
    height, width = layers[0].shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", count=len(layers), dtype=dtype, height=height, width=width, crs=CRS, transform=ORIGIN) as file:  # fmt: skip
        for i, (layer, description) in enumerate(zip(layers, descriptions, strict=True), 1):
            file.write(layer.astype(dtype), i)
            file.set_band_description(i, description)
    return path


def image(t):
    bands = [ARRAYS["bands"][t, ..., b] for b in range(len(S2_BANDS))]
    return [*bands, scl(ARRAYS["masks"][t], t)]


def file_a_date(folder, name, names):
    for t, day in enumerate(DAYS):
        write_stack(folder / f"{name(day)}.tif", image(t), [*names, "SCL"], "uint16")


def one_file(folder, describe):
    layers = [layer for t in range(len(DAYS)) for layer in image(t)]
    described = [describe(day, band) for day in DAYS for band in (*SHORT, "SCL")]
    write_stack(folder / "export.tif", layers, described, "uint16")


FORMS = {
    "a file a date": lambda folder: file_a_date(folder, lambda day: f"S2_{day:%Y%m%d}", SHORT),
    "ESA's names": lambda folder: file_a_date(folder, lambda day: f"{day}_farm", S2_BANDS),
    "openEO": lambda folder: file_a_date(folder, lambda day: f"openEO_{day}Z", S2_BANDS),
    "Earth Engine's index": lambda folder: file_a_date(
        folder, lambda day: f"{day:%Y%m%d}T105421_{day:%Y%m%d}T105422_T31UES", SHORT
    ),
    "toBands": lambda folder: one_file(
        folder, lambda day, band: f"{day:%Y%m%d}T105421_{day:%Y%m%d}T105422_T31UES_{band}"
    ),
    "band first": lambda folder: one_file(folder, lambda day, band: f"{band}_{day:%Y%m%d}"),
    "date with hyphens": lambda folder: one_file(folder, lambda day, band: f"{day}_{band}"),
}


@pytest.mark.parametrize("form", FORMS)
def test_stacks_read_as_the_d_pixel_form(tmp_path, form):
    FORMS[form](tmp_path)
    write_opera(tmp_path / "s1", ARRAYS)
    scene, fake = open_scene(tmp_path), FakeReader(ARRAYS)
    assert scene.reader.layout == "opera+stacks"
    assert scene.reader.dates == fake.dates
    assert not scene.reader.unused
    assert any("HARMONIZED" in warning for warning in scene.reader.warnings)
    found, wanted = scene.reader.read(scene.grid.window), fake.read(scene.grid.window)
    np.testing.assert_array_equal(found.s2_valid != 0, wanted.s2_valid != 0)
    np.testing.assert_array_equal(found.s2[found.s2_valid != 0], wanted.s2[wanted.s2_valid != 0])


@pytest.mark.parametrize("units", ["db", "power"])
@pytest.mark.parametrize("stated", ["time", "word"])
def test_radar_stacks_read_as_the_d_pixel_form(tmp_path, units, stated):
    for orbit, hour in ORBITS.items():
        for t, doy in enumerate(ARRAYS[f"sar_{orbit}_doy"]):
            layers = [radar(ARRAYS[f"sar_{orbit}"][t, ..., c], units) for c in range(2)]
            day = f"{day_of(doy):%Y%m%d}"
            name = f"S1A_IW_GRDH_1SDV_{day}T{hour}2305_{day}T{hour}2330_0_0" if stated == "time" else f"S1_{day}_{orbit[:4].strip('e')}"  # fmt: skip
            write_stack(tmp_path / f"{name.replace('GRDH', 'X')}.tif", layers, ["VV", "VH"], "float32")
    scene, fake = open_scene(tmp_path), FakeReader(ARRAYS)
    found, wanted = scene.reader.read(scene.grid.window), fake.read(scene.grid.window)
    assert scene.reader.dates.s1_ascending == fake.dates.s1_ascending
    np.testing.assert_array_equal(found.s1_ascending, wanted.s1_ascending)
    np.testing.assert_array_equal(found.s1_descending, wanted.s1_descending)
    assert any(f"in {units} " in warning for warning in scene.reader.warnings)


@pytest.mark.parametrize(
    ("packing", "wanted"), [((0.0001, -0.1), 1000), ((1, -1000), 1000), ((0.0001, 0), 0), ((1, 0), 0)]
)
def test_the_scale_and_offset_of_bands_say_what_to_subtract(tmp_path, packing, wanted):
    path = write_stack(tmp_path / "S2_20240101.tif", image(0), [*SHORT, "SCL"], "uint16")
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = zip(*[packing] * 10, (1, 0), strict=True)
    found = find_products(list_folder(tmp_path))[1]
    assert [product.offset for product in found.s2] == [wanted]
    assert bool(found.warnings) == (packing == (1, 0))


@pytest.mark.parametrize(
    "packings",
    [
        [(0.0001, -0.2)] * 10,
        [(0.001, 0)] * 10,
        [(0.0001, -0.1)] * 9 + [(1, 0)],
        [(1, math.nan)] * 10,
        [(1, 0)] * 9 + [(1, math.inf)],
    ],
)
def test_other_scales_are_named(tmp_path, packings):
    path = write_stack(tmp_path / "S2_20240101.tif", image(0), [*SHORT, "SCL"], "uint16")
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = zip(*packings, (1, 0), strict=True)
    (problem,) = find_products(list_folder(tmp_path))[1].problems
    assert "expected 0.0001 and 0 or -0.1 for all bands" in problem.reason


def test_bands_without_descriptions_are_named(tmp_path):
    path = write_stack(tmp_path / "response.tif", image(0), [None] * 11, "uint16")
    (problem,) = find_products(list_folder(tmp_path))[1].problems
    assert problem == (
        path,
        "has 11 bands without descriptions, expected names such as B04 and SCL; describe them",
        True,
    )


MISTAKES = {
    "no date": ("export", SHORT, "no date"),
    "two dates": ("S2_20240101_20241231", SHORT, "2024-01-01 to 2024-12-31"),
    "no mask": ("S2_20240101", SHORT, "lacks SCL"),
    "no B12": ("S2_20240101", [*SHORT[:-1], "QA60"], "lacks B12, SCL"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_unclear_stacks_are_named(tmp_path, mistake):
    name, names, reason = MISTAKES[mistake]
    path = write_stack(tmp_path / f"{name}.tif", image(0)[:-1], names, "uint16")
    (problem,) = find_products(list_folder(tmp_path))[1].problems
    assert problem.source == path
    assert problem.lost
    assert reason in problem.reason


def test_images_by_number_need_dates(tmp_path):
    """`toBands()` of mosaics numbers the images: the date in the file's name is that of one of them at most."""
    described = [f"{t}_{band}" for t in range(2) for band in (*SHORT, "SCL")]
    write_stack(tmp_path / "S2_20240115.tif", image(0) + image(1), described, "uint16")
    found = find_products(list_folder(tmp_path))[1]
    assert not found.s2
    assert "no date" in found.problems[0].reason
    write_stack(tmp_path / "S2_20240115.tif", image(0), described[:11], "uint16")
    assert [product.date for product in find_products(list_folder(tmp_path))[1].s2] == [date(2024, 1, 15)]


def test_an_orthophoto_is_no_stack(tmp_path):
    write_stack(tmp_path / "ortho_20240115.tif", image(0)[:3], ["red", "green", "blue"], "uint16")
    found = find_products(list_folder(tmp_path))[1]
    assert not found.s2
    assert [problem.lost for problem in found.problems] == [False]
