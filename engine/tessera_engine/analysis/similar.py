"""Find places similar to given points: a map of the cosine similarity to their embeddings, and its top regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.options import SimilarKeywords, SimilarOptions, check_options
from tessera_engine.analysis.rasters import within, write_map, write_result_item
from tessera_engine.analysis.regions import (
    PIXEL_BYTES,
    find_regions,
    largest_regions,
    top_threshold,
    write_regions,
)
from tessera_engine.errors import InputError, check_type, is_of
from tessera_engine.files.result import check_apart, result_folder
from tessera_engine.formats.cog.styles import style_numbers
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_model import check_stored_alike
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.given import (
    GivenPath,
    Several,
    check_path,
    folder_names,
    identity_of,
    open_several,
    out_for,
)
from tessera_engine.geo import point_outside
from tessera_engine.pictures.colours import RAMP
from tessera_engine.progress import Progress, ShowProgress, part_of, shown
from tessera_engine.running.memory import strip_values
from tessera_engine.running.options import spelled_out
from tessera_engine.scene import Window
from tessera_kernels.similar import most_similar

if TYPE_CHECKING:
    from typing_extensions import Unpack

STRIP_VALUES = 64_000_000
"""Most values that are compared at a time: 64 MB of codes. Starting a strip takes milliseconds, so strips are large."""

FLOAT_BYTES = 8
"""Bytes of memory that the cosine takes for each float32 value, besides reading it."""


@dataclass(frozen=True, repr=False)
class Similar:
    """Similar places.

    Attributes:
        out: the folder of the results.
        threshold: cosine similarity of the least similar pixel of the top regions.
        regions: of each region, by falling size: longitude, latitude, hectares, pixels, mean and max similarity.
    """

    out: Path
    threshold: float
    regions: list[dict[str, Any]]

    def __repr__(self) -> str:
        return f"<Similar {self.out}: {len(self.regions)} regions from a similarity of {self.threshold:.3f}>"


def similar(
    embeddings: Several,
    at: Sequence[float] | Sequence[Sequence[float]],
    out: GivenPath | None = None,
    *,
    overwrite: bool = False,
    progress: ShowProgress = None,
    **options: Unpack[SimilarKeywords],
) -> Similar:
    """Write `similarity.tif`, and the most similar `top` share of the pixels as `regions.geojson`.

    Of several outputs, each has its `similarity.tif` in a folder of its name, and the regions are those of all.

    Args:
        embeddings: what to search: an output folder, or `open_embeddings(...)`, or a list of them, by one model. Each
            point is compared as it is in the first of them that has data there.
        at: the point to compare with, (longitude, latitude) in degrees, or a list of such points. With several
            points, each pixel's similarity is that to the most similar one.
        out: the folder to make; None: `<name>.similar` in the current folder.
        overwrite: replace an earlier result.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        top: share of the pixels that are the top regions.
        dim: compare only the first `dim` dimensions; None: all that are stored.
        year: the year to read, of an output with several years.
        until: the last day of the period to read, of an output with several periods.
        memory: what the process may take: bytes, or a size like "2GB"; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: an argument is wrong, a point lies outside of the embeddings or on a pixel without data, they are of
            different models, the memory is too little, or there is something at `out` already.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(SimilarOptions, "similar", options)
    points = _points(at)
    check_type("overwrite", overwrite, (bool,), "True or False")
    target = out_for("embeddings", embeddings, "similar", chosen.year, chosen.until)
    if out is not None:
        check_path("out", out, "a folder")
        target = Path(out)
    opened = open_several("embeddings", embeddings, chosen.dim, chosen.year, chosen.until)
    check_apart(target, [each.path for each in opened])
    queries, names = _queries(opened, points), folder_names(opened)
    identity = identity_of("similar", opened, points=points, options=chosen)
    pixels = [each.grid.window.pixels for each in opened]
    title, found, assets, grids = "Cosine similarity to the given points", [], [], []
    alone = len(opened) == 1
    with shown(progress, "comparing", "px") as report, result_folder(target, overwrite, identity) as folder:
        maps = []
        for i, each in enumerate(opened):
            part = part_of(report, sum(pixels[:i]), sum(pixels))
            maps.append(compare(each, queries, part, chosen.memory, sum(pixels)))
        every = np.concatenate([values.reshape(-1) for values in maps])
        threshold, middle = top_threshold(every, chosen.top), top_threshold(every, 0.5)
        del every
        for values, each, name in zip(maps, opened, names, strict=True):
            place = folder if alone else folder / name
            place.mkdir(exist_ok=True)
            asset = write_map(place / "similarity.tif", values, each.grid, title, np.nan)
            assets.append(asset if alone else within(asset, name, each.grid))
            # The same colours on all maps, up to the most similar places
            style_numbers(place / "similarity.tif", RAMP, middle, threshold)
            found.append(find_regions(values, threshold, each.grid, "similarity"))
            grids.append(each.grid)
        features = largest_regions(found, [] if alone else names)
        assets.append(write_regions(folder, features, "The most similar regions"))
        facts = {"points": [list(point) for point in points], "top": chosen.top, "threshold": threshold}
        write_result_item(folder, grids, opened, "similar", title, assets, facts)
    return Similar(target, threshold, [feature["properties"] for feature in features])


similar.__signature__ = spelled_out(similar, SimilarKeywords, SimilarOptions())  # type: ignore[attr-defined]


