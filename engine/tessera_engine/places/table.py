"""Shapes of text tables (CSV): any usual delimiter and encoding, decimal point or comma."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.places.columns import (
    RowCollector,
    crs_of_columns,
    find_coordinates,
    numbers_of,
    value_of,
)
from tessera_engine.places.crs import Near
from tessera_engine.places.features import Features, from_numbers, from_wkt, typed
from tessera_engine.places.shapes import Part, ShapeFile, no_field, objects

DELIMITERS = ",;\t|"

ROWS = 20_000
"""Rows that are read at a time."""

LONGEST_CELL = 50_000_000
"""Characters of a cell. Polygons as WKT are longer than the library's own limit."""

SAMPLE = 100
"""Geometries by which the CRS of WKT is found."""


def read_table(file: ShapeFile, field: str | None, near: Near) -> list[Part]:
    """The shapes near a box.

    Args:
        file: a text table with a row of names.
        field: the column to read; None: only shapes.
        near: the box.

    Raises:
        InputError: the file, column or CRS can't be used.
        MissingExtra: shapely isn't installed.
    """
    with _rows(file.path) as (names, rows, comma):
        if field is not None and field not in names:
            raise no_field(file.path, field, names)
        head = list(islice(rows, SAMPLE))
        coordinates = find_coordinates(
            file.path, names, [[_cell(row, i) for row in head] for i in range(len(names))]
        )
        wanted = (coordinates.x, coordinates.y, coordinates.wkt, field)
        x, y, wkt, value = (-1 if name is None else names.index(name) for name in wanted)
        found = RowCollector(file, coordinates, [_cell(row, wkt) for row in head] if wkt >= 0 else [], near)
        for batch in _batches(chain(head, rows)):
            cells = [None] * len(batch) if field is None else [_cell(row, value) for row in batch]
            values = objects([None if cell is None else value_of(cell, comma) for cell in cells])
            if wkt >= 0:
                found.add_wkt([_cell(row, wkt) for row in batch], values)
            else:
                easting, northing = (numbers_of([_cell(row, i) for row in batch], comma) for i in (x, y))
                found.add_numbers(easting, northing, values)
        return [found.found.part()]


def features_of_table(file: ShapeFile) -> Features:
    """All shapes with all columns.

    Raises:
        InputError: the file or CRS can't be used.
        MissingExtra: shapely or pyarrow isn't installed.
    """
    import pyarrow

    with _rows(file.path) as (names, rows, comma):
        every = list(rows)
        cells = [[_cell(row, i) for row in every] for i in range(len(names))]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InputError(f"{file.path} has several columns named '{repeated}'; rename them")
    coordinates = find_coordinates(file.path, names, [each[:SAMPLE] for each in cells])
    named = dict(zip(names, cells, strict=True))
    if coordinates.wkt is None:
        x, y = (numbers_of(named[str(name)], comma) for name in (coordinates.x, coordinates.y))
        geometries, sample = from_numbers(x, y), []
    else:
        geometries, sample = from_wkt(named[coordinates.wkt]), named[coordinates.wkt][:SAMPLE]
    crs, assumed = crs_of_columns(file, coordinates, sample)
    columns = {name: typed(each, comma) for name, each in named.items()}
    return Features(pyarrow.table(columns), geometries, crs, assumed, in_columns=True)


def fields_of_table(path: Path) -> list[str]:
    """The columns.

    Raises:
        InputError: the file can't be read.
    """
    with _rows(path) as (names, _, _):
        return names


def rows_of_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The columns and all rows of a small table.

    Raises:
        InputError: the file can't be read.
    """
    with _rows(path) as (names, rows, _):
        return names, list(rows)


def _cell(row: list[str], column: int) -> str:
    """A cell; empty where the row is too short."""
    return row[column] if column < len(row) else ""


def _batches(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while batch := list(islice(rows, ROWS)):
        yield batch


@contextmanager
def _rows(path: Path) -> Iterator[tuple[list[str], Iterator[list[str]], bool]]:
    """The names of the columns, the rows that aren't blank, and whether numbers may have a decimal comma."""
    csv.field_size_limit(LONGEST_CELL)
    try:
        with path.open(encoding=_encoding(path), errors="replace", newline="") as text:
            start = text.readline()
            if start.lower().startswith("sep="):  # Excel's own first line
                delimiter = start.strip()[4:5] or ";"
                start = text.readline()
            else:
                delimiter = _delimiter(start)
            lines = csv.reader(chain([start], text), delimiter=delimiter)
            names = [name.strip() for name in next(lines, [])]
            yield names, (row for row in lines if any(cell.strip() for cell in row)), delimiter != ","
    except (OSError, csv.Error) as error:
        raise InputError(f"can't read shapes from {path}: {error}") from None


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if start.startswith(codecs.BOM_UTF8):
            return "utf-8-sig"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"  # what Excel writes in western Europe
    return "utf-8"


def _delimiter(line: str) -> str:
    """The delimiter that a row of names holds most often, outside of quotes."""
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)
