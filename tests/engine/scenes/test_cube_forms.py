"""A cube is read to the same pixels, whatever its format, order, dtypes, names and the place of its CRS."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cube_forms import NAMINGS, TIMES, Form, write
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import FakeReader
from product_files import product_arrays

from tessera_engine.scene import Window
from tessera_engine.scenes import open_scene

ARRAYS = product_arrays(8, 6, steps=4)
WANTED = FakeReader(ARRAYS)


def assert_reads(folder: Path) -> None:
    scene = open_scene(folder)
    assert scene.grid == WANTED.grid
    assert scene.reader.dates.s2 == WANTED.dates.s2
    assert not [warning for warning in scene.reader.warnings if "not used" in warning]
    whole = scene.grid.window
    for window in (whole, Window(1, 2, 3, 2), Window(whole.width - 1, 0, 1, whole.height)):
        found, wanted = scene.reader.read(window), WANTED.read(window)
        np.testing.assert_array_equal(found.s2_valid != 0, wanted.s2_valid != 0)
        np.testing.assert_array_equal(found.s2[found.s2_valid != 0], wanted.s2[wanted.s2_valid != 0])


FORMS = {
    "plain": Form(),
    "xee": Form(order=("time", "x", "y")),
    "rows first": Form(order=("y", "x", "time")),
    "time last, chunked": Form(container="nc4", order=("x", "y", "time"), chunks=(2, 3, 2)),
    "south up": Form(down=False),
    "east first": Form(right=False, container="zarr3"),
    "both": Form(right=False, down=False, container="nc4", chunks=(3, 2, 4)),
    "no attributes of axes": Form(axis_attributes="none"),
    "other names": Form(x="longitude_m", y="r", axis_attributes="axis"),
    "names of maps": Form(x="easting", y="northing", axis_attributes="none", container="zarr2"),
    "capitals": Form(x="X", y="Y", axis_attributes="none"),
    "Unidata": Form(x="a", y="b_", axis_attributes="type", container="nc4"),
    "float32": Form(coordinate_dtype="float32"),
    "whole coordinates": Form(coordinate_dtype="int32"),
    "bool": Form(mask="clear", mask_dtype="bool", container="zarr3"),
    "int8": Form(mask="clear", mask_dtype="int8"),
    "int64": Form(container="nc4", dtype="int64", mask_dtype="int64"),
    "uint64": Form(container="zarr2", dtype="uint64", mask_dtype="uint64"),
    "float numbers": Form(container="nc4", dtype="float32", packed="fill", mask_dtype="float32"),
    "fill": Form(container="nc4", packed="fill"),
    "reflectance": Form(dtype="float32", packed="float"),
    "scale": Form(packed="scale"),
    "bands as a dimension": Form(band_dimension=True),
    "bands as a dimension, NetCDF-4": Form(band_dimension=True, container="nc4", naming="STAC"),
    "bands as a dimension, Zarr": Form(band_dimension=True, container="zarr3", chunks=(4, 8, 6)),
    "zip": Form(container="zarr.zip"),
    "text times": Form(container="nc4", time_units="text"),
    **{f"named as by {naming}": Form(naming=naming) for naming in NAMINGS},
    **{units: Form(time_units=units, container="nc4") for units in TIMES},
    **{
        f"CRS as {crs}": Form(crs=crs)
        for crs in ("unreferenced", "variable attribute", "global attribute", "epsg variable")
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_read_like_the_plain_one(tmp_path, name):
    write(tmp_path, ARRAYS, FORMS[name])
    assert_reads(tmp_path)


@pytest.mark.parametrize("suffix", [".nc4", ".cdf", ".h5", ".NC", ".netcdf"])
@pytest.mark.parametrize("container", ["nc3", "nc4"])
def test_the_content_decides_not_the_suffix(tmp_path, suffix, container):
    path = write(tmp_path, ARRAYS, Form(container=container))
    path.rename(path.with_suffix(suffix))
    assert_reads(tmp_path)


@pytest.mark.parametrize("name", ["s2", "s2.nc.1", "s2.nc (1)", "s2.h5_", "s2.hdf"])
@pytest.mark.parametrize("container", ["nc3", "nc4"])
def test_a_renamed_file_is_read(tmp_path, name, container):
    write(tmp_path, ARRAYS, Form(container=container)).rename(tmp_path / name)
    assert_reads(tmp_path)


def test_a_zipped_store_is_read_whatever_its_name(tmp_path):
    write(tmp_path, ARRAYS, Form(container="zarr.zip")).rename(tmp_path / "s2.zip")
    assert_reads(tmp_path)


@pytest.mark.parametrize("container", ["zarr2", "zarr3"])
def test_the_scene_may_be_the_store_itself(tmp_path, container):
    path = write(tmp_path, ARRAYS, Form(container=container))
    (path / "notes.txt").write_text("x")
    assert_reads(path)
    assert [problem.source.name for problem in open_scene(path).reader.unused] == ["notes.txt"]


def test_an_unfinished_store_is_named(tmp_path):
    """Its last chunks may be missing, and a missing chunk is no data."""
    write(tmp_path, ARRAYS, Form())
    path = write(tmp_path, ARRAYS, Form(container="zarr3"))
    partial = path.rename(f"{path}.part")
    scene = open_scene(tmp_path)
    assert len(scene.reader.dates.s2) == 4
    assert [(problem.source, problem.lost) for problem in scene.reader.unused] == [(partial, True)]
    assert "unfinished" in scene.reader.unused[0].reason


def test_a_zip_of_several_stores_is_named(tmp_path):
    path = write(tmp_path, ARRAYS, Form(container="zarr2"))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for part in filter(Path.is_file, path.rglob("*")):
            for store in ("a.zarr", "b.zarr"):
                archive.write(part, f"{store}/{part.relative_to(path)}")
    (problem,) = open_scene(tmp_path).reader.unused
    assert "holds 2 Zarr stores (a.zarr, ..), expected one; unpack it" in problem.reason


orders = st.permutations(["time", "y", "x"]).map(tuple)
forms = st.builds(
    Form,
    container=st.sampled_from(["nc3", "nc4", "zarr2", "zarr3", "zarr.zip"]),
    order=orders,
    down=st.booleans(),
    right=st.booleans(),
    dtype=st.sampled_from(["int16", "int32", "float32", "float64"]),
    mask=st.sampled_from(["SCL", "clear"]),
    mask_dtype=st.sampled_from(["int8", "int16", "int32", "float32"]),
    naming=st.sampled_from(sorted(NAMINGS)),
    band_dimension=st.booleans(),
    x=st.sampled_from(["x", "X", "easting", "lon"]),
    y=st.sampled_from(["y", "Y", "northing", "latitude"]),
    axis_attributes=st.sampled_from(["none", "standard_name", "axis", "type"]),
    coordinate_dtype=st.sampled_from(["float64", "float32", "int32"]),
    time_units=st.sampled_from([*TIMES, "text"]),
    crs=st.sampled_from(
        ["grid_mapping", "unreferenced", "variable attribute", "global attribute", "epsg variable"]
    ),
    chunks=st.one_of(st.none(), st.tuples(*[st.integers(1, 4)] * 3)),
    packed=st.sampled_from(["no", "scale", "fill", "float"]),
)


@given(forms)
@settings(max_examples=12, deadline=None)  # 0.3 s each
def test_any_form_is_read_like_the_plain_one(form):
    if form.band_dimension:  # one dtype for bands and mask
        form = replace(form, packed="no")
    if form.packed == "float":
        form = replace(form, dtype="float64")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), ARRAYS, form)
        assert_reads(Path(folder))
