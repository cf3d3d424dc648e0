"""OPERA and HyP3: date, orbit and units of each product, and each bad one named once."""

from __future__ import annotations

import re
import shutil
import zipfile
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mosaic_files import day_of
from product_files import product_arrays, write_hyp3, write_opera, write_raster, zip_up

from tessera_engine.scenes.layouts import hyp3, opera
from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.metadata.orbits import orbit_at
from tessera_engine.scenes.products import Unusable
from tessera_engine.scenes.search import find_products

ARRAYS = product_arrays(4, 6, steps=2)
WANTED = sorted(
    (day_of(doy), orbit) for orbit in ("ascending", "descending") for doy in ARRAYS[f"sar_{orbit}_doy"]
)
VIRTUAL = '<VRTDataset rasterXSize="5" rasterYSize="5"><VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'


def find(layout, folder):
    return find_products(list_folder(folder), layout.__name__.rsplit(".", 1)[1])[1]


def only_problem(layout, folder):
    (problem,) = find(layout, folder).problems
    return problem


def test_opera_bursts_are_found(tmp_path):
    write_opera(tmp_path / "radar", ARRAYS)
    found = find(opera, tmp_path)
    assert not found.problems
    assert not found.warnings
    assert sorted({(product.date, product.orbit) for product in found.s1}) == WANTED
    assert len(found.s1) == 2 * len(WANTED)
    assert {product.units for product in found.s1} == {"power"}
    assert all(product.vv.path.endswith("_VV.tif") for product in found.s1)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("units", ["power", "amplitude", "db"])
def test_hyp3_products_are_found(tmp_path, units, zipped):
    paths = write_hyp3(tmp_path / "radar", ARRAYS, units, zipped)
    found = find(hyp3, tmp_path)
    assert not found.problems
    (warning,) = found.warnings
    assert "3 are ascending and 3 descending" in warning
    assert sorted((product.date, product.orbit) for product in found.s1) == WANTED
    assert {product.units for product in found.s1} == {units}
    if zipped:
        assert sorted(product.source for product in found.s1) == sorted(paths)


@pytest.mark.parametrize(
    ("time", "longitude", "orbit"),
    [
        ("2021-06-01T17:23", 5.0, "ascending"),  # Flanders
        ("2021-06-01T05:58", 5.0, "descending"),
        ("2021-06-01T01:50", -122.0, "ascending"),  # California: the evening before, UTC is the next day
        ("2021-06-01T14:07", -122.0, "descending"),
        ("2021-06-01T08:34", 147.0, "ascending"),  # Tasmania
        ("2021-06-01T19:32", 147.0, "descending"),
        ("2021-06-01T16:00", 0.0, "ascending"),  # 70 degrees north
    ],
)
def test_the_orbit_follows_from_local_time(time, longitude, orbit):
    assert orbit_at(datetime.fromisoformat(time), longitude) == orbit


@given(st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1)), st.floats(-180, 180))
def test_half_a_day_later_is_the_other_orbit_or_neither_is_known(start, longitude):
    def orbit(moment):
        try:
            return orbit_at(moment, longitude)
        except Unusable:
            return None

    later = start.replace(hour=(start.hour + 12) % 24)
    assert {orbit(start), orbit(later)} in ({"ascending", "descending"}, {None})


@pytest.mark.parametrize("write", [write_opera, write_hyp3])
def test_an_unfinished_channel_is_named(tmp_path, write):
    write(tmp_path, ARRAYS)
    path = sorted(tmp_path.rglob("*_VH.tif"))[0]
    partial = path.rename(f"{path}.part")
    (problem,) = find_products(list_folder(tmp_path))[1].problems
    assert problem == (partial, "is an unfinished download; download it again", True)


@pytest.mark.parametrize(("layout", "write"), [(opera, write_opera), (hyp3, write_hyp3)])
def test_suffixes_in_capitals_are_read(tmp_path, layout, write):
    write(tmp_path, ARRAYS)
    for path in list(tmp_path.rglob("*.tif")):
        path.rename(path.with_suffix(".TIF"))
    found = find(layout, tmp_path)
    assert not found.problems
    assert sorted({(product.date, product.orbit) for product in found.s1}) == WANTED
    assert all(product.vv and product.vh for product in found.s1)


def test_hyp3_at_noon_is_named(tmp_path):
    path = write_hyp3(tmp_path, ARRAYS)[0]
    stem = path.name.replace("T172305", "T120000")
    for file in path.iterdir():
        file.rename(path / file.name.replace("T172305", "T120000"))
    path.rename(tmp_path / stem)
    assert "12.2 h local solar time" in only_problem(hyp3, tmp_path).reason


def test_sigma0_and_filtered_products_are_named(tmp_path):
    for product, letters in zip(write_hyp3(tmp_path, ARRAYS)[:2], ("_spuned_", "_gpufed_"), strict=True):
        for file in product.iterdir():
            file.rename(product / file.name.replace("_gpuned_", letters))
    found = find(hyp3, tmp_path)
    assert "is sigma0" in only_problem(hyp3, tmp_path).reason
    assert len(found.s1) == 5
    assert "1 HyP3 products are speckle-filtered" in found.warnings[1]


@pytest.mark.parametrize(("layout", "write"), [(opera, write_opera), (hyp3, write_hyp3)])
def test_bad_rasters_are_named(tmp_path, layout, write):
    write(tmp_path, ARRAYS)
    good = len(find(layout, tmp_path).s1)
    vv = sorted(tmp_path.rglob("*_VV.tif"))
    vv[0].write_bytes(b"")
    vv[1].write_text("this is no raster")
    vv[2].write_text(VIRTUAL)  # GDAL would open it, and whatever file or address it names
    vv[3].write_bytes(vv[3].read_bytes()[:20])
    found = find(layout, tmp_path)
    assert len(found.s1) == good - 4
    assert [problem.source for problem in found.problems] == vv[:4]
    assert all("can't be read as a raster" in problem.reason for problem in found.problems)
    assert all("\n" not in problem.reason for problem in found.problems)


