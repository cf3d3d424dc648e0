"""Polygons as rings: labels are rings, and have no holes."""

from __future__ import annotations

from typing import Any

from tessera_engine.errors import InputError

STRAIGHT = 1e-3
"""Pixels that a corner may be away from the line between its neighbours to be left out."""


def parts_of(shapely: Any, shape: Any) -> list[Any]:
    """The points, lines and polygons of a shapely geometry; those of collections too."""
    parts = [shape]
    while any(shapely.get_type_id(part) > 3 for part in parts):
        parts = [each for part in parts for each in shapely.get_parts(part)]
    return [part for part in parts if not shapely.is_empty(part)]


def rings_of(shapely: Any, polygon: Any) -> list[list[tuple[float, float]]]:
    """The corners of a shapely polygon, the first one once; one with holes is cut into pieces without.

    Raises:
        InputError: it can't be cut.
    """
    if not polygon.interiors:
        return [list(polygon.exterior.coords)[:-1]]
    left, bottom, right, top = polygon.bounds
    # Through the hole in the middle: of many holes each half has about half
    across = sorted(ring.centroid.x for ring in polygon.interiors)
    middle = across[len(across) // 2]
    rings = []
    try:
        whole = shapely.make_valid(polygon)
        for half in (shapely.box(left, bottom, middle, top), shapely.box(middle, bottom, right, top)):
            for part in parts_of(shapely, shapely.intersection(whole, half)):
                if shapely.get_dimensions(part) == 2:
                    rings += rings_of(shapely, part)
    except (shapely.errors.GEOSException, RecursionError):
        raise InputError(
            "a polygon with holes can't be cut into pieces without holes; repair it first"
        ) from None
    return rings