def _points(at: object) -> list[tuple[float, float]]:
    """One point or several as a list of longitudes and latitudes."""
    expected = "(longitude, latitude) in degrees, or a list of such points"
    check_type("at", at, (tuple, list, np.ndarray), expected)
    given: list[Any] = list(at)  # type: ignore[call-overload]
    if len(given) == 2 and all(is_of(value, (float,)) for value in given):
        given = [given]
    if not given:
        raise InputError(f"at= holds no point; give {expected}")
    points = []
    for point in given:
        numbers = list(point) if isinstance(point, (tuple, list, np.ndarray)) else [point]
        if len(numbers) != 2 or not all(is_of(value, (float,)) for value in numbers):
            raise InputError(f"at={numbers} is not a point; give {expected}")
        points.append((float(numbers[0]), float(numbers[1])))
    return points


def similarity(
    embeddings: Embeddings,
    points: Sequence[tuple[float, float]],
    report: Progress | None = None,
    memory: int | None = None,
) -> NDArray[np.float32]:
    """Each pixel's cosine similarity to the point that it is most similar to.

    For int8 codes it is computed exactly from the codes, without dequantising them.

    Args:
        embeddings: what to search.
        points: longitude and latitude of each, in degrees.
        report: called with pixels done and in all.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.

    Returns:
        (height, width) float32, -1..1, NaN where there is no data.

    Raises:
        InputError: a point lies outside of the embeddings or on a pixel without data, or the memory is too little.
    """
    return compare(embeddings, _queries([embeddings], points), report, memory)


def compare(
    embeddings: Embeddings,
    queries: NDArray[Any],
    report: Progress | None = None,
    memory: int | None = None,
    held: int | None = None,
) -> NDArray[np.float32]:
    """Each pixel's cosine similarity to the stored vector that it is most similar to; see `similarity`.

    Args:
        embeddings: what to search.
        queries: (Q, K) stored vectors, int8 or float32 as the embeddings are, none all zero.
        report: called with pixels done and in all.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.
        held: pixels of maps that are in memory at the end; None: only those of this one.

    Returns:
        (height, width) float32, -1..1, NaN where there is no data.

    Raises:
        InputError: the memory is too little.
    """
    per_value = embeddings.bytes_per_value + (0 if embeddings.stored_as == "int8" else FLOAT_BYTES)
    pixels, row = embeddings.grid.window.pixels, embeddings.grid.width * embeddings.dim
    most = max(STRIP_VALUES, embeddings.tile_values)
    strip_size = strip_values(memory, (held or pixels) * PIXEL_BYTES, per_value, row, most)
    found = np.empty((embeddings.grid.height, embeddings.grid.width), np.float32)
    done = 0
    for window in embeddings.tiles(strip_size):
        found[window.slices] = _compared(embeddings, window, queries)
        done += window.pixels
        if report is not None:
            report(done, pixels)
    return found


def _compared(embeddings: Embeddings, window: Window, queries: NDArray[Any]) -> NDArray[np.float32]:
    """(height, width) the cosines of a window."""
    distinct = embeddings.read_distinct(window)
    if distinct is not None:
        cosines = np.append(_cosines(distinct.vectors, queries), np.float32(np.nan))
        return cosines[distinct.which]  # no data is -1, the last one
    stored = embeddings.read_stored(window)
    values = stored.values.reshape(-1, embeddings.dim)
    if stored.scales is None:
        return _cosines(values, queries).reshape(stored.valid.shape)
    return most_similar(values, stored.scales.reshape(-1), queries).reshape(stored.valid.shape)


def _queries(sources: Sequence[Embeddings], points: Sequence[tuple[float, float]]) -> NDArray[Any]:
    """(Q, K) stored vectors of the points' pixels, each of the first source that has data there."""
    check_stored_alike(sources)
    return np.stack([_query(sources, lon, lat) for lon, lat in points])


def _query(sources: Sequence[Embeddings], lon: float, lat: float) -> NDArray[Any]:
    """(K,) the stored vector of a point's pixel."""
    outside: InputError | None = None
    empty: Embeddings | None = None
    for each in sources:
        (col,), (row,) = each.pixels_at([lon], [lat])
        if not (0 <= col < each.grid.width and 0 <= row < each.grid.height):
            outside = outside or point_outside(each.grid, lon, lat, str(each.path))
            continue
        window = each.grid.window._replace(col=int(col), row=int(row), width=1, height=1)
        stored: StoredBlock = each.read_stored(window)
        if stored.valid[0, 0] and stored.values.any():
            vector: NDArray[Any] = stored.values[0, 0]
            return vector
        empty = empty or each
    if empty is not None:
        raise InputError(
            f"the point {lon} {lat} (longitude, latitude) lies on a pixel without data in {empty.path}; choose a point "
            "beside it"
        )
    if outside is not None and len(sources) == 1:
        raise outside
    raise InputError(
        f"the point {lon} {lat} (longitude, latitude) lies in none of the {len(sources)} outputs; choose one that does"
    )


def _cosines(values: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `most_similar` returns, for float32 embeddings (N, K) and queries (Q, K)."""
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1)
    best: NDArray[np.float32] = (values @ unit.T).max(axis=1)
    cosines = np.where(np.isnan(length), np.float32(np.nan), np.float32(0))
    np.divide(best, length, out=cosines, where=length > 0)
    return cosines
