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
from tessera_engine.analysis.sampling.resuming import made_at_once
from tessera_engine.analysis.segments.files import BATCH, SegmentTable, need_tables
from tessera_engine.analysis.segments.find import (
    KEPT_BYTES,
    PIXEL_BYTES,
    VALUE_BYTES,
    find_segments,
    mean_vectors,
)
from tessera_engine.analysis.segments.groups import Group, groups_of
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.result import check_free
from tessera_engine.formats.embeddings.base import BLOCK_VALUES, Embeddings
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

TURNS = 3
"""Times that pixels are read: for the mean of all, for the edges, and for the segments' vectors."""


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
    values, together = _sizes(opened, chosen.memory)
    scene = opened.grid.window.pixels
    identity = identity_of("segment", (opened,), options=chosen)
    with made_at_once(target, overwrite, identity) as work:
        name = target.name
        with (
            shown(progress, "segmenting", "px") as report,
            SegmentTable(work.folder / "segments", name, opened, chosen, pixel) as table,
        ):
            labels = find_segments(
                opened, values, chosen.scale, least, lambda done, _: report(done, TURNS * scene)
            )
            groups = groups_of(labels, together)
            if not groups:
                raise InputError(f"{opened.path} has no pixel with data, so there is nothing to segment")
            counts, done, total = [], 0, sum(group.window.pixels for group in groups)
            for group in groups:
                vectors, pixels = mean_vectors(opened, labels, group, values)
                table.add(group.first, outlines(labels, group, opened.grid), vectors, pixels)
                counts.append(pixels)
                done += group.window.pixels
                report((TURNS - 1) * scene + scene * done // total, TURNS * scene)
            write(work.made, name, table.content(), table.batches)
    hectares = np.concatenate(counts) * pixel / SQUARE_METRES
    return Segments(target, len(hectares), (float(hectares.sum()), float(np.median(hectares))))


segment.__signature__ = spelled_out(segment, SegmentKeywords, SegmentOptions())  # type: ignore[attr-defined]


def _sizes(opened: Embeddings, memory: int | None) -> tuple[int, int]:
    """Values of embeddings that are read at a time, and segments that are described at a time.

    Raises:
        InputError: the memory is too little.
    """
    grid, dim = opened.grid, opened.dim
    scene, per_value = grid.window.pixels, opened.bytes_per_value + VALUE_BYTES
    fixed = scene * PIXEL_BYTES + (grid.width + grid.height) * dim * KEPT_BYTES
    a_segment = SEGMENT_BYTES + dim * DIM_BYTES
    useful = min(max(BLOCK_VALUES, opened.tile_values), scene * dim)
    described = min(BATCH, scene) * a_segment
    values = strip_values(memory, fixed + described, per_value, grid.width * dim, useful)
    left = (memory or default_memory()) - READING_BYTES - fixed - values * per_value
    return values, max(1, left // a_segment // BATCH) * BATCH


def outlines(labels: NDArray[np.int32], group: Group, grid: Grid) -> NDArray[Any]:
    """(S,) shapely polygons of a group of segments that are connected over edges, along the edges of their pixels.

    Args:
        labels: (height, width) int32, see `tessera_engine.analysis.segments.find.find_segments`.
        group: the segments.
        grid: the place of all labels.
    """
    import shapely
    from rasterio.features import shapes

    polygons = np.full(group.count, None, object)
    own = group.own(labels[group.window.slices])
    for shape, number in shapes(own, mask=own >= 0, connectivity=4):
        rings = shape["coordinates"]
        polygons[int(number)] = shapely.Polygon(rings[0], rings[1:])

    def placed(corners: NDArray[np.float64]) -> NDArray[np.float64]:
        # From the corner of the grid, not of the group's window: that would change the last bits
        col, row = corners[:, 0], corners[:, 1] + group.window.row
        to = grid.transform
        return np.column_stack([to.c + col * to.a + row * to.b, to.f + col * to.d + row * to.e])

    moved: NDArray[Any] = shapely.transform(polygons, placed)
    return moved
