"""The files of tables: valid GeoParquet, and reopened by other libraries."""

from __future__ import annotations

import json
import sqlite3

import duckdb
import geopandas
import numpy as np
import pandas
import pyarrow.parquet
import pytest
import shapely
from geoparquet import check_geo, check_geoparquet
from made_up import CRS, ORIGIN
from sampled import DIM, at, vectors, write

import tessera_engine as te


def test_geoparquet_says_what_it_is(tmp_path, output, points):
    made = te.sample(output, points, tmp_path / "t.parquet")
    metadata = pyarrow.parquet.read_schema(made.out).metadata
    geo = check_geoparquet(made.out)
    column = geo["columns"][geo["primary_column"]]
    assert column["geometry_types"] == ["Point"]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 4326}
    about = json.loads(metadata[b"tessera"])
    assert (about["model"], about["model_sha256"], about["dim"]) == ("nano", "a" * 64, DIM)
    assert (about["years"], about["sources"]) == ([2024], ["field"])
    found = duckdb.sql(f"select count(*), max(embedding_{DIM:03d}), min(year) from '{made.out}'").fetchall()[
        0
    ]
    table = geopandas.read_parquet(made.out)
    assert found == (20, pytest.approx(np.nanmax(vectors(table)[:, -1])), 2024)


def test_every_kind_of_geometry_is_valid_geoparquet(tmp_path, output):
    x, y = ORIGIN @ (10, 10)
    square = shapely.box(x, y - 40, x + 40, y)
    shapes = [
        square,
        shapely.Point(x, y, 12.0),
        shapely.MultiPolygon([square, shapely.box(x + 60, y - 20, x + 80, y)]),
        shapely.LineString([(x, y), (x + 30, y)]),
        shapely.GeometryCollection([square, shapely.Point(x, y)]),
        None,
    ]
    frame = geopandas.GeoDataFrame({"plot": range(len(shapes))}, geometry=shapes, crs=CRS)
    frame.to_parquet(tmp_path / "p.parquet")
    geo = check_geoparquet(te.sample(output, tmp_path / "p.parquet", tmp_path / "t.parquet").out)
    assert set(geo["columns"]["geometry"]["geometry_types"]) == {
        "Polygon", "Point Z", "MultiPolygon", "LineString", "GeometryCollection"
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": "1.0.0"},
        {"primary_column": "other"},
        {"columns": {"geometry": {"encoding": "WKB"}}},
        {"columns": {"geometry": {"encoding": "WKT", "geometry_types": []}}},
        {"columns": {"geometry": {"encoding": "WKB", "geometry_types": ["LinearRing"]}}},
        {"columns": {"geometry": {"encoding": "WKB", "geometry_types": [], "bbox": [1, 2, 3]}}},
        {"columns": {"geometry": {"encoding": "WKB", "geometry_types": [], "crs": {"name": "x"}}}},
    ],
)
def test_what_geoparquet_does_not_allow_is_found(wrong):
    right = {"version": "1.1.0", "primary_column": "geometry"}
    right["columns"] = {"geometry": {"encoding": "WKB", "geometry_types": ["Point"], "bbox": [1, 2, 3, 4]}}
    check_geo(right)
    with pytest.raises((AssertionError, KeyError)):
        check_geo(right | wrong)


@pytest.mark.parametrize("ending", ["gpkg", "csv"])
def test_other_tables_hold_the_same(tmp_path, output, points, ending):
    wanted = geopandas.read_parquet(te.sample(output, points, tmp_path / "t.parquet").out)
    made = te.sample(output, points, tmp_path / f"t.{ending}")
    if ending == "gpkg":
        found = geopandas.read_file(made.out)
        assert found.crs == wanted.crs
        assert list(found.geometry[:19]) == list(wanted.geometry[:19])
        with sqlite3.connect(made.out) as base:
            texts = [text for (text,) in base.execute("select metadata from gpkg_metadata")]
        assert any("a" * 64 in text for text in texts)
    else:
        found = pandas.read_csv(made.out)
        assert set(found["model_sha256"]) == {"a" * 64}
        assert shapely.from_wkt(found["geometry"][0]) == wanted.geometry[0]
    np.testing.assert_allclose(vectors(found), vectors(wanted), rtol=1e-6)
    for column in ("id", "crop", "year", "pixels", "nodata"):
        assert list(found[column]) == list(wanted[column])


def test_names_that_the_user_has_already_are_kept_and_ours_say_so(tmp_path, output):
    shapes = [shapely.Point(at(20, 20))]
    columns = {"Year": [1999], "embedding_001": ["x"], "geom": [7], "fid": [12], "pixels": [3]}
    path = write(tmp_path / "p.parquet", shapes, **columns)
    for ending in ("parquet", "gpkg"):
        made = te.sample(output, path, tmp_path / f"t.{ending}")
        table = geopandas.read_parquet(made.out) if ending == "parquet" else geopandas.read_file(made.out)
        for name, values in columns.items():
            assert list(table[name]) == values
        assert list(table["tessera_year"]) == [2024]
        assert np.isfinite(table["tessera_embedding_001"][0])
        assert any("'tessera_year'" in note for note in made.notes)


def test_lists_and_categories_of_the_user(tmp_path, output):
    frame = geopandas.GeoDataFrame(
        {"tags": [["a", "b"], None], "kind": pandas.Categorical(["x", "y"])},
        geometry=[shapely.Point(at(20, 20)), shapely.Point(at(21, 20))],
        crs=CRS,
    )
    frame.to_parquet(tmp_path / "p.parquet")
    for ending in ("parquet", "gpkg", "csv"):
        made = te.sample(output, tmp_path / "p.parquet", tmp_path / f"t.{ending}")
        read = {"parquet": geopandas.read_parquet, "gpkg": geopandas.read_file, "csv": pandas.read_csv}[
            ending
        ]
        table = read(made.out)
        assert json.loads(table["tags"][0]) == ["a", "b"]
        assert list(table["kind"]) == ["x", "y"]


NAMES = {
    "-a.b": "a.b",
    ".fields": "fields",
    "(2024) fields": "2024) fields",
    "gpkg": "table_gpkg",
    "sqlite_a": "table_sqlite_a",
    "...": "table_",
    "a!b": "a!b",
    "小麦": "小麦",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["plain", "d!x"])
def test_a_geopackage_is_written_under_any_name(tmp_path, output, points, name, folder):
    out = tmp_path / folder / f"{name}.gpkg"
    made = te.sample(output, points, out)
    assert made.out == out
    with sqlite3.connect(out) as database:
        assert database.execute("select table_name from gpkg_contents").fetchall() == [(NAMES[name],)]
    assert [path.name for path in (tmp_path / folder).iterdir()] == [out.name]
    assert te.sample(output, out, tmp_path / "again.csv").out.is_file()
