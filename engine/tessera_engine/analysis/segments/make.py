"""From embeddings to polygons of fields and patches, without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.options import SegmentKeywords, SegmentOptions, check_options
from tessera_engine.analysis.pixel_area import SQUARE_METRES, pixel_square_metres
from tessera_engine.analysis.segments.files import content_of, need_tables
from tessera_engine.analysis.segments.find import (
    KEPT_BYTES,
    PIXEL_BYTES,
    VALUE_BYTES,
    find_segments,
    mean_vectors,
)
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.result import check_free, result_file
from tessera_engine.formats.embeddings.base import BLOCK_VALUES
from tessera_engine.formats.given import (
    Given,
    GivenPath,
    check_path,
    identity_of,
    open_given,
    out_for,
)
from tessera_engine.machine import default_memory
from tessera_engine.progress import ShowProgress, shown
from tessera_engine.running.memory import READING_BYTES, strip_values
from tessera_engine.running.options import spelled_out
from tessera_engine.scene import Grid

if TYPE_CHECKING:
    from typing_extensions import Unpack

SEGMENT_BYTES = 1500
"""Bytes of memory that a segment's outline takes, besides its vector."""

DIM_BYTES = 28
"""Bytes for each dimension of a segment's vector: its sum in two parts, its mean and its column."""


@dataclass(frozen=True, repr=False)
class Segments:
    """Segments in a file.

    Attributes:
        out: the file.
        count: the number of segments.
        hectares: the area of all, and of the median one.
    """

    out: Path
    count: int
    hectares: tuple[float, float]

    def __repr__(self) -> str:
        return f"<Segments {self.out}: {self.count:,} of {self.hectares[1]:.2f} ha in the median>"


def segment(
    embeddings: Given,
    out: GivenPath | None = None,
    *,
    overwrite: bool = False,
    progress: ShowProgress = None,
    **options: Unpack[SegmentKeywords],
) -> Segments:
    """Find fields and patches: neighbouring pixels with similar embeddings, as polygons with their mean embedding.

    The polygons don't overlap and cover every pixel with data. The result doesn't depend on the memory.

    Args:
        embeddings: what is segmented: an output folder, or `open_embeddings(...)`, in a CRS in metres.
        out: the file to make, .gpkg, .parquet or .csv; None: `<name>.segments.gpkg` in the current folder.
        overwrite: replace an earlier file.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        scale: the larger, the larger the segments.
        min_area: hectares of the smallest segment; a smaller one becomes a part of its most similar neighbour.
        dim: compare only the first `dim` dimensions; None: all that are stored.
        year: the year to read, of an output with several years.
        until: the last day of the period to read, of an output with several periods.
        memory: what the process may take: bytes, or a size like "2GB"; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: an argument is wrong, the CRS isn't in metres, there are no data, the memory is too little, or there
            is something at `out` already.
        MissingExtra: a library that writes the file isn't installed.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(SegmentOptions, "segment", options)
    check_type("overwrite", overwrite, (bool,), "True or False")
    target = out_for("embeddings", embeddings, "segments.gpkg", chosen.year, chosen.until)
    if out is not None:
        check_path("out", out, "a file")
        target = Path(out)
    write = need_tables(target)
    check_free(target, overwrite)
    opened = open_given("embeddings", embeddings, chosen.dim, chosen.year, chosen.until)
    pixel = pixel_square_metres(opened.grid, str(opened.path), "convert it with crs= to a UTM zone first")
    least = max(1, math.ceil(chosen.min_area * SQUARE_METRES / pixel - 1e-9))
    row, per_value = opened.grid.width * opened.dim, opened.bytes_per_value + VALUE_BYTES
    kept = (opened.grid.width + opened.grid.height) * opened.dim * KEPT_BYTES
    fixed = opened.grid.window.pixels * PIXEL_BYTES + kept
    values = strip_values(chosen.memory, fixed, per_value, row, max(BLOCK_VALUES, opened.tile_values))
    identity = identity_of("segment", (opened,), options=chosen)
    with shown(progress, "segmenting", "px") as report, result_file(target, overwrite, identity) as file:
        labels = find_segments(opened, values, chosen.scale, least, report)
        count = int(labels.max(initial=-1)) + 1
        if not count:
            raise InputError(f"{opened.path} has no pixel with data, so there is nothing to segment")
        _check_memory(chosen.memory, fixed, count, opened.dim)
        vectors, pixels = mean_vectors(opened, labels, values, report)
        polygons = outlines(labels, opened.grid)
        content, batches = content_of(target, opened, polygons, vectors, pixels * pixel, chosen)
        write(file, target.name, content, batches)
    hectares = pixels * pixel / SQUARE_METRES
    return Segments(target, count, (float(hectares.sum()), float(np.median(hectares))))


segment.__signature__ = spelled_out(segment, SegmentKeywords, SegmentOptions())  # type: ignore[attr-defined]


def _check_memory(memory: int | None, fixed: int, count: int, dim: int) -> None:
    """Make sure that the segments fit, of which the number is known only now."""
    needed = READING_BYTES + fixed + count * (SEGMENT_BYTES + dim * DIM_BYTES)
    if needed > (memory or default_memory()):
        raise InputError(
            f"{count:,} segments of {dim} dimensions need {needed / 1e6:.0f}MB; give more memory=, or a larger scale= "
            "or min_area= for fewer segments"
        )


def outlines(labels: NDArray[np.int32], grid: Grid) -> NDArray[Any]:
    """(S,) shapely polygons of segments that are connected over edges, along the edges of their pixels.

    Args:
        labels: (height, width) int32, see `tessera_engine.analysis.segments.find.find_segments`.
        grid: their place.
    """
    import shapely
    from rasterio.features import shapes

    polygons = np.full(int(labels.max(initial=-1)) + 1, None, object)
    for shape, label in shapes(labels, mask=labels >= 0, connectivity=4, transform=grid.transform):
        rings = shape["coordinates"]
        polygons[int(label)] = shapely.Polygon(rings[0], rings[1:])
    return polygons
