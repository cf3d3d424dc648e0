"""Coordinates of cubes: what places a cube on Earth and in time, and what is refused by name."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np
import pytest
from cube_forms import Form, store, variables_of
from made_up import FakeReader
from product_files import product_arrays

from tessera_engine.scenes import open_scene
from tessera_engine.scenes.layouts import cube
from tessera_engine.scenes.layouts.cube.crs import _parsed
from tessera_engine.scenes.layouts.cube.names import chosen, match
from tessera_engine.scenes.layouts.cube.times import moment_of
from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.products import Unusable

ARRAYS = product_arrays(8, 6, steps=4)


def problem_of(folder):
    found = cube.find(list_folder(folder))
    assert not found.s2
    (problem,) = found.problems
    return problem.reason


def write_changed(folder, change, form=None):
    form = form or Form()
    variables, whole = variables_of(ARRAYS, form)
    change(variables, whole)
    return store(folder, variables, whole, form)


def set_values(name, values):
    def change(variables, whole):
        dims, old, attributes = variables[name]
        variables[name] = dims, np.asarray(values(old)), attributes

    return change


def set_attributes(name, **attributes):
    def change(variables, whole):
        dims, values, old = variables[name]
        variables[name] = dims, values, {**old, **attributes}

    return change


REFUSED = {
    "uneven": (set_values("x", lambda x: x + np.array([0, 0, 0, 3, 0, 0])), "uneven positions in x: 500038"),
    "a double": (set_values("y", lambda y: np.r_[y[:3], y[2:-1]]), "y that neither only grow nor only fall"),
    "back and forth": (set_values("x", lambda x: x[[0, 2, 1, 3, 4, 5]]), "x that neither only grow nor only fall"),
    "numbers of pixels": (set_values("x", lambda x: np.arange(len(x)) + 0.0), r"numbers of pixels \(up to 5\) in x"),
    "numbers of pixels from 1": (set_values("y", lambda y: np.arange(len(y)) + 1.0), r"numbers of pixels \(up to 8\) in y"),
    "exchanged": (set_values("x", lambda x: 5_600_000 + x), "eastings from 6100000 to 6100060 metres for B04, which are nowhere in EPSG:32631"),
    "not finite": (set_values("x", lambda x: x + np.array([0, np.nan, 0, 0, 0, 0])), "nan at place 1 of its coordinate x"),
    "two of x": (set_attributes("y", standard_name="projection_x_coordinate"), "two dimensions along x in B04: y and x"),
    "contradiction": (set_attributes("x", axis="Y"), "axis=Y, standard_name=projection_x_coordinate"),
    "noleap": (set_attributes("time", calendar="noleap"), "days since 1970-1-1 noleap"),
    "360_day": (set_attributes("time", calendar="360_day"), "days since 1970-1-1 360_day"),
    "months": (set_attributes("time", units="months since 1970-1-1"), "months since"),
    "no date": (set_values("time", lambda t: t * np.array([1, np.nan, 1, 1])), "no time at place 1"),
    "far away": (set_values("time", lambda t: t * 1e9), "is no date"),
    "degrees in metres": (set_attributes("x", units="degrees_east"), "contradict|degrees"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_coordinate_that_gives_no_place_is_named(tmp_path, name):
    change, reason = REFUSED[name]
    write_changed(tmp_path, change)
    assert re.search(reason, problem_of(tmp_path)), problem_of(tmp_path)


def test_a_cube_without_a_crs_is_named_once(tmp_path):
    def change(variables, whole):
        del variables["spatial_ref"]

    write_changed(tmp_path, change)
    assert "no CRS" in problem_of(tmp_path)


def test_several_crss_are_named(tmp_path):
    def change(variables, whole):
        variables["crs"] = ((), np.array(0, "int32"), {"crs_wkt": "EPSG:32632"})

    write_changed(tmp_path, change, Form(crs="unreferenced"))
    assert re.search("EPSG:32631 in spatial_ref.*|EPSG:32632 in crs", problem_of(tmp_path))


def test_corners_are_told_from_centres_by_a_transform(tmp_path):
    """stackstac's coordinates are the upper left corners of pixels; its attribute `transform` says so."""

    def change(variables, whole):
        for name, shift in (("x", -5), ("y", 5)):
            dims, values, attributes = variables[name]
            variables[name] = dims, values + shift, attributes
        for name in variables:
            if name.startswith("B"):
                variables[name][2]["transform"] = [10.0, 0.0, 500000.0, 0.0, -10.0, 5600000.0]

    write_changed(tmp_path, change)
    assert open_scene(tmp_path).grid == FakeReader(ARRAYS).grid


def test_a_transform_left_over_from_before_a_cut_is_not_used(tmp_path):
    write_changed(
        tmp_path, set_attributes("spatial_ref", GeoTransform="499950.0 10.0 0.0 5600070.0 0.0 -10.0")
    )
    assert open_scene(tmp_path).grid == FakeReader(ARRAYS).grid


def test_kilometres_are_read(tmp_path):
    def change(variables, whole):
        for name in "xy":
            dims, values, attributes = variables[name]
            variables[name] = dims, values / 1000, {**attributes, "units": "km"}

    write_changed(tmp_path, change)
    assert open_scene(tmp_path).grid == FakeReader(ARRAYS).grid


