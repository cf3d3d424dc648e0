"""Shapes of Parquet files: GeoParquet, and tables with columns of coordinates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tessera_engine.errors import InputError, MissingExtra
from tessera_engine.places.columns import (
    Coordinates,
    RowCollector,
    crs_of_columns,
    find_coordinates,
    value_of,
)
from tessera_engine.places.crs import Near, no_crs, parse_crs, stated_crs
from tessera_engine.places.features import Features, from_numbers, from_wkb, from_wkt
from tessera_engine.places.losses import Cause
from tessera_engine.places.nearby import Collector
from tessera_engine.places.shapes import Box, Part, ShapeFile, no_field, objects

ROWS = 10_000
"""Rows that are read at a time."""

SAMPLE = 100
"""Rows by which columns of geometries are found."""

LONGITUDE_LATITUDE = "OGC:CRS84"
"""The CRS of a GeoParquet file that names none (GeoParquet 1.1, "crs")."""

KEY = b"geo"
"""Where GeoParquet keeps its metadata in the file's."""


def read_parquet(file: ShapeFile, field: str | None, near: Near) -> list[Part]:
    """The shapes near a box. Groups of rows that lie elsewhere by the file's own statistics are not read.

    Args:
        file: a Parquet file.
        field: the column to read; None: only shapes.
        near: the box.

    Raises:
        InputError: the file, column or CRS can't be used.
        MissingExtra: pyarrow or shapely isn't installed.
    """
    with _opened(file.path) as parquet:
        names = list(parquet.schema_arrow.names)
        if field is not None and field not in names:
            raise no_field(file.path, field, names)
        about = _geo(parquet)
        column = str(about.get("primary_column", ""))
        if column in names:
            return [_read_geo(parquet, file, field, near, column, about["columns"].get(column, {}))]
        return [_read_plain(parquet, file, field, near)]


def features_of_parquet(file: ShapeFile) -> Features:
    """All shapes with all columns.

    Raises:
        InputError: the file, column or CRS can't be used.
        MissingExtra: pyarrow or shapely isn't installed.
    """
    with _opened(file.path) as parquet:
        table = parquet.read().replace_schema_metadata(None)
        about = _geo(parquet)
        column = str(about.get("primary_column", ""))
        if column in table.column_names:
            described = about["columns"].get(column, {})
            _check_encoding(file, described)
            crs, assumed = _crs_of(file, described)
            geometries = from_wkb(table.column(column).to_pylist())
            covering = _covering(described)
            others = [each for each in covering if each in table.column_names]
            return Features(table.drop_columns([column, *others]), geometries, crs, assumed)
        coordinates, sample = _coordinates(file, parquet)
    held = {name: table.column(name).to_pylist() for name in coordinates.named}
    if coordinates.wkt is not None:
        geometries = from_wkt(held[coordinates.wkt])
    else:
        x, y = (np.array([_float(each) for each in values]) for values in held.values())
        geometries = from_numbers(x, y)
    crs, assumed = crs_of_columns(file, coordinates, sample)
    return Features(table, geometries, crs, assumed, in_columns=True)


def fields_of_parquet(path: Path) -> list[str]:
    """The columns.

    Raises:
        InputError: the file can't be read.
        MissingExtra: pyarrow isn't installed.
    """
    with _opened(path) as parquet:
        return list(parquet.schema_arrow.names)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import pyarrow
        import pyarrow.parquet
        import shapely  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyarrow", "maps", "reading shapes from Parquet") from None
    try:
        # Opened here: pyarrow would read a name such as "http:a.parquet" as a URI
        with pyarrow.OSFile(str(path)) as file, pyarrow.parquet.ParquetFile(file) as parquet:
            yield parquet
        pyarrow.default_memory_pool().release_unused()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"can't read shapes from {path}: {' '.join(str(error).split())}") from None


def _geo(parquet: Any) -> dict[str, Any]:
    """The metadata of GeoParquet; empty where the file is a plain table."""
    try:
        about = json.loads((parquet.schema_arrow.metadata or {}).get(KEY, b"{}"))
    except ValueError:
        return {}
    sound = isinstance(about, dict) and isinstance(about.get("columns"), dict)
    return about if sound else {}


