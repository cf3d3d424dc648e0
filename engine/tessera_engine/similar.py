"""Where is it like here? A map of the cosine similarity to the embeddings of given points, and its top regions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.embeddings import Embeddings, StoredBlock
from tessera_engine.errors import InputError
from tessera_engine.map_files import write_map, write_result_item
from tessera_engine.provenance import Asset
from tessera_engine.result import result_folder
from tessera_engine.scene import Grid
from tessera_kernels.similar import most_similar

TOP_SHARE = 0.01
"""Share of the pixels that are the top regions."""

STRIP_VALUES = 64_000_000
"""Values that are compared at a time: 64 MB of codes. Each strip costs milliseconds to start, so they are few."""

MOST_REGIONS = 100
"""Regions that are listed, the largest ones."""


Polygon = list[list[tuple[float, float]]]
"""Rings as GeoJSON has them: the outline, then holes; columns and rows here."""


@dataclass(frozen=True)
class Similar:
    """What was found.

    Attributes:
        out: the folder.
        threshold: cosine of the least similar pixel of the top regions.
        regions: of each region, by falling size: longitude, latitude, hectares, pixels, mean and max similarity.
    """

    out: Path
    threshold: float
    regions: list[dict[str, Any]]


def similarity(embeddings: Embeddings, points: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """Each pixel's cosine similarity to the point that it is most similar to.

    Over int8 codes it is exact, and nothing is dequantised.

    Args:
        embeddings: what to search.
        points: longitude and latitude of each.

    Returns:
        (height, width) float32, -1..1, NaN where there is no data.

    Raises:
        InputError: a point lies outside or where there is no data.
    """
    queries = _queries(embeddings, points)
    found = np.empty((embeddings.grid.height, embeddings.grid.width), np.float32)
    for window in embeddings.windows(STRIP_VALUES):
        stored = embeddings.read_stored(window)
        strip = found[window.row : window.row + window.height]
        values = stored.values.reshape(-1, embeddings.dim)
        if stored.scales is None:
            strip.reshape(-1)[:] = _cosines(values, queries)
        else:
            strip.reshape(-1)[:] = most_similar(values, stored.scales.reshape(-1), queries)
    return found


def _queries(embeddings: Embeddings, points: Sequence[tuple[float, float]]) -> NDArray[Any]:
    """(Q, K) stored vectors of the points' pixels."""
    if not points:
        raise InputError("no point given; give --at LON,LAT")
    cols, rows = embeddings.pixels_at([lon for lon, _ in points], [lat for _, lat in points])
    queries = []
    for (lon, lat), col, row in zip(points, cols, rows, strict=True):
        where = f"the point {lon} {lat} (longitude, latitude)"
        if not (0 <= col < embeddings.grid.width and 0 <= row < embeddings.grid.height):
            raise InputError(f"{where} lies outside of {embeddings.path}")
        stored: StoredBlock = embeddings.read_stored(
            embeddings.grid.window._replace(col=int(col), row=int(row), width=1, height=1)
        )
        if not stored.valid[0, 0] or not stored.values.any():
            raise InputError(
                f"{where} lies on a pixel without data in {embeddings.path}; choose one beside it"
            )
        queries.append(stored.values[0, 0])
    return np.stack(queries)


def _cosines(values: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same for float32 embeddings (N, K)."""
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1)
    best: NDArray[np.float32] = (values @ unit.T).max(axis=1)
    cosines = np.where(np.isnan(length), np.float32(np.nan), np.float32(0))
    np.divide(best, length, out=cosines, where=length > 0)
    return cosines


def find_similar(
    embeddings: Embeddings,
    points: Sequence[tuple[float, float]],
    out: str | Path,
    top: float = TOP_SHARE,
    overwrite: bool = False,
) -> Similar:
    """Write `similarity.tif`, and the most similar `top` share of the pixels as `regions.geojson`.

    Takes 4 bytes a pixel of memory, besides a strip of the embeddings.

    Raises:
        InputError: a point lies outside or without data, or something stands at `out`.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    if not 0 < top < 1:
        raise InputError(f"--top {top} is not a share of the pixels; expected more than 0 and less than 1")
    with result_folder(Path(out), overwrite) as folder:
        values = similarity(embeddings, points)
        valid = values[np.isfinite(values)]
        rank = len(valid) - max(1, int(top * len(valid)))
        threshold = float(np.partition(valid, rank)[rank])
        features = _regions(values, threshold, embeddings.grid)
        title = "Cosine similarity to the given points"
        regions = folder / "regions.geojson"
        collection = {"type": "FeatureCollection", "features": features}
        regions.write_text(json.dumps(collection, allow_nan=False) + "\n", encoding="utf-8")
        assets = [
            write_map(folder / "similarity.tif", values, embeddings.grid, title, np.nan),
            Asset("regions", regions.name, "application/geo+json", "The most similar regions", ("data",)),
        ]
        facts = {"points": [list(point) for point in points], "top": top, "threshold": threshold}
        write_result_item(folder, embeddings, "similar", title, assets, facts)
    return Similar(Path(out), threshold, [feature["properties"] for feature in features])


def _regions(values: NDArray[np.float32], threshold: float, grid: Grid) -> list[dict[str, Any]]:
    """The connected regions (over edges and corners) of pixels above the threshold, as GeoJSON features in WGS 84."""
    from rasterio.features import shapes
    from rasterio.warp import transform_geom

    above = (values >= threshold).astype(np.uint8)  # NaN isn't
    # In pixels: a shape's area is its number of pixels, and its bounds are a window
    rings = [shape["coordinates"] for shape, _ in shapes(above, mask=above.view(np.bool_), connectivity=8)]
    rings.sort(key=lambda polygon: -_pixels(polygon))
    hectares = abs(grid.transform.determinant) / 10_000
    features = []
    for polygon in rings[:MOST_REGIONS]:
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
            "mean_similarity": round(float(members.mean()), 6),
            "max_similarity": round(float(members.max()), 6),
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
    """A region's similarities, and the centre (column, row) of its most similar pixel."""
    from affine import Affine
    from rasterio.features import rasterize

    corners = np.asarray(polygon[0]).astype(int)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    part = values[top:bottom, left:right]
    geometry = {"type": "Polygon", "coordinates": polygon}
    inside = rasterize([geometry], part.shape, transform=Affine.translation(left, top)) > 0
    row, col = np.unravel_index(np.where(inside, part, -np.inf).argmax(), part.shape)
    return part[inside], (float(left + col + 0.5), float(top + row + 0.5))
