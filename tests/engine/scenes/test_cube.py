"""Data cubes: each band is found with its times, or one line names what is missing."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from cube_files import s1_variables, s2_variables, write_netcdf, write_zarr
from mosaic_files import day_of
from places import SHARED
from product_files import product_arrays

from tessera_engine.gdal import without_georeference_warnings
from tessera_engine.scene import Window
from tessera_engine.scenes.layouts import cube
from tessera_engine.scenes.layouts.cube.bands import CubeBands
from tessera_engine.scenes.metadata.band_names import COMMON_NAMES
from tessera_engine.scenes.metadata.listing import list_folder

ARRAYS = product_arrays(4, 6, steps=3)
DAYS = [day_of(doy) for doy in ARRAYS["doys"]]
REAL = SHARED / "data" / "cubes" / "hageland-2021-monthly.nc"
WRITERS = {"c.nc": write_netcdf, "c.zarr": write_zarr}
writers = pytest.mark.parametrize("name", WRITERS)


def find(folder):
    with without_georeference_warnings():
        return cube.find(list_folder(folder))


def write(folder, name, variables, doys=ARRAYS["doys"]):
    WRITERS[name](folder / name, variables, doys)


@writers
@pytest.mark.parametrize("prefix", ["", "S2-L2A-"])
def test_optical_cubes_are_found(tmp_path, name, prefix):
    write(tmp_path / "below", name, s2_variables(ARRAYS, prefix))
    found = find(tmp_path)
    assert not found.problems
    assert [product.date for product in found.s2] == DAYS
    assert [product.mask.band for product in found.s2] == [1, 2, 3]
    assert {(product.offset, product.mask_kind) for product in found.s2} == {(0, "scl")}
    (warning,) = found.warnings
    assert name in warning
    assert "baseline offset" in warning


@writers
def test_common_names_and_a_clear_mask_are_read(tmp_path, name):
    variables = s2_variables(ARRAYS)
    renamed = {COMMON_NAMES[band]: value for band, value in variables.items() if band != "SCL"}
    renamed["clear"] = (ARRAYS["masks"].astype("int16"), {})
    write(tmp_path, name, renamed)
    assert {product.mask_kind for product in find(tmp_path).s2} == {"clear"}


@writers
@pytest.mark.parametrize(("units", "wanted"), [("power", "power"), ("amplitude", "amplitude"), ("db", "db"), (None, None)])  # fmt: skip
def test_radar_cubes_are_found(tmp_path, name, units, wanted):
    for orbit in ("ascending", "descending"):
        variables, doys = s1_variables(ARRAYS, orbit, units), ARRAYS[f"sar_{orbit}_doy"]
        write(tmp_path / orbit, name, variables, doys)
    found = find(tmp_path)
    assert not found.problems
    assert not found.warnings
    assert {product.units for product in found.s1} == {wanted}
    for orbit in ("ascending", "descending"):
        wanted_days = [day_of(doy) for doy in ARRAYS[f"sar_{orbit}_doy"]]
        assert [product.date for product in found.s1 if product.orbit == orbit] == wanted_days


@writers
def test_the_orbit_may_be_an_attribute(tmp_path, name):
    variables = {
        key.split("_")[0]: (values, {**attributes, "orbit_state": "descending"})
        for key, (values, attributes) in s1_variables(ARRAYS, "descending").items()
    }
    write(tmp_path, name, variables, ARRAYS["sar_descending_doy"])
    assert {product.orbit for product in find(tmp_path).s1} == {"descending"}


@writers
@pytest.mark.parametrize(("add_offset", "wanted"), [(0.0, 0), (-0.1, 1000)])
def test_the_offset_follows_from_attributes(tmp_path, name, add_offset, wanted):
    packing = {"scale_factor": 0.0001, "add_offset": add_offset}
    variables = {
        key: (values, packing if key != "SCL" else {}) for key, (values, _) in s2_variables(ARRAYS).items()
    }
    write(tmp_path, name, variables)
    found = find(tmp_path)
    assert not found.warnings
    assert {product.offset for product in found.s2} == {wanted}


def without(*bands):
    return {key: value for key, value in s2_variables(ARRAYS).items() if key not in bands}


def with_attributes(band, **attributes):
    variables = s2_variables(ARRAYS)
    return {**variables, band: (variables[band][0], attributes)}


A = ARRAYS["sar_ascending"][:3, ..., 0].astype("float32")
MISTAKES = {
    "no B8A": (without("B8A"), r"^lacks B8A:"),
    "no mask": (without("SCL"), r"^lacks SCL \(or a variable 'clear', 1 where it is clear\)"),
    "floats": ({**s2_variables(ARRAYS), "B03": (A / 1e4, {})}, "has float32 in B03 and int16 in B0., .*whole numbers"),
    "packed otherwise": (with_attributes("B02", scale_factor=0.001), "scale_factor and add_offset 0.001 and 0 in B02"),
    "packed by nothing": (with_attributes("B02", scale_factor=0.0), "has scale_factor and add_offset"),
    "no orbit": ({"VV": (A, {"units": "dB"})}, r"no orbit for VV\b.*VV_ascending or _descending.*orbit_state"),
    "sigma0": ({"S1-SIGMA0-VV": (A, {})}, "has sigma0 in S1-SIGMA0-VV, expected terrain-corrected gamma0"),
    "units differ": ({"VV_asc": (A, {"units": "dB"}), "VH_asc": (A, {})}, "VH_asc and VV_asc"),
}  # fmt: skip


@writers
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(tmp_path, name, mistake):
    variables, reason = MISTAKES[mistake]
    write(tmp_path, name, variables)
    found = find(tmp_path)
    assert not found.s1
    assert not found.s2
    (problem,) = found.problems
    assert problem.source == tmp_path / name
    assert re.search(reason, problem.reason), problem.reason


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/cubes")
def test_the_real_cube_lacks_a_band(tmp_path):
    shutil.copy(REAL, tmp_path)
    (problem,) = find(tmp_path).problems
    assert re.search(r"lacks B8A, SCL .*; .*sigma0 in S1-SIGMA0-VV", problem.reason)


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/cubes")
def test_the_real_cubes_times_are_read():
    (band,) = CubeBands(cube._open_file(REAL)).find()["B02"]
    assert [time.date().isoformat() for time in band.times[:3]] == ["2020-11-01", "2020-12-01", "2021-01-01"]


@writers
@pytest.mark.parametrize("units", ["degrees", "days since the flood", "months since 2021-01-01"])
def test_a_dimension_that_is_no_time_is_named(tmp_path, monkeypatch, name, units):
    import cube_files

    plain = cube_files._coordinates
    monkeypatch.setattr(
        cube_files,
        "_coordinates",
        lambda *arguments: {**plain(*arguments), "t": (plain(*arguments)["t"][0], {"units": units})},
    )
    write(tmp_path, name, s2_variables(ARRAYS))
    (problem,) = find(tmp_path).problems
    assert f"dimension t in {units}" in problem.reason


@pytest.mark.parametrize("content", [b"", b"CDF\x01", b"\x89HDF\r\n\x1a\n", b"this is not a cube"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "c.nc").write_bytes(content)
    (problem,) = find(tmp_path).problems
    assert problem.source == tmp_path / "c.nc"
    assert re.search("NetCDF|HDF5", problem.reason)


def test_a_truncated_file_is_named_or_read(tmp_path):
    write(tmp_path, "c.nc", s2_variables(ARRAYS))
    content = (tmp_path / "c.nc").read_bytes()
    (tmp_path / "c.nc").write_bytes(content[:300])
    (problem,) = find(tmp_path).problems
    assert problem.source == tmp_path / "c.nc"


def test_an_empty_store_is_named(tmp_path):
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "c.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    (problem,) = find(tmp_path).problems
    assert "variables: none" in problem.reason


def test_a_store_with_a_link_out_of_the_scene_is_not_opened(tmp_path):
    write(tmp_path / "scene", "c.zarr", s2_variables(ARRAYS))
    secret = tmp_path / "secret"
    chunk = tmp_path / "scene" / "c.zarr" / "B02" / "0.0.0"
    chunk.rename(secret)
    chunk.symlink_to(secret)
    found = find(tmp_path / "scene")
    assert not found.s2
    assert "links" in found.problems[0].reason


def test_other_cubes_are_named_once(tmp_path):
    write_netcdf(tmp_path / "weather.nc", {"T2M": s2_variables(ARRAYS)["B02"]}, ARRAYS["doys"])
    found = find(tmp_path)
    (problem,) = found.problems
    assert problem.source.name == "weather.nc"
    assert "T2M" in problem.reason
    assert not found.s2


def test_the_orbit_may_be_in_the_name_of_the_file(tmp_path):
    for orbit in ("ascending", "descending"):
        variables = s1_variables(ARRAYS, orbit)
        plain = {name.partition("_")[0]: value for name, value in variables.items()}
        write_netcdf(tmp_path / f"s1_{orbit}.nc", plain, ARRAYS[f"sar_{orbit}_doy"])
    found = find(tmp_path)
    assert not found.problems
    assert {(product.source.stem, product.orbit) for product in found.s1} == {
        ("s1_ascending", "ascending"),
        ("s1_descending", "descending"),
    }


def test_packed_radar_is_unpacked(tmp_path):
    plain = s1_variables(ARRAYS, "ascending", "db")
    packed = {
        name: (
            np.where(np.isnan(values), -32768, np.rint(np.nan_to_num(values) * 100)).astype("int16"),
            {**attributes, "scale_factor": 0.01, "_FillValue": np.int16(-32768)},
        )
        for name, (values, attributes) in plain.items()
    }
    write_netcdf(tmp_path / "c.nc", packed, ARRAYS["sar_ascending_doy"])
    pixels = find(tmp_path).s1[0].vv.pixels
    np.testing.assert_allclose(pixels.read(Window(0, 0, 6, 4)), plain["VV_ascending"][0][0], atol=0.0051)
