"""What the specifications of GeoParquet 1.1.0 and of fiboa 0.3.0 ask of a file, written down from their schemas.

The schemas themselves lie on the web, where tests don't look.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import shapely
from rasterio.crs import CRS

GEOMETRY_TYPE = re.compile(r"(GeometryCollection|(Multi)?(Point|LineString|Polygon))( Z)?")

COLUMN_KEYS = {
    "encoding",
    "geometry_types",
    "crs",
    "edges",
    "orientation",
    "bbox",
    "epoch",
    "covering",
}

PROJJSON_TYPES = {
    "GeographicCRS",
    "ProjectedCRS",
    "CompoundCRS",
    "BoundCRS",
    "EngineeringCRS",
    "DerivedGeographicCRS",
}

FIBOA = {
    "id": pyarrow.string(),
    "collection": pyarrow.string(),
    "geometry": pyarrow.binary(),
    "metrics:area": pyarrow.float32(),
    "metrics:perimeter": pyarrow.float32(),
    "determination:method": pyarrow.string(),
    "determination:details": pyarrow.string(),
    "determination:datetime": pyarrow.timestamp("ms", "UTC"),
}
"""fiboa's columns with the types that its `string`, `float`, `geometry` and `date-time` have in Parquet."""

REQUIRED = ("id", "collection", "geometry")

METHODS = {"manual", "driven", "surveyed", "auto-operation", "auto-imagery", "unknown"}

LARGEST = {"metrics:area": 1_000_000_000, "metrics:perimeter": 1_250_000_000}
"""Both are more than 0."""

SCHEMAS = (
    "https://vecorel.org/specification/v0.1.0/schema.yaml",
    "https://fiboa.org/specification/v0.3.0/schema.yaml",
)


def check_geoparquet(path: Path) -> dict[str, Any]:
    """Fail where a file isn't GeoParquet 1.1.0; gives its metadata."""
    schema = pyarrow.parquet.read_schema(path)
    geo = json.loads(schema.metadata[b"geo"])
    check_geo(geo)
    assert set(geo["columns"]) <= set(schema.names)
    for name, about in geo["columns"].items():
        # WKB in the outermost level of the schema, and not repeated
        assert schema.field(name).type in (pyarrow.binary(), pyarrow.large_binary())
        column = pyarrow.parquet.read_table(path, columns=[name])[name]
        shapes = shapely.from_wkb(column.to_numpy())
        there = shapes[~shapely.is_missing(shapes)]
        if about["geometry_types"]:
            found = {f"{each.geom_type}{' Z' if each.has_z else ''}" for each in there}
            assert found <= set(about["geometry_types"])
        if "bbox" in about:
            np.testing.assert_allclose(about["bbox"], shapely.total_bounds(there))
    return geo


def check_geo(geo: dict[str, Any]) -> None:
    """Fail where the value of the key `geo` isn't what the schema of GeoParquet 1.1.0 allows."""
    assert {"version", "primary_column", "columns"} <= geo.keys()
    assert geo["version"] == "1.1.0"
    assert isinstance(geo["primary_column"], str)
    assert geo["primary_column"] in geo["columns"]
    for name, about in geo["columns"].items():
        assert name
        assert {"encoding", "geometry_types"} <= about.keys() <= COLUMN_KEYS
        assert about["encoding"] == "WKB"
        kinds = about["geometry_types"]
        assert isinstance(kinds, list)
        assert len(set(kinds)) == len(kinds)
        assert all(GEOMETRY_TYPE.fullmatch(kind) for kind in kinds)
        if about.get("crs") is not None:
            assert about["crs"]["type"] in PROJJSON_TYPES
            assert isinstance(about["crs"]["name"], str)
            assert CRS.from_user_input(about["crs"]).is_valid
        if "bbox" in about:
            assert len(about["bbox"]) in (4, 6)
            assert all(isinstance(edge, (int, float)) for edge in about["bbox"])


def check_fiboa(path: Path) -> None:
    """Fail where a file doesn't follow fiboa 0.3.0."""
    geo = check_geoparquet(path)
    assert geo["primary_column"] == "geometry"
    table = pyarrow.parquet.read_table(path)
    (name, schemas), *others = json.loads(table.schema.metadata[b"collection"])["schemas"].items()
    assert not others
    assert set(SCHEMAS) <= set(schemas)
    assert all(schema.startswith("https://") for schema in schemas)
    assert set(REQUIRED) <= set(table.column_names)
    for column, kind in FIBOA.items():
        if column in table.column_names:
            assert table.schema.field(column).type == kind, column
    for column in REQUIRED:
        assert table[column].null_count == 0
        assert all(table[column].to_pylist())
    assert len(set(table["id"].to_pylist())) == table.num_rows
    assert set(table["collection"].to_pylist()) == {name}
    for column, most in LARGEST.items():
        values = table[column].to_numpy()
        assert ((values > 0) & (values <= most)).all()
    assert set(table["determination:method"].to_pylist()) <= METHODS
