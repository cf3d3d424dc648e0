"""What has changed between two years? A map of how far each pixel's embedding has moved, and its top regions.

Embeddings of unchanged land move from year to year: other weather, other dates, other farming. Much of that is one and
the same shift of all pixels, so it is taken away first. What is left is measured against how far apart two places of
the scene are, which gives it a unit: 0 is no change but the common one, 1 is as different as two random pixels. A plain
cosine does neither: TESSERA embeddings share a large common part, by which everything looks alike, and the shift counts
as change.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from tessera_engine.formats.embeddings.same_grid import shared_windows
from tessera_engine.formats.embeddings.same_model import check_same_model
from tessera_engine.progress import Progress
from tessera_engine.running.memory import strip_values
from tessera_engine.scene import Grid
from tessera_kernels.change import distances, moments

STRIP_VALUES = 16_000_000
"""Most values of each of the two that are compared at a time."""


@dataclass(frozen=True)
class Drawn:
    """Change, pixel by pixel.

    Attributes:
        values: (height, width) float32: squared distance without the common shift, over that of two random pixels; NaN
            where either has no data.
        grid: of the pixels that both have.
        common: the squared length of the common shift, in the same unit.
    """

    values: NDArray[np.float32]
    grid: Grid
    common: float


@dataclass(frozen=True)
class Changed:
    """What was found.

    Attributes:
        out: the folder.
        typical: change of the median pixel: what unchanged land has, where most of it is.
        common: what was taken away: the shift of all pixels, see `Drawn`.
        threshold: the least change of the top regions.
        regions: of each region, by falling size: longitude, latitude, hectares, pixels, mean and max change.
    """

    out: Path
    typical: float
    common: float
    threshold: float
    regions: list[dict[str, Any]]


def draw_change(
    before: Embeddings, after: Embeddings, progress: Progress | None = None, memory: int | None = None
) -> Drawn:
    """How far each pixel that both have has moved.

    Codes aren't dequantised, and compare with floats too.

    Args:
        before: embeddings of one year.
        after: of another year, by the same model, on the same pixels; their extents may differ.
        progress: called with pixels done and in all.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: another model, other dimensions, other pixels, no pixel has data in both, or too little memory.
    """
    check_same_model(before, after)
    window, _ = shared_windows(before, after)
    per_value = before.bytes_per_value + after.bytes_per_value
    row = window.width * before.dim
    size = strip_values(memory, window.pixels * PIXEL_BYTES, per_value, row, STRIP_VALUES)
    grid, total = before.grid.crop(window), 2 * window.pixels
    tell = progress or (lambda done, total: None)
    pixels, squares = 0, 0.0
    sums = np.zeros((2, before.dim))
    for rows, first, second in _strips(before, after, size):
        part = moments(*first, *second)
        pixels += part.pixels
        squares += part.squares
        sums += part.before, part.after
        tell(rows.stop * window.width, total)
    if not pixels:
        raise InputError(
            f"no pixel has data both in {before.path} and in {after.path}, so nothing can be compared; choose years "
            "that both see the place"
        )
    means = sums / pixels
    shift = means[1] - means[0]
    # The expected squared distance of two random pixels, one of each year, once the shift is taken away
    spread = squares / pixels - float((means**2).sum())
    unit = 1 / spread if spread > 0 else 0.0
    values = np.empty((window.height, window.width), np.float32)
    for rows, first, second in _strips(before, after, size):
        strip = values[rows].reshape(-1)
        np.multiply(distances(*first, *second, shift.astype(np.float32)), np.float32(unit), out=strip)
        tell(window.pixels + rows.stop * window.width, total)
    return Drawn(values, grid, float((shift**2).sum() * unit))


_Pixels = tuple[NDArray[Any], NDArray[np.float32]]


def _strips(before: Embeddings, after: Embeddings, size: int) -> Iterator[tuple[slice, _Pixels, _Pixels]]:
    """Rows of the shared window of about so many values, and the stored vectors and scales of both there."""
    window, other = shared_windows(before, after)
    for strip in before.windows(size, window):
        moved = strip._replace(col=strip.col - window.col + other.col, row=strip.row - window.row + other.row)
        top = strip.row - window.row
        yield (
            slice(top, top + strip.height),
            _pixels(before.read_stored(strip)),
            _pixels(after.read_stored(moved)),
        )


def _pixels(stored: StoredBlock) -> _Pixels:
    """Vectors (N, K) and scales (N,) as `tessera_kernels.change` takes them."""
    scales = (
        np.where(stored.valid, np.float32(1), np.float32(np.nan)) if stored.scales is None else stored.scales
    )
    return stored.values.reshape(-1, stored.values.shape[2]), scales.reshape(-1)


def find_change(
    before: Embeddings,
    after: Embeddings,
    out: str | Path,
    top: float = TOP_SHARE,
    overwrite: bool = False,
    progress: Progress | None = None,
    memory: int | None = None,
) -> Changed:
    """Write `change.tif`, and the `top` share of the pixels that changed most as `regions.geojson`.

    Args:
        before: embeddings of one year.
        after: of another year, see `draw_change`.
        out: the folder to make.
        top: share of the pixels.
        overwrite: replace an earlier result.
        progress: called with pixels done and in all.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: they can't be compared, see `draw_change`, or something stands at `out`.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    check_top(top)
    with result_folder(Path(out), overwrite) as folder:
        drawn = draw_change(before, after, progress, memory)
        typical = float(np.nanmedian(drawn.values))
        threshold = top_threshold(drawn.values, top)
        features = find_regions(drawn.values, threshold, drawn.grid, "change")
        title = "Change between two years: 0 = none, 1 = as different as two random pixels"
        assets = [
            write_map(folder / "change.tif", drawn.values, drawn.grid, title, np.nan),
            write_regions(folder, features, "The regions that changed most"),
        ]
        facts = {"top": top, "threshold": threshold, "typical_change": typical, "common_change": drawn.common}
        write_result_item(folder, drawn.grid, (before, after), "change", title, assets, facts)
    regions = [feature["properties"] for feature in features]
    return Changed(Path(out), typical, drawn.common, threshold, regions)