@pytest.mark.parametrize(("layout", "write"), [(opera, write_opera), (hyp3, write_hyp3)])
def test_one_channel_is_used_with_a_warning(tmp_path, layout, write):
    write(tmp_path, ARRAYS)
    vh = sorted(tmp_path.rglob("*_VH.tif"))
    vh[0].unlink()
    vh[1].unlink()
    found = find(layout, tmp_path)
    assert sum(product.vh is None for product in found.s1) == 2
    assert re.search(" and 1 more has no VH", found.warnings[0])


@pytest.mark.parametrize(("layout", "write"), [(opera, write_opera), (hyp3, write_hyp3)])
def test_other_polarisations_are_named(tmp_path, layout, write):
    write(tmp_path, ARRAYS)
    for name in ("VV", "VH"):
        path = sorted(tmp_path.rglob(f"*_{name}.tif"))[0]
        path.rename(path.with_name(path.name.replace("_V", "_H")))
    assert "has HH and HV only, expected VV and VH" in only_problem(layout, tmp_path).reason


@pytest.mark.parametrize(("layout", "write"), [(opera, write_opera), (hyp3, write_hyp3)])
def test_a_copy_is_named(tmp_path, layout, write):
    write(tmp_path, ARRAYS)
    path = sorted(tmp_path.rglob("*_VV.tif"))[0]
    (tmp_path / "z").mkdir()
    for name in (path.name, path.name.replace("_VV", "_VH")):
        shutil.copy(path.with_name(name), tmp_path / "z" / name)
    problem = only_problem(layout, tmp_path)
    assert problem.source == tmp_path / "z" / path.name
    assert problem.reason == f"is a copy of {path}"


def test_an_older_processing_is_named(tmp_path):
    path = next(path for path in write_opera(tmp_path, ARRAYS) if path.name.endswith("_VV.tif"))
    newer = tmp_path / path.name.replace("20240101T", "20250101T")
    shutil.copy(path, newer)
    problem = only_problem(opera, tmp_path)
    assert problem.source == path
    assert newer.name[:-7] in problem.reason


@pytest.mark.parametrize("tag", [None, "", "sideways"])
def test_opera_without_orbit_is_named(tmp_path, tag):
    path = write_opera(tmp_path, ARRAYS)[0]
    write_raster(path, np.ones((3, 3), np.float32), tags=tag and {"ORBIT_PASS_DIRECTION": tag})
    assert "ORBIT_PASS_DIRECTION" in only_problem(opera, tmp_path).reason


def test_a_date_that_does_not_exist_is_named(tmp_path):
    name = "OPERA_L2_RTC-S1_T037-078100-IW2_20210231T172005Z_20240101T000000Z_S1A_30_v1.0_VV.tif"
    write_raster(tmp_path / name, np.ones((3, 3), np.float32), tags={"ORBIT_PASS_DIRECTION": "ascending"})
    assert "20210231T172005" in only_problem(opera, tmp_path).reason


def test_a_damaged_hyp3_zip_is_named(tmp_path):
    path = write_hyp3(tmp_path, ARRAYS, zipped=True)[0]
    path.write_bytes(path.read_bytes()[:50])
    problem = only_problem(hyp3, tmp_path)
    assert problem.source == path
    assert "can't be read as a zip" in problem.reason


def test_a_hyp3_zip_without_channels_is_named(tmp_path):
    path = write_hyp3(tmp_path, ARRAYS, zipped=True)[0]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "x")
    problem = only_problem(hyp3, tmp_path)
    assert problem.source == path
    assert "no file of VV or VH" in problem.reason


def test_the_newest_version_of_opera_counts(tmp_path):
    """A newer version comes before a later processing."""
    paths = [path for path in write_opera(tmp_path, ARRAYS, bursts=1) if path.suffix == ".tif"]
    for path in paths:
        shutil.copy(path, tmp_path / path.name.replace("_v1.0", "_v1.1").replace("20240101T", "20230101T"))
    found = find(opera, tmp_path)
    assert all("_v1.1" in product.name for product in found.s1)
    assert len(found.problems) == len(found.s1) == len(WANTED)


@pytest.mark.parametrize("zipped", [False, True])
def test_the_newest_order_of_hyp3_counts(tmp_path, zipped):
    """Two orders of one scene differ in the name's last letters, which say nothing: the README has the time."""
    one = {**ARRAYS, "sar_descending_doy": [], "sar_ascending_doy": ARRAYS["sar_ascending_doy"][:1]}
    times = {"0000": "2024-05-01T10:00:00+00:00", "FFFF": "2023-05-01T10:00:00+00:00"}
    for code, time in times.items():
        (root,) = write_hyp3(tmp_path / code, one)
        new = root.rename(root.with_name(root.name.replace("_0000", f"_{code}")))
        for path in list(new.iterdir()):
            path = path.rename(path.with_name(path.name.replace("_0000", f"_{code}")))
            if path.name.endswith(".README.md.txt"):
                path.write_text(f"ASF RTC Data Package (GAMMA)\n\nProcessing Date/Time: {time}\n")
        if zipped:
            zip_up(new)
    found = find(hyp3, tmp_path)
    (product,) = found.s1
    assert product.name.endswith("_0000")
    assert [problem.source.name[-8:-4] if zipped else "FFFF" in str(problem.source) for problem in found.problems] == ["FFFF" if zipped else True]  # fmt: skip
