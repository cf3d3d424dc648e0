"""All shapes of a file with all their columns, in the file's order: what becomes the rows of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.places.columns import MISSING
from tessera_engine.places.crs import Near, into_crs
from tessera_engine.places.nearby import Collector, parsed, where_they_lie
from tessera_engine.places.shapes import Shapes, objects

_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_LONG = re.compile(r"[+-]?\d{16,}")
"""Whole numbers that a float may not hold."""

_DECIMAL = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Features:
    """All shapes of a file.

    Attributes:
        table: a pyarrow.Table of N rows: the user's columns.
        geometries: (N,) shapely geometries as the file has them; None: no geometry, or one that can't be read.
        crs: theirs, a `rasterio.crs.CRS`.
        assumed: why it was taken, where the file names none.
        in_columns: the geometries are in columns of the table too, such as lon and lat.
    """

    table: Any
    geometries: NDArray[Any]
    crs: Any
    assumed: str = ""
    in_columns: bool = False

    def __len__(self) -> int:
        return len(self.geometries)

    def near(self, near: Near, crs_parameter: str) -> Shapes:
        """The shapes near a box, in the box's CRS; their values are the numbers of their rows.

        Args:
            near: the box.
            crs_parameter: the name of the user's parameter for the CRS, for messages.
        """
        found = Collector(self.crs, near, self.assumed)
        found.add(self.geometries, np.arange(len(self)).astype(object))
        part = found.part()
        shapes, usable, more = into_crs(part.geometries, part.crs, near)
        place = "" if usable.any() else where_they_lie([part], near, crs_parameter)
        return Shapes(shapes[usable], part.values[usable], part.lost + more, place)


def from_wkb(wkb: Sequence[Any]) -> NDArray[Any]:
    """(N,) geometries from WKB; None where there is none, or one that shapely doesn't know."""
    import shapely

    return parsed(shapely.from_wkb, objects(wkb))


def from_wkt(texts: Sequence[Any]) -> NDArray[Any]:
    """(N,) geometries from WKT or EWKT; None where there is none, or one that shapely doesn't know."""
    import shapely

    missing = (text is None or str(text).strip() in MISSING for text in texts)
    plain = [None if no else str(text).split(";", 1)[-1] for no, text in zip(missing, texts, strict=True)]
    return parsed(shapely.from_wkt, objects(plain))


def from_numbers(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[Any]:
    """(N,) points; None where a coordinate is no number."""
    import shapely

    known = np.isfinite(x) & np.isfinite(y)
    points = np.full(len(x), None, dtype=object)
    points[known] = shapely.points(x[known], y[known])
    return points


def typed(cells: Sequence[str], comma: bool) -> Any:
    """A column of a text table as a pyarrow.Array: whole numbers, numbers, or else the text as it is.

    Numbers with leading zeros, or with too many digits, stay text: they are codes.

    Args:
        cells: the text.
        comma: numbers may have a decimal comma.
    """
    import pyarrow

    stripped = [cell.strip() for cell in cells]
    present = [cell for cell in stripped if cell not in MISSING]
    if present and all(map(_WHOLE.fullmatch, present)):
        return pyarrow.array([None if cell in MISSING else int(cell) for cell in stripped], pyarrow.int64())
    plain = [cell.replace(",", ".") if comma else cell for cell in stripped]
    exact = not any(map(_LONG.fullmatch, present))
    if present and exact and all(cell in MISSING or _DECIMAL.fullmatch(cell) for cell in plain):
        return pyarrow.array([None if cell in MISSING else float(cell) for cell in plain], pyarrow.float64())
    return pyarrow.array([cell or None for cell in cells], pyarrow.string())
