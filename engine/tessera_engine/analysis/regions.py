"""The connected regions of a map's highest values, as GeoJSON."""

from __future__ import annotations

import heapq
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.scene import Grid
from tessera_engine.stac.items import Asset

TOP_SHARE = 0.01
"""Share of the pixels that are the top regions."""

MOST_REGIONS = 100
"""Regions that are listed, the largest ones."""

PIXEL_BYTES = 10
"""Bytes a pixel that a map of float32 and the search for its top regions take."""

FILE = "regions.geojson"

Polygon = list[list[tuple[float, float]]]
"""Rings as GeoJSON has them: the outline, then holes; columns and rows here."""


def check_top(top: float) -> None:
    """Make sure that `top` is a share of pixels.

    Raises:
        InputError: it isn't.
    """
    if not 0 < top < 1:
        raise InputError(f"--top {top} is not a share of the pixels; expected more than 0 and less than 1")


def top_threshold(values: NDArray[np.float32], top: float) -> float:
    """The least of the highest `top` share of the values that are no NaN; at least one is."""
    valid = values[np.isfinite(values)]
    rank = len(valid) - max(1, int(top * len(valid)))
    valid.partition(rank)
    return float(valid[rank])


def write_regions(folder: Path, features: list[dict[str, Any]], title: str) -> Asset:
    """Write regions as a GeoJSON file."""
    collection = {"type": "FeatureCollection", "features": features}
    (folder / FILE).write_text(json.dumps(collection, allow_nan=False) + "\n", encoding="utf-8")
    return Asset("regions", FILE, "application/geo+json", title, ("data",))


def find_regions(
    values: NDArray[np.float32], threshold: float, grid: Grid, quantity: str
) -> list[dict[str, Any]]:
    """The connected regions (over edges and corners) of values from a threshold on, by falling size.

    Args:
        values: (height, width), NaN = nodata.
        threshold: the least value that is in.
        grid: its pixels.
        quantity: what the values are, a word for the properties.

    Returns:
        GeoJSON features in WGS 84 with longitude, latitude (of the highest value), hectares, pixels, and mean and max
        of the values.
    """
    from rasterio.features import shapes
    from rasterio.warp import transform_geom

    above = (values >= threshold).astype(np.uint8)  # NaN isn't
    # In pixels: a shape's area is its number of pixels, and its bounds are a window;
    # and there may be a million of them, of a pixel each
    found = (shape["coordinates"] for shape, _ in shapes(above, mask=above.view(np.bool_), connectivity=8))
    rings = heapq.nlargest(MOST_REGIONS, found, key=_pixels)
    hectares = abs(grid.transform.determinant) / 10_000
    features = []
    for polygon in rings:
        members, best = _members(values, polygon)
        outline = [[grid.transform @ corner for corner in ring] for ring in polygon]
        geometry = {"type": "Polygon", "coordinates": outline}
        centre = {"type": "Point", "coordinates": grid.transform @ best}
        lon, lat = transform_geom(grid.crs, "EPSG:4326", centre)["coordinates"][:2]
        properties = {
            "lon": round(lon, 6),
            "lat": round(lat, 6),
            "pixels": len(members),
            "hectares": round(len(members) * hectares, 4),
            f"mean_{quantity}": round(float(members.mean()), 6),
            f"max_{quantity}": round(float(members.max()), 6),
        }
        outline = transform_geom(grid.crs, "EPSG:4326", geometry, precision=7)
        features.append({"type": "Feature", "properties": properties, "geometry": outline})
    return features


def _pixels(polygon: Polygon) -> float:
    """Area of a polygon with holes, by the shoelace formula."""
    areas = []
    for ring in polygon:
        x, y = np.asarray(ring, float).T
        areas.append(abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2)
    return float(areas[0] - sum(areas[1:]))


def _members(
    values: NDArray[np.float32], polygon: Polygon
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """A region's values, and the centre (column, row) of the pixel that has the highest."""
    from affine import Affine
    from rasterio.features import rasterize

    corners = np.asarray(polygon[0]).astype(int)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    part = values[top:bottom, left:right]
    geometry = {"type": "Polygon", "coordinates": polygon}
    inside = rasterize([geometry], part.shape, transform=Affine.translation(left, top)) > 0
    row, col = np.unravel_index(np.where(inside, part, -np.inf).argmax(), part.shape)
    return part[inside], (float(left + col + 0.5), float(top + row + 0.5))
