"""All shapes of a file with all their columns, in the file's order, from every format."""

from __future__ import annotations

import datetime

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import shapely

from tessera_engine.errors import InputError
from tessera_engine.places.crs import Near
from tessera_engine.places.features import typed
from tessera_engine.places.losses import Cause
from tessera_engine.places.read import read_features
from tessera_engine.places.shapes import ShapeFile

UTM = "EPSG:32631"
X, Y = np.array([600_105.0, 600_205, 900_000]), np.array([5_639_905.0, 5_639_805, 5_639_705])
COLUMNS = {"plot": ["a1", "blé", "小麦"], "height": [1.5, 2.0, 3.25], "trees": [3, 0, 7]}
NEAR = Near(UTM, (600_000.0, 5_639_400.0, 600_800.0, 5_640_000.0))


def frame(crs=UTM):
    return geopandas.GeoDataFrame(COLUMNS, geometry=geopandas.points_from_xy(X, Y), crs=UTM).to_crs(crs)


def save(path, crs=UTM):
    found = frame(crs)
    if path.suffix == ".parquet":
        found.to_parquet(path, write_covering_bbox=True)
    elif path.suffix == ".csv":
        with_xy = found.assign(lon=found.geometry.x, lat=found.geometry.y).drop(columns="geometry")
        with_xy.to_csv(path, index=False)
    else:
        found.to_file(path)
    return path


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.fgb", "a.parquet", "a.shp"])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_every_format_keeps_rows_columns_and_types(tmp_path, name, crs):
    features = read_features(ShapeFile(save(tmp_path / name, crs)))
    rows = [str(each) for each in features.table.column("plot").to_pylist()]
    order = [rows.index(plot) for plot in COLUMNS["plot"]]  # an indexed FlatGeobuf has an order of its own
    for column, values in COLUMNS.items():
        found = features.table.column(column).to_pylist()
        assert [found[i] for i in order] == values
    assert features.table.column_names == list(COLUMNS)
    assert features.crs.to_epsg() == int(crs.split(":")[1])
    wanted = np.column_stack([frame(crs).geometry.x, frame(crs).geometry.y])
    np.testing.assert_allclose(shapely.get_coordinates(features.geometries[order]), wanted, rtol=1e-12)
    near = features.near(NEAR, "shapes_crs")
    assert sorted(near.values) == sorted(order[:2])
    assert near.lost[Cause.BESIDE] == 1


def test_a_table_keeps_its_columns_of_coordinates(tmp_path):
    features = read_features(ShapeFile(save(tmp_path / "a.csv", "EPSG:4326")))
    assert features.in_columns
    assert features.table.column_names == ["plot", "height", "trees", "lon", "lat"]
    assert features.table.column("trees").type == pa.int64()
    assert features.table.column("trees").to_pylist() == COLUMNS["trees"]
    plain = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(features.table, plain)
    again = read_features(ShapeFile(plain))
    assert again.table.equals(features.table)
    assert again.crs == features.crs


def test_rows_without_a_shape_stay(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id;lon;lat\n007;4,5;50,1\n008;;\n009;x;50\n")
    features = read_features(ShapeFile(path))
    assert features.table.column("id").to_pylist() == ["007", "008", "009"]
    assert [shape is None for shape in features.geometries] == [False, True, True]
    assert shapely.get_x(features.geometries[0]) == 4.5
    wkt = tmp_path / "w.csv"
    wkt.write_text("name,wkt\none,POINT (4.5 50.1)\ntwo,\nthree,nonsense\n")
    assert [shape is None for shape in read_features(ShapeFile(wkt)).geometries] == [False, True, True]


@pytest.mark.parametrize(
    ("cells", "comma", "kind", "values"),
    [
        (["1", "2", ""], False, pa.int64(), [1, 2, None]),
        (["1", "2.5", "NA"], False, pa.float64(), [1.0, 2.5, None]),
        (["1,5", "2"], True, pa.float64(), [1.5, 2.0]),
        (["1,5", "2"], False, pa.string(), ["1,5", "2"]),
        (["007", "8"], False, pa.string(), ["007", "8"]),
        (["-3", "1e3", ".5"], False, pa.float64(), [-3.0, 1000.0, 0.5]),
        (["1_0", "2"], False, pa.string(), ["1_0", "2"]),
        (["99999999999999999999"], False, pa.string(), ["99999999999999999999"]),
        (["1234567890123456", "0.5"], False, pa.string(), ["1234567890123456", "0.5"]),
        (["", "NA"], False, pa.string(), [None, "NA"]),
        (["nan", "inf"], False, pa.string(), ["nan", "inf"]),
    ],
)
def test_cells_become_numbers_only_where_nothing_is_lost(cells, comma, kind, values):
    found = typed(cells, comma)
    assert found.type == kind
    assert found.to_pylist() == values


def test_dates_and_missing_values_come_through(tmp_path):
    days = [datetime.date(2024, 5, 1), None, datetime.date(2024, 7, 1)]
    found = geopandas.GeoDataFrame(
        {"day": days, "note": ["x", None, "z"]}, geometry=geopandas.points_from_xy(X, Y), crs=UTM
    )
    found.to_parquet(tmp_path / "a.parquet")
    table = read_features(ShapeFile(tmp_path / "a.parquet")).table
    assert table.column("day").to_pylist() == days
    assert table.column("note").to_pylist() == ["x", None, "z"]


def test_mistakes(tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_text("lon,lat\n")
    with pytest.raises(InputError, match=r"empty\.csv holds no shapes"):
        read_features(ShapeFile(empty))
    twice = tmp_path / "twice.csv"
    twice.write_text("lon,lat,a,a\n1,2,3,4\n")
    with pytest.raises(InputError, match="several columns named 'a'"):
        read_features(ShapeFile(twice))
