"""Read the shapes near a box, whatever file they are in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tessera_engine.errors import InputError
from tessera_engine.places.crs import Near, into_crs
from tessera_engine.places.losses import Losses
from tessera_engine.places.nearby import where_they_lie
from tessera_engine.places.parquet import fields_of_parquet, read_parquet
from tessera_engine.places.shapes import Part, ShapeFile, Shapes, objects
from tessera_engine.places.table import fields_of_table, read_table
from tessera_engine.places.vector import fields_of_vector, read_vector

TABLES = (".csv", ".tsv", ".txt")
SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")

_Reader = Callable[[ShapeFile, str | None, Near], list[Part]]


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
    reader, _ = _readers(file.path)
    parts = reader(file, field, near)
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


def list_fields(path: Path) -> list[str]:
    """The fields or columns of a file.

    Raises:
        InputError: the file can't be read.
        MissingExtra: a library that reads the file isn't installed.
    """
    return _readers(path)[1](path)


def _readers(path: Path) -> tuple[_Reader, Callable[[Path], list[str]]]:
    """What reads the shapes of a file, and its fields."""
    suffix = path.suffix.lower()
    start = b"" if path.is_dir() else _start(path)
    if suffix in SPREADSHEETS:
        raise InputError(
            f"{path} is a spreadsheet, which isn't read; save the sheet as CSV and give that file"
        )
    if start.startswith(b"PAR1"):
        return read_parquet, fields_of_parquet
    # GeoJSON or KML may lie in a file with any name
    if suffix in TABLES and not start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"<")):
        return read_table, fields_of_table
    return read_vector, fields_of_vector


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise InputError(f"can't read shapes from {path}: {error}") from None