def _read_geo(
    parquet: Any, file: ShapeFile, field: str | None, near: Near, column: str, about: Mapping[str, Any]
) -> Part:
    _check_encoding(file, about)
    crs, assumed = _crs_of(file, about)
    found = Collector(crs, near, assumed)
    for group in range(parquet.num_row_groups):
        place = _place_of_group(parquet.metadata.row_group(group), about)
        if place is not None and found.box is not None and _apart(place, found.box):
            found.lost[Cause.BESIDE] += parquet.metadata.row_group(group).num_rows
            found.extend(place)
            continue
        columns = [name for name in (column, field) if name is not None]
        for batch in parquet.iter_batches(ROWS, row_groups=[group], columns=columns):
            found.add_wkb(batch.column(column).to_pylist(), _values(batch, field))
    return found.part()


def _check_encoding(file: ShapeFile, about: Mapping[str, Any]) -> None:
    encoding = str(about.get("encoding", "WKB"))
    if encoding.upper() != "WKB":
        raise InputError(f"{file.path} stores shapes in the encoding '{encoding}'; save it with WKB")


def _crs_of(file: ShapeFile, about: Mapping[str, Any]) -> tuple[Any, str]:
    if file.crs is not None:
        return parse_crs(file.crs, file.crs_parameter), f"given by {file.crs_parameter}="
    named = "crs" in about
    crs = stated_crs(about["crs"] if named else LONGITUDE_LATITUDE)
    if crs is None:
        raise no_crs(file.path, file.crs_parameter)
    return crs, "" if named else "what GeoParquet means without a crs"


def _place_of_group(group: Any, about: Mapping[str, Any]) -> Box | None:
    """The box around a group of rows by the statistics of its covering columns; None where there are none."""
    paths = _boxes(about)
    if not paths:
        return None
    statistics = {
        group.column(i).path_in_schema: group.column(i).statistics for i in range(group.num_columns)
    }
    edges = []
    for name, side in (("xmin", "min"), ("ymin", "min"), ("xmax", "max"), ("ymax", "max")):
        known = statistics.get(".".join(map(str, paths.get(name, ()))))
        # Rows without a box have shapes without a place, and are counted as such
        if known is None or not known.has_min_max or known.null_count:
            return None
        edges.append(float(getattr(known, side)))
    return (edges[0], edges[1], edges[2], edges[3]) if np.isfinite(edges).all() else None


def _boxes(about: Mapping[str, Any]) -> dict[str, Any]:
    """Where the columns with boxes around the shapes are, by the edge; empty where there are none."""
    covering = about.get("covering")
    paths = covering.get("bbox") if isinstance(covering, dict) else None
    return paths if isinstance(paths, dict) else {}


def _covering(about: Mapping[str, Any]) -> set[str]:
    """The columns with boxes around the shapes."""
    return {str(path[0]) for path in _boxes(about).values() if isinstance(path, list) and path}


def _apart(a: Box, b: Box) -> bool:
    return a[2] < b[0] or a[0] > b[2] or a[3] < b[1] or a[1] > b[3]


def _read_plain(parquet: Any, file: ShapeFile, field: str | None, near: Near) -> Part:
    coordinates, sample = _coordinates(file, parquet)
    found = RowCollector(file, coordinates, sample, near)
    columns = [*coordinates.named, *([] if field is None else [field])]
    for batch in parquet.iter_batches(ROWS, columns=list(dict.fromkeys(columns))):
        _add(found, coordinates, batch, field)
    return found.found.part()


def _coordinates(file: ShapeFile, parquet: Any) -> tuple[Coordinates, list[Any]]:
    """The columns that place the rows of a plain table, and values of its column of geometries."""
    names = list(parquet.schema_arrow.names)
    head = next(parquet.iter_batches(SAMPLE), None)
    texts = [[] for _ in names] if head is None else [column.to_pylist() for column in head.columns]
    coordinates = find_coordinates(file.path, names, texts)
    wkt = coordinates.wkt
    return coordinates, [] if wkt is None else [each for each in texts[names.index(wkt)] if each]


def _values(batch: Any, field: str | None) -> list[Any]:
    """The values of a column; None each where none is asked for."""
    return [None] * batch.num_rows if field is None else list(batch.column(field).to_pylist())


def _add(found: RowCollector, coordinates: Coordinates, batch: Any, field: str | None) -> None:
    values = objects(
        [value_of(each, False) if isinstance(each, str) else each for each in _values(batch, field)]
    )
    if coordinates.wkt is not None:
        found.add_wkt(batch.column(coordinates.wkt).to_pylist(), values)
        return
    x, y = (
        np.array([_float(each) for each in batch.column(name).to_pylist()])
        for name in (coordinates.x, coordinates.y)
    )
    found.add_numbers(x, y, values)


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
