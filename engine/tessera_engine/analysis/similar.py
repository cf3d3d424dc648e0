"""Where is it like here? A map of the cosine similarity to the embeddings of given points, and its top regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.rasters import write_map, write_result_item
from tessera_engine.analysis.regions import (
    PIXEL_BYTES,
    TOP_SHARE,
    check_top,
    find_regions,
    top_threshold,
    write_regions,
)
from tessera_engine.errors import InputError
from tessera_engine.files.result import result_folder
from tessera_engine.formats.embeddings.base import Embeddings, StoredBlock
from tessera_engine.running.memory import strip_values
from tessera_kernels.similar import most_similar

STRIP_VALUES = 64_000_000
"""Most values that are compared at a time: 64 MB of codes. Each strip costs milliseconds to start, so they are few."""

FLOAT_BYTES = 8
"""Bytes a value of float32 that the cosine takes, besides reading it."""


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


def similarity(
    embeddings: Embeddings, points: Sequence[tuple[float, float]], memory: int | None = None
) -> NDArray[np.float32]:
    """Each pixel's cosine similarity to the point that it is most similar to.

    Over int8 codes it is exact, and nothing is dequantised.

    Args:
        embeddings: what to search.
        points: longitude and latitude of each.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.

    Returns:
        (height, width) float32, -1..1, NaN where there is no data.

    Raises:
        InputError: a point lies outside or where there is no data, or the memory is too little.
    """
    queries = _queries(embeddings, points)
    per_value = embeddings.bytes_per_value + (0 if embeddings.stored_as == "int8" else FLOAT_BYTES)
    pixels, row = embeddings.grid.window.pixels, embeddings.grid.width * embeddings.dim
    strip_size = strip_values(memory, pixels * PIXEL_BYTES, per_value, row, STRIP_VALUES)
    found = np.empty((embeddings.grid.height, embeddings.grid.width), np.float32)
    for window in embeddings.windows(strip_size):
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
        raise InputError("no point given; give --at LON LAT")
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
    memory: int | None = None,
) -> Similar:
    """Write `similarity.tif`, and the most similar `top` share of the pixels as `regions.geojson`.

    Args:
        embeddings: what to search.
        points: longitude and latitude of each.
        out: the folder to make.
        top: share of the pixels.
        overwrite: replace an earlier result.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: a point lies outside or without data, the memory is too little, or something stands at `out`.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    check_top(top)
    with result_folder(Path(out), overwrite) as folder:
        values = similarity(embeddings, points, memory)
        threshold = top_threshold(values, top)
        features = find_regions(values, threshold, embeddings.grid, "similarity")
        title = "Cosine similarity to the given points"
        assets = [
            write_map(folder / "similarity.tif", values, embeddings.grid, title, np.nan),
            write_regions(folder, features, "The most similar regions"),
        ]
        facts = {"points": [list(point) for point in points], "top": top, "threshold": threshold}
        write_result_item(folder, embeddings.grid, (embeddings,), "similar", title, assets, facts)
    return Similar(Path(out), threshold, [feature["properties"] for feature in features])
