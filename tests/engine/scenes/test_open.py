"""Mistakes in the arguments of `open_scene`: one line that names the parameter and what was probably meant."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pytest
from affine import Affine
from fake_backend import FakeBackend
from made_up import ORIGIN, made_up_arrays, write_tile
from mosaic_files import write_mosaics

from tessera_engine import api
from tessera_engine.errors import InputError
from tessera_engine.running import loading
from tessera_engine.scenes import open_scene


def refused(*arguments, **named):
    with pytest.raises(InputError) as caught:
        open_scene(*arguments, **named)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def tile(tmp_path):
    return write_tile(tmp_path / "flanders-2018", made_up_arrays())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("year", "2024"), ("year", 2024.0), ("year", True), ("start", "2024-01-01"), ("end", 20241231), ("like", 3),
        ("like", ""), ("layout", 5), ("layout", ["safe"]), ("s1_units", 1.0),
    ],
)  # fmt: skip
def test_an_argument_of_a_wrong_type_is_named(tile, name, value):
    message = refused(tile, **{name: value})
    assert message.startswith(f"{name}={value!r} ")
    assert type(value).__name__ in message


@pytest.mark.parametrize("path", [None, 3, b"x", "", ["a"]])
def test_a_path_of_a_wrong_type_is_named(path):
    assert refused(path).startswith(f"path={path!r} ")


def test_a_long_value_is_shown_in_part(tile):
    assert len(refused(np.arange(10_000))) < 200
    assert len(refused(open_scene(tile))) < 200


def test_numpy_numbers_and_datetimes_are_taken(tmp_path):
    folder = write_mosaics(tmp_path / "scene", made_up_arrays())
    wanted = open_scene(folder, year=2021).reader.period
    assert open_scene(folder, year=np.int64(2021)).reader.period == wanted
    days = {"start": datetime(2021, 1, 1, 12), "end": datetime(2021, 12, 31)}
    assert open_scene(folder, **days).reader.period == wanted


@pytest.mark.parametrize(
    ("given", "meant"),
    [({"layout": "tile"}, "tiles"), ({"layout": "SAFE"}, "safe"), ({"s1_units": "dB"}, "db")],
)
def test_a_mistyped_name_is_answered_with_the_nearest(tile, given, meant):
    ((name, value),) = given.items()
    message = refused(tile, **given)
    assert f"{name}={value} " in message
    assert f"'{meant}'" in message


def test_arguments_are_checked_before_the_folder(tmp_path):
    assert "year=" in refused(tmp_path / "nothing", year="2024")


def test_a_missing_folder_names_the_similar_one(tile):
    assert str(tile) in refused(tile.with_name("flanders2018"))
    assert str(tile) not in refused(tile.with_name("kenya"))


def test_a_file_of_a_scene_names_its_folder(tile, tmp_path):
    assert f"scene {tile};" in refused(tile / "bands.npy")
    folder = write_mosaics(tmp_path / "mosaics", made_up_arrays(steps=2))
    file = next(folder.glob("data_raw/red/*"))
    message = refused(file)
    assert str(file) in message
    assert str(file.parent) in message
    (tmp_path / "nano.onnx").touch()
    assert "model=" in refused(tmp_path / "nano.onnx")


def test_an_output_is_no_scene(tile, tmp_path):
    out = tmp_path / "flanders-2018.embeddings"
    api.embed(tile, loading.Model(FakeBackend(), threads=1), out, stored_as="int8")
    for given in (out, out / "embeddings.tif"):
        message = refused(given)
        assert f"{out} is an output of this engine" in message
        assert "'flanders-2018'" in message
    # Results of `map` and others are outputs too, and have no scene
    (out / "item.json").write_text(json.dumps({"properties": {"tessera:result": "map"}}))
    assert "output" in refused(out)


def test_a_part_of_an_output_is_no_scene_and_other_folders_in_it_may_be(tmp_path):
    out = tmp_path / "farm.zarr"
    write_tile(out / "embeddings.zarr" / "utm31", made_up_arrays())
    write_tile(out / "scene", made_up_arrays())
    assets = {"embeddings": {"href": "./embeddings.zarr"}, "broken": {"href": 1}, "more": []}
    (out / "item.json").write_text(json.dumps({"properties": {"tessera:dim": 16}, "assets": assets}))
    for given in (out / "embeddings.zarr", out / "embeddings.zarr" / "utm31"):
        assert f"{given} is a part of the output {out}; give {out}" in refused(given)
    assert api.open_scene(out / "scene").grid.width


def test_a_folder_above_scenes_names_them(tmp_path):
    for name in ("a", "b"):
        write_tile(tmp_path / "data" / "europe" / name, made_up_arrays())
    write_tile(tmp_path / "data" / "africa" / "c", made_up_arrays())
    (tmp_path / "data" / "africa" / "c" / "masks.npy").unlink()  # damaged, and still a scene
    message = refused(tmp_path / "data")
    assert "africa, " in message
    assert str(tmp_path / "data" / "europe") in message
    # Products that can't be used don't hide them
    (tmp_path / "data" / "x.nc").write_bytes(b"")
    assert "africa, " in refused(tmp_path / "data")


def test_tiles_that_are_separate_scenes_are_named(tmp_path):
    for n, name in enumerate("ab"):
        write_tile(tmp_path / name, made_up_arrays(), ORIGIN @ Affine.translation(n * 0.5, 0))
    message = refused(tmp_path)
    assert str(tmp_path / "a") in message
    assert str(tmp_path / "b") in message


def test_another_layout_than_the_one_asked_for_is_named(tile, tmp_path):
    assert "the layout dpixel, " in refused(tile, layout="tiles")
    assert "the layout tiles, " in refused(tmp_path, layout="stac")
    folder = write_mosaics(tmp_path / "scene" / "products", made_up_arrays(steps=2))
    assert "the layout mosaics, " in refused(folder, layout="safe")


def test_an_empty_folder_and_a_folder_of_other_things(tmp_path):
    assert "empty" in refused(tmp_path)
    (tmp_path / "photos").mkdir()
    assert "photos" in refused(tmp_path)
