"""The Zarr store: zarr-python and xarray find values, CRS and time; a southern scene lies in its northern zone."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray
import zarr
from affine import Affine
from made_up import CRS, ORIGIN
from outputs import made_up_output
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid, Window

EMBEDDING = landscape(530, 90, 32)


@pytest.fixture(scope="module")
def cog(tmp_path_factory):
    return open_embeddings(made_up_output(tmp_path_factory.mktemp("cog") / "a.embeddings", EMBEDDING))


@pytest.fixture(scope="module")
def converted(cog, tmp_path_factory):
    return convert(cog, tmp_path_factory.mktemp("zarr") / "a.zarr", "zarr", year=2018)


def test_it_comes_back_bit_for_bit(cog, converted):
    found = open_embeddings(converted)
    for before, after in zip(cog.read_stored(), found.read_stored(), strict=True):
        np.testing.assert_array_equal(after, before)
    window = Window(3, 500, 40, 20)
    np.testing.assert_array_equal(open_embeddings(converted, 16).read(window), cog.read(window)[..., :16])
    counts = [each.source.read_observations(window) for each in (cog, found)]
    np.testing.assert_array_equal(*counts)
    assert found.grid == cog.grid
    assert found.provenance == cog.provenance | {"year": 2018}


def test_plain_xarray_sees_crs_time_and_values(cog, converted):
    with xarray.open_zarr(converted / "embeddings.zarr", group="utm31", chunks=None) as zone:
        zone = zone.set_coords("spatial_ref")
        assert zone.rio.crs.to_epsg() == 32631
        assert zone.embeddings.rio.transform() == ORIGIN
        assert zone.time.values.tolist() == [2018]
        assert zone.embeddings.dims == ("time", "band", "y", "x")
        values = zone.embeddings * zone.scales.where(np.isfinite(zone.scales))
        np.testing.assert_array_equal(
            values.sel(time=2018).transpose("y", "x", "band").values.astype(np.float32), cog.read()
        )
        x, y = ORIGIN @ (7.5, 500.5)
        assert zone.observations.sel(x=x, y=y).values[0].tolist() == list(
            cog.source.read_observations(Window(7, 500, 1, 1))[0, 0]
        )


def test_the_convention_is_kept(converted):
    root = zarr.open_consolidated(converted / "embeddings.zarr")
    assert root.attrs["geoemb:dimensions"] == 32
    assert root.attrs["geoemb:depths"] == [
        {"dimensions": 16, "array": "embeddings_d16"},
        {"dimensions": 32, "array": "embeddings"},
    ]
    zone = root["utm31"]
    assert zone.attrs["proj:code"] == "EPSG:32631"
    assert (zone["scales"].fill_value, zone["scales"].shards) == (np.inf, (1, 256, 256))
    assert zone["embeddings"].chunks == (1, 32, 64, 64)
    scales = zone["scales"][0]
    np.testing.assert_array_equal(np.isinf(scales), np.isnan(EMBEDDING[..., 0]))
    assert not np.isnan(scales).any()  # NaN would mean water
    assert (zone["embeddings"][0][:, np.isinf(scales)] == 0).all()
    item = json.loads((converted / "item.json").read_text())
    assert len(item["assets"]["embeddings"]["tessera:sha256"]) == 64


def test_the_south_is_written_as_the_north_without_its_false_northing(tmp_path):
    southern = Grid(90, 50, "EPSG:32733", Affine(10, 0, 300_000, 0, -10, 6_200_000))
    cog = open_embeddings(made_up_output(tmp_path / "a", EMBEDDING[:50], grid=southern, year=2020))
    converted = convert(cog, tmp_path / "z", "zarr")
    zone = zarr.open_group(converted / "embeddings.zarr", mode="r")["utm33"]
    assert zone.attrs["proj:code"] == "EPSG:32633"
    assert zone["y"][0] == 6_200_000 - 5 - 10_000_000
    assert zone["time"][:].tolist() == [2020]
    found = open_embeddings(converted)
    assert found.grid == southern
    np.testing.assert_array_equal(found.read(), cog.read())


def test_what_it_cannot_hold_is_refused(tmp_path, cog):
    with pytest.raises(InputError, match=r"format=zarr.*year="):
        convert(cog, tmp_path / "x", "zarr")
    mercator = Grid(90, 50, "EPSG:3857", ORIGIN)
    other = open_embeddings(made_up_output(tmp_path / "a", EMBEDDING[:50], grid=mercator))
    with pytest.raises(InputError, match="takes UTM on WGS 84 only"):
        convert(other, tmp_path / "x", "zarr", year=2018)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("zarr.json", "{"),
        ("zarr.json", "[]"),
        ("zarr.json", "[" * 10_000),
    ],
)
def test_a_damaged_store_is_refused_in_one_line(tmp_path, path, content):
    source = open_embeddings(made_up_output(tmp_path / "a.embeddings", landscape(20, 20, 16)))
    folder = convert(source, tmp_path / "zarr", "zarr", year=2018)
    (folder / "embeddings.zarr" / path).write_text(content)
    with pytest.raises(TesseraError, match="convert again") as error:
        open_embeddings(folder).read()
    assert str(folder / "embeddings.zarr") in str(error.value)
    assert "file:" not in str(error.value)


@pytest.mark.parametrize("format", ["zarr", "vq"])
def test_a_damaged_chunk_is_named_by_the_path_of_its_store(tmp_path, format):
    source = open_embeddings(made_up_output(tmp_path / "a.embeddings", landscape(20, 20, 16)))
    folder = convert(source, tmp_path / "é !#%41", format, year=2018)
    for chunk in (folder / "embeddings.zarr").rglob("c/*/**/*"):
        if chunk.is_file():
            chunk.write_bytes(b"abc")
    with pytest.raises(TesseraError, match="convert again") as error:
        open_embeddings(folder).read()
    assert str(folder / "embeddings.zarr") in str(error.value)
    assert "file:" not in str(error.value)


def test_an_array_of_another_size_is_refused(tmp_path):
    source = open_embeddings(made_up_output(tmp_path / "a.embeddings", landscape(20, 20, 16)))
    folder = convert(source, tmp_path / "zarr", "zarr", year=2018)
    item = json.loads((folder / "item.json").read_text())
    item["properties"]["proj:shape"] = [40, 40]
    (folder / "item.json").write_text(json.dumps(item))
    with pytest.raises(TesseraError, match="40 x 40"):
        open_embeddings(folder).read()
    item["assets"]["embeddings"]["tessera:group"] = "gone"
    (folder / "item.json").write_text(json.dumps(item))
    with pytest.raises(TesseraError, match="'gone'"):
        open_embeddings(folder)


def test_a_missing_library_is_noticed_before_anything_is_computed(monkeypatch):
    from tessera_engine.errors import MissingExtra
    from tessera_engine.formats.origin import Origin
    from tessera_engine.formats.writing import check_format

    asked = ("zarr", "int8", Grid(4, 4, CRS, ORIGIN), 16, Origin(2024, "nano", "a" * 64, "v2", "1"))
    check_format(*asked)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtra, match="zarr"):
        check_format(*asked)


@pytest.mark.parametrize(("name", "dtype"), [("embeddings", "uint8"), ("scales", "float64")])
def test_an_array_of_another_dtype_is_refused(tmp_path, name, dtype):
    source = open_embeddings(made_up_output(tmp_path / "a.embeddings", landscape(20, 20, 16)))
    folder = convert(source, tmp_path / "zarr", "zarr", year=2018)
    zone = zarr.open_group(folder / "embeddings.zarr", mode="a")["utm31"]
    values = zone[name][:]
    del zone[name]
    zone.create_array(name, data=values.astype(dtype))
    zarr.consolidate_metadata(str(folder / "embeddings.zarr"))
    with pytest.raises(TesseraError, match=f"{name}.*values of {dtype}, expected"):
        open_embeddings(folder).read()
