"""Shapes near a box: the same points come out of every format, in every CRS, and what is lost has its cause."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import rasterio.crs
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyogrio.raw import write as write_shapes
from rasterio.warp import transform
from shape_files import LAT, LON, NAMES, NEAR, UTM, X, Y, check, geoparquet, lines, points, read, table, write

from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.places import vector
from tessera_engine.places.crs import Near
from tessera_engine.places.losses import Cause, Losses, in_words
from tessera_engine.places.read import list_fields, read_shapes
from tessera_engine.places.shapes import ShapeFile


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.fgb", "a.shp"])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857", "EPSG:3035"])
def test_points_of_every_format_and_crs(tmp_path, name, crs):
    x, y = transform(UTM, crs, X, Y)
    path = write(tmp_path / name, points(x, y), NAMES, crs, geometry_type="Point")
    check(read(path))
    assert list_fields(path) == ["crop"]


# Tables


@pytest.mark.parametrize(
    "names",
    ["lon,lat", "Longitude,Latitude", "LNG,LAT", "decimalLongitude,decimalLatitude", "lon_wgs84,lat_wgs84",
     "GPS_LONG,GPS_LAT",],
)  # fmt: skip
def test_names_of_longitude_and_latitude(tmp_path, names):
    check(read(table(tmp_path / "a.csv", f"crop,{names}\n" + lines("{n},{lon},{lat}\n"))))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_encodings(tmp_path, delimiter, encoding):
    text = f"crop{delimiter}lon{delimiter}lat\r\n" + lines(
        delimiter.join(['"{n}"', "{lon}", "{lat}"]) + "\r\n"
    )
    check(read(table(tmp_path / "a.csv", text, encoding)))


def test_decimal_commas(tmp_path):
    rows = "".join(
        f"{i + 0.5};{lon};{lat}\n".replace(".", ",")
        for i, (lon, lat) in enumerate(zip(LON, LAT, strict=True))
    )
    check(read(table(tmp_path / "a.csv", "sep=;\ncrop;lon;lat\n" + rows)), [0.5, 1.5, 2.5, 3.5, 4.5])


def test_old_encodings(tmp_path):
    text = "crop,lon,lat\n" + f"blé,{LON[1]},{LAT[1]}\n"
    assert read(table(tmp_path / "a.csv", text, "cp1252")).values.tolist() == ["blé"]


def test_x_and_y_need_a_crs(tmp_path):
    path = table(tmp_path / "a.csv", "crop,Easting,Northing\n" + lines("{n},{x},{y}\n"))
    with pytest.raises(InputError, match="labels_crs="):
        read(path)
    check(read(path, crs=UTM))
    check(read(path, crs="32631"))
    with pytest.raises(InputError, match="labels_crs=utm"):
        read(path, crs="utm")
    (tmp_path / "a.prj").write_text(rasterio.crs.CRS.from_string(UTM).to_wkt())
    check(read(path))


def test_wkt(tmp_path):
    check(read(table(tmp_path / "a.csv", "crop,WKT\n" + lines("{n},POINT ({lon} {lat})\n"))))
    check(read(table(tmp_path / "b.csv", "crop,geom\n" + lines("{n},SRID=32631;POINT ({x} {y})\n"))))
    path = table(tmp_path / "c.csv", "crop;wkt\n;\n" + lines("{n};POINT Z ({x} {y} 5)\n"))
    with pytest.raises(InputError, match="labels_crs="):
        read(path)
    found = read(path, crs=UTM)
    check(found)


def test_one_broken_geometry_is_counted(tmp_path):
    curve = "CURVEPOLYGON (CIRCULARSTRING (0 0, 1 1, 2 0, 1 -1, 0 0))"
    text = "crop;wkt\n" + lines("{n};POINT ({lon} {lat})\n") + f"a;{curve}\nb;POINT (1\nc;\n"
    found = read(table(tmp_path / "a.csv", text))
    assert len(found) == 5
    assert found.lost == {Cause.BROKEN: 2, Cause.NO_GEOMETRY: 1}


def test_rows_that_are_lost(tmp_path):
    lon, lat = LON[0], LAT[0]
    text = f"crop,lon,lat\na,{lon},{lat}\nNA,{lon},{lat}\nb,\nb,x,1\nc\nd,inf,3\ne,4,95\nf,5,10\n\n1.0,{lon},{lat}\n"
    found = read(table(tmp_path / "a.csv", text))
    assert found.values.tolist() == ["a", None, "1"]
    assert found.lost == {Cause.NO_GEOMETRY: 4, Cause.OUT_OF_PROJECTION: 1, Cause.BESIDE: 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no field 'crop'"),
        ("crop,a\n1,2\n", "no columns with coordinates.*crop, a"),
        ("Crop,lon,lat\n1,2,3\n", "did you mean 'Crop'"),
        ("crop,lon,long,lat\n1,2,3,4\n", "lon, long"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(table(tmp_path / "a.csv", text))


def test_coordinates_that_are_not_where_the_names_say(tmp_path):
    found = read(table(tmp_path / "a.csv", "crop,lon,lat\n" + lines("{n},{lat},{lon}\n")))
    assert len(found) == 0
    assert "swapped" in found.place
    found = read(table(tmp_path / "a.csv", "crop,lon,lat\n" + lines("{n},{x},{y}\n")))
    assert "600105" in found.place
    assert "labels_crs=" in found.place


def test_a_spreadsheet_has_to_be_saved_as_csv(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK\3\4")
    with pytest.raises(InputError, match="CSV"):
        read(tmp_path / "a.xlsx")


# Parquet


def test_geoparquet(tmp_path):
    check(read(geoparquet(tmp_path / "a.parquet", LON, LAT)))
    projjson = rasterio.crs.CRS.from_string(UTM).to_dict(projjson=True)
    path = geoparquet(tmp_path / "b.geoparquet", X, Y, {"crs": projjson})
    check(read(path))
    assert list_fields(path) == ["crop", "geometry", "box"]
    unknown = geoparquet(tmp_path / "c.parquet", X, Y, {"crs": None})
    with pytest.raises(InputError, match="labels_crs="):
        read(unknown)
    check(read(unknown, crs=UTM))
    with pytest.raises(InputError, match=r"point.*WKB"):
        read(geoparquet(tmp_path / "d.parquet", X, Y, {"encoding": "point"}))


def test_groups_of_rows_elsewhere_are_not_read(tmp_path):
    covering = {"bbox": {edge: ["box", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}}
    x = X + np.array([0, 0, 1e6, 1e6, 0])
    path = geoparquet(tmp_path / "a.parquet", x, Y, {"crs": UTM, "covering": covering}, row_group_size=2)
    found = read(path)
    assert found.values.tolist() == [NAMES[0], NAMES[1], NAMES[4]]
    assert found.lost == {Cause.BESIDE: 2}


def test_a_parquet_table_with_coordinates(tmp_path):
    pyarrow.parquet.write_table(
        pa.table({"lon": LON, "lat": LAT, "crop": [1, 2, 3, 4, None]}), tmp_path / "a.parquet"
    )
    check(read(tmp_path / "a.parquet"), [1, 2, 3, 4, None])


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    path = geoparquet(tmp_path / "a.parquet", LON, LAT)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pyarrow.*maps"):
        read(path)


# Files with layers


def test_layers(tmp_path, capfd, recwarn):
    path = tmp_path / "a.gpkg"
    write(path, points(), NAMES, layer="2017")
    write_shapes(path, np.array([shapely.to_wkb(points()[0])], object), [np.array([1])], ["n"], layer="aoi",
                 driver="GPKG", geometry_type="Point", crs=UTM, append=True)  # fmt: skip
    check(read(path))  # the only one with the field
    write(path, points(), NAMES[::-1], layer="2018", append=True)
    with pytest.raises(InputError, match=r"2 layers with a field 'crop': 2017, 2018; give layer="):
        read(path)
    check(read(path, layer="2018"), NAMES[::-1])
    with pytest.raises(InputError, match=r"no layer '2019'; its layers: 2017, aoi, 2018"):
        read(path, layer="2019")
    with pytest.raises(InputError, match=r"no field 'crops'.*'crop'"):
        read(path, "crops")
    assert set(list_fields(path)) == {"crop", "n"}
    assert capfd.readouterr().err == ""
    assert [each for each in recwarn if "layer" in str(each.message)] == []


def kml(path):
    folders = "".join(
        f"<Folder><name>{folder}</name>"
        + "".join(
            f"<Placemark><name>{NAMES[i]}</name><Point><coordinates>{LON[i]},{LAT[i]},0</coordinates></Point></Placemark>"
            for i in which
        )
        + "</Folder>"
        for folder, which in (("north", (0, 1)), ("south", (2, 3, 4)))
    )
    path.write_text(
        f'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>',
        encoding="utf-8",
    )
    return path


def test_all_folders_of_a_kml_are_read(tmp_path):
    path = kml(tmp_path / "a.kml")
    check(read(path, "Name"))
    assert len(read(path, "Name", layer="south")) == 3
    with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
        archive.write(path, "doc.kml")
    check(read(tmp_path / "a.kmz", "Name"))


def test_a_gpx(tmp_path):
    marks = "".join(
        f'<wpt lat="{LAT[i]}" lon="{LON[i]}"><name>{NAMES[i]}</name></wpt>' for i in range(len(NAMES))
    )
    (tmp_path / "a.gpx").write_text(
        f'<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1">{marks}</gpx>',
        encoding="utf-8",
    )
    check(read(tmp_path / "a.gpx", "name"))


def test_shapefiles_without_their_prj_and_cpg(tmp_path):
    path = write(tmp_path / "a.shp", points(), NAMES, geometry_type="Point")
    (tmp_path / "a.prj").unlink()
    (tmp_path / "a.cpg").unlink()
    with pytest.raises(InputError, match="labels_crs="):
        read(path)
    check(read(path, crs=UTM))
    latin = [name if name.isascii() else "blé" for name in NAMES]
    path = write(tmp_path / "b.shp", points(), latin, geometry_type="Point", encoding="ISO-8859-1")
    (tmp_path / "b.cpg").unlink(missing_ok=True)
    check(read(path), latin)


# What is lost


def bad_shapes():
    bow = shapely.Polygon([(X[0], Y[0]), (X[1], Y[1]), (X[1], Y[0]), (X[0], Y[1]), (X[0], Y[0])])
    return [points()[0], None, shapely.Point(), shapely.Point(np.inf, Y[0]), shapely.Point(0, 0), bow]


@pytest.mark.parametrize(
    ("few", "lost"),
    [
        (10_000, {Cause.NO_GEOMETRY: 2, Cause.OUT_OF_PROJECTION: 1, Cause.BESIDE: 1}),
        (0, {Cause.NO_GEOMETRY: 1, Cause.BESIDE: 3}),
    ],
)
def test_one_bad_shape_refuses_no_file(tmp_path, monkeypatch, few, lost):
    """Of a layer that is read near the box only, what isn't near isn't looked at."""
    monkeypatch.setattr(vector, "FEW_SHAPES", few)
    found = read(write(tmp_path / "a.gpkg", bad_shapes(), list("abcdef")))
    assert sorted(found.values) == ["a", "f"]
    assert found.lost == lost


@pytest.mark.parametrize("few", [10_000, 0])
def test_shapes_without_a_geometry_are_counted_in_shapefiles_too(tmp_path, monkeypatch, few):
    monkeypatch.setattr(vector, "FEW_SHAPES", few)
    shapes = [points()[0], None, None, shapely.Point(0, 0)]
    found = read(write(tmp_path / "a.shp", shapes, list("abcd"), geometry_type="Point"))
    assert found.values.tolist() == ["a"]
    assert found.lost == {Cause.NO_GEOMETRY: 2, Cause.BESIDE: 1}


def test_broken_geojson_features(tmp_path):
    def feature(kind, coordinates):
        return {
            "type": "Feature",
            "properties": {"crop": "a"},
            "geometry": {"type": kind, "coordinates": coordinates},
        }

    features = [
        feature("Point", [LON[0], LAT[0]]),
        feature("Polygon", [[[1, 2]]]),
        feature("Point", ["x", 1]),
        feature("Bogus", []),
        {"type": "Feature", "properties": {}, "geometry": None},
    ]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = read(tmp_path / "a.geojson")
    assert len(found) == 1
    assert found.lost.total() == 4


def test_geojson_in_metres(tmp_path):
    path = write(tmp_path / "a.geojson", points(), NAMES)
    content = json.loads(path.read_text())
    del content["crs"]
    path.write_text(json.dumps(content))
    found = read(path)
    assert found.lost == {Cause.OUT_OF_PROJECTION: 5}
    assert "GeoJSON" in found.place
    assert "labels_crs=" in found.place
    check(read(path, crs=UTM))


def test_only_shapes_near_the_box_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(vector, "FEW_SHAPES", 10)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(3e5, 9e5, 500), rng.uniform(5.3e6, 5.6e6, 500)
    path = write(tmp_path / "a.gpkg", points(np.append(x, X), np.append(y, Y)), ["far"] * 500 + NAMES)
    read_whole = []
    original = vector.Collector.add_wkb
    monkeypatch.setattr(
        vector.Collector,
        "add_wkb",
        lambda self, wkb, values: (read_whole.append(len(wkb)), original(self, wkb, values)),
    )
    found = read(path)
    assert read_whole == [5]
    assert (len(found), found.lost) == (5, {Cause.BESIDE: 500})


# Projecting


def test_a_polygon_of_the_whole_world_covers_the_box(tmp_path):
    """Its corners have no place in the box's CRS."""
    path = write(
        tmp_path / "a.gpkg", [shapely.box(-180, -90, 180, 90)], ["a"], "EPSG:4326", geometry_type="Polygon"
    )
    (shape,) = read(path).geometries
    assert shapely.covers(shape, shapely.box(*NEAR.bounds))


