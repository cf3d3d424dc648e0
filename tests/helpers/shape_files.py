"""Five labelled points in files of shapes, and what is read of them."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import shapely
from pyogrio.raw import write as write_shapes
from rasterio.warp import transform

from tessera_engine.places.crs import Near
from tessera_engine.places.read import read_shapes
from tessera_engine.places.shapes import ShapeFile

UTM = "EPSG:32631"
NEAR = Near(UTM, (600_000.0, 5_639_400.0, 600_800.0, 5_640_000.0))
X = np.array([600_105.0, 600_205, 600_305, 600_405, 600_505])
Y = np.array([5_639_905.0, 5_639_805, 5_639_705, 5_639_605, 5_639_505])
LON, LAT = map(np.array, transform(UTM, "EPSG:4326", X, Y))
NAMES = ["maize", "blé", "小麦", "wheat", "meadow"]


def read(path, field="crop", **said):
    return read_shapes(ShapeFile(path, crs_parameter="labels_crs", **said), field, NEAR)


def check(shapes, names=NAMES, within=0.01):
    """These are the five points with their names."""
    xy = shapely.get_coordinates(shapes.geometries)
    order = np.argsort(xy[:, 0])
    np.testing.assert_allclose(xy[order], np.column_stack([X, Y]), atol=within)
    assert [str(value) for value in shapes.values[order]] == list(map(str, names))
    assert shapes.lost.total() == 0


def write(path, shapes, values, crs=UTM, **options):
    wkb = np.array([None if shape is None else shapely.to_wkb(shape) for shape in shapes], object)
    drivers = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile", ".fgb": "FlatGeobuf"}
    named = {"driver": drivers.get(path.suffix), "geometry_type": "Unknown", "crs": crs}
    write_shapes(path, wkb, [np.array(values, object)], ["crop"], **(named | options))
    return path


def points(x=X, y=Y):
    return list(shapely.points(x, y))


def table(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def lines(pattern):
    rows = zip(NAMES, X, Y, LON, LAT, strict=True)
    return "".join(pattern.format(n=n, x=x, y=y, lon=lon, lat=lat) for n, x, y, lon, lat in rows)


def geoparquet(path, x, y, about=None, **options):
    wkb = [shapely.to_wkb(point) for point in points(x, y)]
    data = pa.table({"crop": NAMES, "geometry": wkb, "box": [
        {"xmin": a, "ymin": b, "xmax": a, "ymax": b} for a, b in zip(x, y, strict=True)
    ]})  # fmt: skip
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB"} | (about or {})},
    }
    pyarrow.parquet.write_table(data.replace_schema_metadata({"geo": json.dumps(geo)}), path, **options)
    return path
