"""Read the shapes near a box, whatever file they are in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.files.naming import check_utf8
from tessera_engine.places.crs import Near, into_crs
from tessera_engine.places.features import Features
from tessera_engine.places.losses import Losses
from tessera_engine.places.nearby import where_they_lie
from tessera_engine.places.parquet import features_of_parquet, fields_of_parquet, read_parquet
from tessera_engine.places.shapes import Part, ShapeFile, Shapes, objects
from tessera_engine.places.table import features_of_table, fields_of_table, read_table
from tessera_engine.places.vector import features_of_vector, fields_of_vector, read_vector

TABLES = (".csv", ".tsv", ".txt")
SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")


class _Kind(NamedTuple):
    """What reads a kind of files.

    Attributes:
        read: the shapes near a box, with the values of a field.
        fields: the names of the fields.
        features: all shapes with all fields.
        library_bytes: memory of the libraries that it loads: shapely, pyarrow, and pyogrio, which loads pandas and
            pyarrow where they are installed. They stay in memory.
    """

    read: Callable[[ShapeFile, str | None, Near], list[Part]]
    fields: Callable[[Path], list[str]]
    features: Callable[[ShapeFile], Features]
    library_bytes: int


_PARQUET = _Kind(read_parquet, fields_of_parquet, features_of_parquet, 40_000_000)
_TABLE = _Kind(read_table, fields_of_table, features_of_table, 10_000_000)
_VECTOR = _Kind(read_vector, fields_of_vector, features_of_vector, 125_000_000)


def read_shapes(file: ShapeFile, field: str | None, near: Near) -> Shapes:
    """The shapes near a box, in the box's CRS.

    Points, lines and polygons of GeoPackage, shapefile, GeoJSON, KML, GPX, FileGDB and FlatGeobuf; GeoParquet; and
    tables (CSV, Parquet) with longitude and latitude, x and y, or WKT. Only what lies near the box is kept in memory.

    Args:
        file: what to read.
        field: the field or column whose values are read; None: only shapes, of the only layer that has some.
        near: the box.

    Raises:
        InputError: the file, layer, field or CRS can't be used.
        MissingExtra: a library that reads the file isn't installed.
    """
    parts = _kind_of(file.path).read(file, field, near)
    lost = Losses()
    geometries, values = [objects([])], [objects([])]
    for part in parts:
        shapes, usable, more = into_crs(part.geometries, part.crs, near)
        lost += part.lost + more
        geometries.append(shapes[usable])
        values.append(part.values[usable])
    found = np.concatenate(geometries)
    place = "" if len(found) else where_they_lie(parts, near, file.crs_parameter)
    return Shapes(found, np.concatenate(values), lost, place)


def check_layer(layer: str | None, *paths: Path) -> None:
    """Make sure that a layer isn't given in vain.

    Args:
        layer: its name; None: no layer is given.
        paths: files that it may be in.

    Raises:
        InputError: all of them are tables, which have no layers.
    """
    if layer is not None and paths and all(_kind_of(path) is not _VECTOR for path in paths):
        raise InputError(f"layer='{layer}' is for files with layers, and {paths[0]} is a table; leave it out")


def list_fields(path: Path) -> list[str]:
    """The fields or columns of a file.

    Raises:
        InputError: the file can't be read.
        MissingExtra: a library that reads the file isn't installed.
    """
    return _kind_of(path).fields(path)


def read_features(file: ShapeFile) -> Features:
    """All shapes of a file with all their columns, in the file's order.

    Args:
        file: what to read; all formats of `read_shapes`.

    Raises:
        InputError: the file, layer or CRS can't be used, or there are no shapes.
        MissingExtra: a library that reads the file isn't installed.
    """
    try:
        import pyarrow  # noqa: F401
        import shapely  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyarrow", "maps", "making tables from shapes") from None
    features = _kind_of(file.path).features(file)
    if not len(features):
        raise InputError(f"{file.path} holds no shapes; expected points or polygons")
    return features


def library_bytes(path: Path) -> int:
    """Bytes of memory that a process takes from the moment it reads shapes of a file, besides the shapes.

    Raises:
        InputError: the file can't be read.
    """
    return _kind_of(path).library_bytes


def _kind_of(path: Path) -> _Kind:
    """What reads a file."""
    check_utf8(path)
    suffix = path.suffix.lower()
    start = b"" if path.is_dir() else _start(path)
    if suffix in SPREADSHEETS:
        raise InputError(
            f"{path} is a spreadsheet, which isn't read; save the sheet as CSV and give that file"
        )
    if start.startswith(b"PAR1"):
        return _PARQUET
    # GeoJSON or KML may lie in a file with any name
    if suffix in TABLES and not start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"<")):
        return _TABLE
    return _VECTOR


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise InputError(f"can't read shapes from {path}: {error}") from None