def test_straight_edges_in_degrees_stay_straight_in_degrees(tmp_path):
    """A parallel over 2 degrees is 100 m off its chord in UTM: the border passes where it lies in the file."""
    near = Near(UTM, (450_000.0, 5_600_000.0, 550_000.0, 5_700_000.0))
    path = write(tmp_path / "a.geojson", [shapely.box(1, 50, 5, 51)], ["a"], "EPSG:4326")
    (shape,) = read_shapes(ShapeFile(path), "crop", near).geometries
    lon = np.linspace(2.4, 3.6, 50)
    for latitude, inside in ((51 - 1e-5, True), (51 + 1e-5, False)):  # 1 m
        x, y = map(np.array, transform("EPSG:4326", UTM, lon, np.full(50, latitude)))
        assert (shapely.contains_xy(shape, x, y) == inside).all()


def test_a_box_across_the_antimeridian():
    """Shapes on both sides of 180 degrees are near it."""
    near = Near("EPSG:32760", (818_970.0, 8_117_000.0, 832_000.0, 8_130_000.0))
    left, bottom, right, top = near.box_in(rasterio.crs.CRS.from_epsg(4326))
    assert left <= -180 < 180 <= right
    assert -18 < bottom < top < -16


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=20))
def test_points_anywhere_on_earth_are_read_or_counted(places):
    from tessera_engine.places.crs import into_crs

    crs = rasterio.crs.CRS.from_epsg(4326)
    given_points = np.array(
        [shapely.Point(*place) for place in places] + [shapely.Point(LON[0], LAT[0])], object
    )
    shapes, usable, lost = into_crs(given_points, crs, NEAR)
    assert usable.sum() + lost.total() == len(given_points)
    assert usable[-1]
    assert shapes[-1].distance(shapely.Point(X[0], Y[0])) < 0.01


def test_losses_in_words():
    losses = Losses({Cause.BESIDE: 1200, Cause.NO_VALUE: 1})
    assert in_words(losses) == "1 shape without a value, 1,200 shapes beside the scene"
    assert in_words(Losses()) == ""
