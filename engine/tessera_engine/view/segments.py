"""Outlines of fields over the page's map: polygons of a file, read once, so that a click can label a whole field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.places.crs import Near
from tessera_engine.places.losses import in_words
from tessera_engine.places.pixels import POLYGON, explode
from tessera_engine.places.read import read_shapes
from tessera_engine.places.selecting import check_shapes
from tessera_engine.places.shapes import ShapeFile, Shapes
from tessera_engine.scene import Grid
from tessera_engine.view.rings import STRAIGHT, rings_of

MOST_SEGMENTS, MOST_CORNERS = 10_000, 400_000
"""Of a page: a browser has to draw all of them, in a fraction of a second."""


@dataclass(frozen=True)
class Segments:
    """The segments of a page.

    Attributes:
        name: of their file.
        count: how many.
        note: what of the file was left out, in one line; empty where nothing was.
        content: JSON, a list of segments from the largest to the smallest. Each has `polygons`, lists of rings in the
            output's CRS, the outer ring first; and if it has holes, `pieces`, rings without that cover the same.
    """

    name: str
    count: int
    note: str
    content: bytes

    def about(self) -> dict[str, Any]:
        """What a page has to know before it asks for them."""
        return {"name": self.name, "count": self.count, "note": self.note}


def read_segments(path: Path, grid: Grid) -> Segments:
    """Read the polygons of a file that meet a grid.

    A shape of several polygons is one segment. Of more than `MOST_SEGMENTS`, or with more than `MOST_CORNERS` corners
    in all, the largest are taken.

    Args:
        path: a file of polygons in any CRS, see `tessera_engine.places.read.read_shapes`.
        grid: the output's.

    Raises:
        InputError: the file can't be used, or has no polygon on the grid.
        MissingExtra: a library that reads the file isn't installed.
    """
    import shapely

    if grid.crs is None:
        raise InputError(f"this output has no CRS, so {path} has no place in it; leave segments= out")
    shapes = _read(path, Near.grid(grid))
    polygons, owners, others = _on_grid(path, shapes, grid)
    corners = shapely.get_num_coordinates(polygons)
    numbers, of = np.unique(owners, return_inverse=True)
    areas = np.bincount(of, shapely.area(polygons))
    order = np.argsort(-areas, kind="stable")
    fits = np.cumsum(np.bincount(of, corners)[order]) <= MOST_CORNERS
    taken = order[:MOST_SEGMENTS][fits[:MOST_SEGMENTS]]
    if not len(taken):
        raise InputError(
            f"the largest polygon of {path} has {int(np.bincount(of, corners)[order[0]]):,} corners, expected at most "
            f"{MOST_CORNERS:,}; simplify it"
        )
    by_segment = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[by_segment], taken)
    ends = np.searchsorted(of[by_segment], taken, "right")
    content = [_encodable(polygons[by_segment[a:b]], path) for a, b in zip(starts, ends, strict=True)]
    left_out = [in_words(shapes.lost), f"{others:,} points or lines" if others else ""]
    if len(taken) < len(numbers):
        left_out.append(f"all but the {len(taken):,} largest of {len(numbers):,} polygons")
    note = ", ".join(filter(None, left_out))
    return Segments(path.name, len(taken), f"left out: {note}" if note else "", msgspec.json.encode(content))


def _read(path: Path, near: Near) -> Shapes:
    check_shapes(path)
    return read_shapes(ShapeFile(path, crs_parameter=""), None, near)


def _on_grid(path: Path, shapes: Shapes, grid: Grid) -> tuple[NDArray[Any], NDArray[np.int64], int]:
    """(N,) the valid polygons on a grid, (N,) numbers of their shapes, and how many parts are no polygons.

    Raises:
        InputError: there are none.
    """
    import shapely

    parts = explode(shapes.geometries)
    found = parts.dimension == POLYGON
    if len(parts.geometries) and not found.any():
        raise InputError(f"{path} has no polygons, expected the outlines of fields in segments=")
    others = len(found) - int(found.sum())
    polygons, owners = parts.geometries[found], parts.owner[found]
    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    frame = shapely.Polygon([grid.transform @ corner for corner in corners])
    shapely.prepare(frame)
    meet = shapely.intersects(polygons, frame)
    polygons, owners = polygons[meet], owners[meet]
    # Far beyond the grid a corner can't be saved in a label
    wide = shapely.buffer(frame, np.sqrt(frame.area), join_style="mitre")
    cut = ~shapely.covers(wide, polygons)
    broken = ~shapely.is_valid(polygons)
    polygons[cut | broken] = shapely.make_valid(polygons[cut | broken])
    polygons[cut] = shapely.intersection(polygons[cut], wide)
    # Edges were divided for the way from one CRS into the other
    polygons = shapely.simplify(polygons, STRAIGHT * np.sqrt(abs(grid.transform.determinant)))
    again = explode(polygons)
    inside = (again.dimension == POLYGON) & shapely.intersects(again.geometries, frame)
    inside &= ~shapely.touches(again.geometries, frame)
    if not inside.any():
        why = shapes.place or in_words(shapes.lost) or "they lie beside it"
        raise InputError(f"{path} has no polygon on the output: {why}")
    return again.geometries[inside], owners[again.owner[inside]], others


def _encodable(polygons: NDArray[Any], path: Path) -> dict[str, Any]:
    import shapely

    outlines = [
        [list(ring.coords)[:-1] for ring in (polygon.exterior, *polygon.interiors)] for polygon in polygons
    ]
    if not shapely.get_num_interior_rings(polygons).any():
        return {"polygons": outlines}
    try:
        pieces = [ring for polygon in polygons for ring in rings_of(shapely, polygon)]
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return {"polygons": outlines, "pieces": pieces}