def to_degrees(longitude, latitude):
    def change(variables, whole):
        for name, dim, first, step in (("lon", "x", longitude, 1e-4), ("lat", "y", latitude, -1e-4)):
            _, values, _ = variables.pop(dim)
            variables[name] = (name,), first + step * np.arange(len(values)), {}
        del variables["spatial_ref"]
        for name, (dims, values, _) in list(variables.items()):
            renamed = tuple({"x": "lon", "y": "lat"}.get(dim, dim) for dim in dims)
            variables[name] = renamed, values, variables[name][2]

    return change


def test_degrees_come_to_the_utm_zone(tmp_path):
    write_changed(tmp_path, to_degrees(3.0, 50.0))
    grid = open_scene(tmp_path).grid
    assert grid.crs == "EPSG:32631"
    assert (grid.transform.a, grid.transform.e) == (10, -10)


def test_longitudes_up_to_360_are_those_of_the_west(tmp_path):
    for name, longitude in (("west", -70.0), ("360", 290.0)):
        (tmp_path / name).mkdir()
        write_changed(tmp_path / name, to_degrees(longitude, 50.0))
    west, beyond = (open_scene(tmp_path / name).grid for name in ("west", "360"))
    assert west.crs == "EPSG:32619"
    assert beyond == west


def test_latitudes_beyond_the_poles_are_named(tmp_path):
    write_changed(tmp_path, to_degrees(50.0, 103.0))
    assert re.search(
        "latitudes from 102.99.* to 103.0.* degrees .* nowhere in EPSG:4326", problem_of(tmp_path)
    )


def test_numbers_of_pixels_are_no_places_beside_a_transform(tmp_path):
    def change(variables, whole):
        for name in "xy":
            set_values(name, lambda values: np.arange(len(values)) + 0.5)(variables, whole)
        set_attributes("spatial_ref", GeoTransform="500000.0 10.0 0.0 5600000.0 0.0 -10.0")(variables, whole)

    write_changed(tmp_path, change)
    assert open_scene(tmp_path).grid == FakeReader(ARRAYS).grid


@pytest.mark.parametrize("naming", ["a scalar", "its name"])
def test_a_cube_of_one_date_needs_no_dimension_of_time(tmp_path, naming):
    def change(variables, whole):
        for name, (dims, values, attributes) in list(variables.items()):
            if "time" in dims and len(dims) == 3:
                variables[name] = dims[1:], values[0], attributes
        dims, values, attributes = variables.pop("time")
        if naming == "a scalar":
            variables["time"] = (), values[0], attributes

    path = write_changed(tmp_path, change)
    if naming == "its name":
        path.rename(tmp_path / "s2_2021-07-09_v2.nc")
    found = cube.find(list_folder(tmp_path))
    assert [product.date.year for product in found.s2] == [2021]


def test_equal_times_are_parts_of_one_date(tmp_path):
    write_changed(tmp_path, set_values("time", lambda t: t[[0, 0, 2, 3]]))
    assert len(open_scene(tmp_path).reader.dates.s2) == 3


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1970-1-1", datetime(1970, 1, 1)),
        ("1970-01-01 0:0:0 +0:00", datetime(1970, 1, 1)),
        ("2021-03-04T05:06:07.89Z", datetime(2021, 3, 4, 5, 6, 7)),
        ("2021-03-04 01:00 +02:00", datetime(2021, 3, 3, 23)),
        ("2021-03-04 01:00 -0130", datetime(2021, 3, 4, 2, 30)),
        ("20210304T050607", datetime(2021, 3, 4, 5, 6, 7)),
        ("2021-13-04", None),
        ("0001-01-01 00:00 +02:00", None),
        ("9999-12-31T24:00", None),
        ("the flood", None),
    ],
)
def test_moments_are_read_loosely(text, wanted):
    assert moment_of(text) == wanted


@pytest.mark.parametrize(
    "value", [32631, "EPSG:32631", "+init=epsg:32631", "urn:ogc:def:crs:EPSG::32631", "32631", 32631.0]
)
def test_a_crs_has_many_forms(value):
    assert _parsed(value) == "EPSG:32631"


@pytest.mark.parametrize(
    "value", ["", "none", 0, True, "https://example.org/crs.json", [], {"a": 1}, "x" * 200_000]
)
def test_what_is_no_crs_is_none(value):
    assert _parsed(value) is None


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("B04", "B04"), ("B4", "B04"), ("b04", "B04"), ("B04_10m", "B04"), ("S2-L2A-B04", "B04"), ("red", "B04"),
        ("nir", "B08"), ("nir08", "B8A"), ("B8A_20m", "B8A"), ("b8a", "B8A"), ("B8", "B08"), ("nbart_nir_1", "B08"),
        ("nbart_swir_2", "B11"), ("swir22", "B12"), ("SCL_20m", "SCL"), ("B04_median", "B04"), ("nbart_red_edge_1", "B05"),
        ("B04_std", None), ("red_count", None), ("B04_p90", None), ("B09", None), ("infrared", None), ("B04_B08", None),
        ("temperature", None), ("clear_count", None),
    ],
)  # fmt: skip
def test_names_of_bands(name, band):
    found = match(name)
    assert (found.band if found else None) == band


def test_the_plainest_name_counts_and_equals_are_listed():
    assert chosen([("B04_median", 1), ("b04", 2), ("B04", 3)]) == {"B04": [3]}
    with pytest.raises(Unusable, match="B04: a_B04, b_B04"):
        chosen([("a_B04", 1), ("b_B04", 2)])
