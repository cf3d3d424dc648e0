"""The connected regions of the highest values of a map, as GeoJSON."""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.text import write_text
from tessera_engine.scene import Grid
from tessera_engine.stac.items import Asset

TOP_SHARE = 0.01
"""Share of the pixels that belong to the top regions."""

MOST_REGIONS = 100
"""Most regions that are listed; they are the largest."""

PIXEL_BYTES = 10
"""Bytes of memory that a float32 map and the search for its top regions take for each pixel."""

FILE = "regions.geojson"

Polygon = list[list[tuple[float, float]]]
"""Rings in the order of GeoJSON: the outline, then the holes. Coordinates are columns and rows."""


def top_threshold(values: NDArray[np.float32], top: float) -> float:
    """The lowest value of the highest `top` share of the values, without NaN. At least one value is not NaN."""
    valid = values[np.isfinite(values)]
    rank = len(valid) - max(1, int(top * len(valid)))
    valid.partition(rank)
    return float(valid[rank])


def write_regions(folder: Path, features: list[dict[str, Any]], title: str) -> Asset:
    """Write regions as a GeoJSON file."""
    collection = {"type": "FeatureCollection", "features": features}
    write_text(folder / FILE, json.dumps(collection, allow_nan=False) + "\n")
    return Asset("regions", FILE, "application/geo+json", title, ("data",))


def find_regions(
    values: NDArray[np.float32], threshold: float, grid: Grid, quantity: str
) -> list[dict[str, Any]]:
    """The connected regions (over edges and corners) of values not below a threshold, by falling size.

    Args:
        values: (height, width), NaN = nodata.
        threshold: the lowest value in a region.
        grid: its pixels.
        quantity: what the values are, for the names of properties.

    Returns:
        GeoJSON features in WGS 84 with longitude, latitude (of the highest value), hectares, pixels, and mean and max
        of the values.
    """
    from rasterio.features import shapes
    from rasterio.warp import transform_geom

    above = (values >= threshold).astype(np.uint8)  # False for NaN
    # In coordinates of pixels, so that a shape's area is its number of pixels and its bounds are a window. A generator,
    # because there may be a million shapes of one pixel
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


def largest_regions(found: Sequence[list[dict[str, Any]]], names: Sequence[str]) -> list[dict[str, Any]]:
    """The largest regions of several outputs together, by falling size.

    Args:
        found: the regions of each output.
        names: of the outputs, which their regions get as `embeddings`; empty for a single output.
    """
    for regions, name in zip(found, names, strict=bool(names)):
        for region in regions:
            region["properties"]["embeddings"] = name
    every = (region for regions in found for region in regions)
    return sorted(every, key=lambda region: -region["properties"]["hectares"])[:MOST_REGIONS]


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
    """The values of a region, and the centre (column, row) of the pixel with the highest value."""
    from affine import Affine
    from rasterio.features import rasterize

    corners = np.asarray(polygon[0]).astype(int)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    part = values[top:bottom, left:right]
    geometry = {"type": "Polygon", "coordinates": polygon}
    inside = rasterize([geometry], part.shape, transform=Affine.translation(left, top)) > 0
    row, col = np.unravel_index(np.where(inside, part, -np.inf).argmax(), part.shape)
    return part[inside], (float(left + col + 0.5), float(top + row + 0.5))
