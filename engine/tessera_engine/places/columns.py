"""Coordinates in the columns of tables: which columns hold them, and numbers in text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.places.crs import WGS84, Near, can_be_degrees, no_crs, parse_crs, stated_crs
from tessera_engine.places.nearby import Collector, parsed
from tessera_engine.places.shapes import ShapeFile, objects

_DECORATION = re.compile(
    r"wgs84|epsg|4326|decimal|degrees?|deg|dd|gps|geo|point|centroid|cent(?:er|re)|coord(?:inate)?s?|[^a-zäöü]"
)

LONGITUDE = {"lon", "long", "longitude", "lng", "longitud", "longitudine", "längengrad", "laengengrad"}
LATITUDE = {"lat", "latitude", "latitud", "latitudine", "breitengrad"}
EASTING = {"x", "easting", "eastings", "east", "e", "utmx", "utme", "xutm", "rechtswert", "ostwert"}
NORTHING = {"y", "northing", "northings", "north", "n", "utmy", "utmn", "yutm", "hochwert", "nordwert"}
GEOMETRY = {"wkt", "geometry", "geom", "thegeom", "wktgeom", "geomwkt", "geomtext", "geometrywkt", "shape"}

_WKT = re.compile(
    r"\s*(?:SRID=(?P<srid>\d+)\s*;)?\s*(?:MULTI|COMPOUND|CIRCULAR)?"
    r"(?:POINT|POLYGON|LINESTRING|STRING|CURVE|CURVEPOLYGON|SURFACE|GEOMETRYCOLLECTION)\b",
    re.IGNORECASE,
)

_LETTERS = re.compile(r"[^a-z]")
_WHOLE = re.compile(r"[+-]?\d+\.0+")
_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")

MISSING = {"", "NA", "N/A", "NULL"}
"""What programs write into a table for a missing value."""


@dataclass(frozen=True)
class Coordinates:
    """Which columns of a table place its rows.

    Attributes:
        x, y: the columns of numbers; None where a column holds geometries.
        wkt: the column of geometries as WKT.
        degrees: x and y are named as longitude and latitude.
    """

    x: str | None = None
    y: str | None = None
    wkt: str | None = None
    degrees: bool = False

    @property
    def named(self) -> list[str]:
        """The columns: x and y, or that of geometries."""
        return [name for name in (self.x, self.y, self.wkt) if name is not None]


def find_coordinates(path: Path, names: Sequence[str], sample: Sequence[Sequence[Any]]) -> Coordinates:
    """The columns that place the rows of a table.

    Args:
        path: for messages.
        names: the columns.
        sample: values of each column; of a column of geometries one must be WKT.

    Raises:
        InputError: there are none, or several that may be meant.
    """
    for name, values in zip(names, sample, strict=True):
        if _LETTERS.sub("", name.casefold()) in GEOMETRY and any(_WKT.match(str(value)) for value in values):
            return Coordinates(wkt=name)
    for horizontal, vertical, degrees in ((LONGITUDE, LATITUDE, True), (EASTING, NORTHING, False)):
        x, y = (_column(path, names, known) for known in (horizontal, vertical))
        if x is not None and y is not None:
            return Coordinates(x, y, degrees=degrees)
    raise InputError(
        f"{path} has no columns with coordinates: expected lon and lat in degrees, x and y, or WKT; its columns: "
        f"{', '.join(names) or 'none'}"
    )


def _column(path: Path, names: Sequence[str], known: set[str]) -> str | None:
    exact = [name for name in names if name.strip().casefold() in known]
    like = exact or [name for name in names if _letters(name) in known]
    if len(like) > 1:
        raise InputError(
            f"{path} has several columns with the same coordinate: {', '.join(like)}; rename the one to use to "
            f"'{sorted(known, key=len)[0]}'"
        )
    return like[0] if like else None


def _letters(name: str) -> str:
    """A column's name without what doesn't say which coordinate it is."""
    return _DECORATION.sub("", name.strip().casefold())


class RowCollector:
    """Gathers the rows of a table near a box.

    Args:
        file: what is read.
        coordinates: the columns that place its rows.
        sample: values of the geometry column, for the CRS that they may name; empty for columns of numbers.
        near: the box.

    Raises:
        InputError: the CRS isn't known.
    """

    def __init__(self, file: ShapeFile, coordinates: Coordinates, sample: Iterable[Any], near: Near) -> None:
        crs, assumed = crs_of_columns(file, coordinates, list(sample))
        self.coordinates = coordinates
        self.found = Collector(crs, near, assumed)

    def add_numbers(self, x: NDArray[np.float64], y: NDArray[np.float64], values: NDArray[Any]) -> None:
        """Add points; a coordinate that is no number is NaN."""
        import shapely

        known = np.isfinite(x) & np.isfinite(y)
        points = np.full(len(x), None, dtype=object)
        points[known] = shapely.points(x[known], y[known])
        self.found.add(points, values)

    def add_wkt(self, texts: Sequence[Any], values: NDArray[Any]) -> None:
        """Add geometries as WKT, or as EWKT, whose SRID is that of the first."""
        plain = [None if _is_missing(text) else str(text).split(";", 1)[-1] for text in texts]
        self.found.add_wkt(plain, values)


def crs_of_columns(file: ShapeFile, coordinates: Coordinates, sample: list[Any]) -> tuple[Any, str]:
    """The CRS of a table's coordinates, and why it is that one.

    Args:
        file: the table.
        coordinates: the columns that place its rows.
        sample: values of the geometry column, for the CRS that they may name; empty for columns of numbers.

    Raises:
        InputError: the CRS isn't known.
    """
    if file.crs is not None:
        return parse_crs(file.crs, file.crs_parameter), f"given by {file.crs_parameter}="
    if coordinates.degrees:
        return stated_crs(WGS84), f"because of the columns {coordinates.x} and {coordinates.y}"
    beside = file.path.with_suffix(".prj")
    if beside.is_file():
        crs = stated_crs(beside.read_text(encoding="utf-8", errors="replace").strip())
        if crs is not None:
            return crs, f"from {beside.name}"
    if coordinates.wkt is not None:
        srid = next((match["srid"] for text in sample if (match := _WKT.match(str(text)))), None)
        if srid is not None:
            return parse_crs(srid, "SRID"), "from its SRID"
        if _all_degrees(sample):
            return stated_crs(WGS84), "taken for WKT in degrees"
    raise no_crs(file.path, file.crs_parameter)


def _all_degrees(texts: list[Any]) -> bool:
    import shapely

    shapes = parsed(shapely.from_wkt, objects([str(text) for text in texts]))
    bounds = shapely.total_bounds(shapes)
    return bool(np.isfinite(bounds).all()) and can_be_degrees(tuple(bounds))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in MISSING)


def value_of(text: str, comma: bool) -> str | None:
    """A cell of a text table as a value: None where missing, without the `.0` of whole numbers.

    Args:
        text: the cell.
        comma: numbers of this table may have a decimal comma.
    """
    text = text.strip()
    if text in MISSING:
        return None
    if comma and _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    return text.split(".")[0] if _WHOLE.fullmatch(text) else text


def numbers_of(texts: Sequence[str], comma: bool) -> NDArray[np.float64]:
    """Cells of a text table as numbers; NaN where a cell holds none.

    Args:
        texts: the cells.
        comma: numbers of this table may have a decimal comma.
    """
    return np.array([_number(text, comma) for text in texts], np.float64)


def _number(text: str, comma: bool) -> float:
    if comma and _COMMA.fullmatch(text.strip()):
        text = text.replace(",", ".")
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        return float("nan")
