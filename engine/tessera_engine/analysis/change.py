"""What changed between two years? A map of how far each pixel's embedding moved, and its top regions.

Embeddings of unchanged land move from year to year, because of the weather, the dates and the farming. Much of that is
the same shift for all pixels, so it is removed first. The rest is divided by how far apart two random places of the
scene are. That gives it a unit: 0 is no change except the common one, 1 is as different as two random pixels. A plain
cosine does neither: TESSERA embeddings share a large common part, which makes everything look alike, and the common
shift counts as change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.options import ChangeKeywords, ChangeOptions, check_options
from tessera_engine.analysis.rasters import write_map, write_result_item
from tessera_engine.analysis.regions import PIXEL_BYTES, find_regions, top_threshold, write_regions
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.naming import default_out
from tessera_engine.files.result import result_folder
from tessera_engine.formats.cog.styles import style_numbers
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_grid import shared_windows
from tessera_engine.formats.embeddings.same_model import check_same_model
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.given import (
    Given,
    GivenPath,
    check_path,
    identity_of,
    open_given,
    path_given,
)
from tessera_engine.pictures.colours import RAMP
from tessera_engine.progress import Progress, ShowProgress, shown
from tessera_engine.running.memory import strip_values
from tessera_engine.running.options import spelled_out
from tessera_engine.scene import Grid
from tessera_kernels.change import distances, moments

if TYPE_CHECKING:
    from typing_extensions import Unpack

STRIP_VALUES = 16_000_000
"""Most values that are read from each of the two at a time."""


@dataclass(frozen=True)
class Drawn:
    """Change, pixel by pixel.

    Attributes:
        values: (height, width) float32: squared distance without the common shift, divided by the one of two random
            pixels; NaN where either has no data.
        grid: of the pixels that both have.
        common: squared length of the common shift, in the same unit.
    """

    values: NDArray[np.float32]
    grid: Grid
    common: float


@dataclass(frozen=True, repr=False)
class Changed:
    """What changed.

    Attributes:
        out: the folder of the results.
        typical: change of the median pixel; where most land is unchanged, the change of unchanged land.
        common: the shift of all pixels, which was removed; see `Drawn`.
        threshold: the least change of the top regions.
        regions: of each region, by falling size: longitude, latitude, hectares, pixels, mean and max change.
    """

    out: Path
    typical: float
    common: float
    threshold: float
    regions: list[dict[str, Any]]

    def __repr__(self) -> str:
        return (
            f"<Changed {self.out}: {len(self.regions)} regions from a change of {self.threshold:.3f}; the median "
            f"pixel has {self.typical:.3f}>"
        )


def change(
    before: Given,
    after: Given,
    out: GivenPath | None = None,
    *,
    overwrite: bool = False,
    progress: ShowProgress = None,
    **options: Unpack[ChangeKeywords],
) -> Changed:
    """Write `change.tif`, and the `top` share of the pixels that changed most as `regions.geojson`.

    Args:
        before: embeddings of one year: an output folder, or `open_embeddings(...)`.
        after: embeddings of another year, by the same model, on the same pixels; their extents may differ.
        out: the folder to make; None: `<before>.<after>.change` in the current folder.
        overwrite: replace an earlier result.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        top: share of the pixels that are the top regions.
        dim: compare only the first `dim` dimensions; None: all that are stored.
        years: the year to read of each, of outputs with several years.
        untils: the last day of the period to read of each, of outputs with several periods.
        memory: what the process may take: bytes, or a size like "2GB"; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: an argument is wrong, the two can't be compared (the same output twice, see also `draw_change`), or
            there is something at `out` already.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(ChangeOptions, "change", options)
    check_type("overwrite", overwrite, (bool,), "True or False")
    paths = path_given("before", before), path_given("after", after)
    target = default_out(paths[0], default_out(paths[1], "change").name)
    if out is not None:
        check_path("out", out, "a folder")
        target = Path(out)
    years, untils = chosen.years or (None, None), chosen.untils or (None, None)
    first = open_given("before", before, chosen.dim, years[0], untils[0])
    second = open_given("after", after, chosen.dim, years[1], untils[1])
    _check_different(first, second)
    identity = identity_of("change", (first, second), options=chosen)
    with shown(progress, "comparing", "px") as report, result_folder(target, overwrite, identity) as folder:
        drawn = draw_change(first, second, report, chosen.memory)
        typical = float(np.nanmedian(drawn.values))
        threshold = top_threshold(drawn.values, chosen.top)
        features = find_regions(drawn.values, threshold, drawn.grid, "change")
        title = "Change between two years: 0 = none, 1 = as different as two random pixels"
        assets = [
            write_map(folder / "change.tif", drawn.values, drawn.grid, title, np.nan),
            write_regions(folder, features, "The regions that changed most"),
        ]
        style_numbers(folder / "change.tif", RAMP, 0, threshold)
        facts = {
            "top": chosen.top,
            "threshold": threshold,
            "typical_change": typical,
            "common_change": drawn.common,
        }
        write_result_item(folder, (drawn.grid,), (first, second), "change", title, assets, facts)
    regions = [feature["properties"] for feature in features]
    return Changed(target, typical, drawn.common, threshold, regions)


change.__signature__ = spelled_out(change, ChangeKeywords, ChangeOptions())  # type: ignore[attr-defined]


def _check_different(before: Embeddings, after: Embeddings) -> None:
    same_time = all(before.provenance.get(key) == after.provenance.get(key) for key in ("year", "season"))
    if before.path.resolve() == after.path.resolve() and same_time:
        raise InputError(
            f"before= and after= are the same output, {before.path}, so nothing can have changed; give outputs of two "
            "years, or years= of an output with several years"
        )


def draw_change(
    before: Embeddings, after: Embeddings, report: Progress | None = None, memory: int | None = None
) -> Drawn:
    """How far each pixel that both have has moved.

    Codes are compared without dequantising them first; codes can be compared with float32 embeddings too.

    Args:
        before: embeddings of one year.
        after: embeddings of another year, by the same model, on the same pixels; their extents may differ.
        report: called with pixels done and in all.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: the models, dimensions or pixels differ, no pixel has data in both, or the memory is too little.
    """
    check_same_model(before, after)
    window, _ = shared_windows(before, after)
    per_value = before.bytes_per_value + after.bytes_per_value
    row = window.width * before.dim
    size = strip_values(memory, window.pixels * PIXEL_BYTES, per_value, row, STRIP_VALUES)
    grid, total = before.grid.crop(window), 2 * window.pixels
    tally = report or (lambda done, total: None)
    pixels, squares = 0, 0.0
    sums = np.zeros((2, before.dim))
    for rows, first, second in _strips(before, after, size):
        part = moments(*first, *second)
        pixels += part.pixels
        squares += part.squares
        sums += part.before, part.after
        tally(rows.stop * window.width, total)
    if not pixels:
        raise InputError(
            f"no pixel has data both in {before.path} and in {after.path}, so nothing can be compared; choose years "
            "with observations of the same place"
        )
    means = sums / pixels
    shift = means[1] - means[0]
    # The expected squared distance of two random pixels, one of each year, after the shift is removed
    spread = squares / pixels - float((means**2).sum())
    unit = 1 / spread if spread > 0 else 0.0
    values = np.empty((window.height, window.width), np.float32)
    for rows, first, second in _strips(before, after, size):
        strip = values[rows].reshape(-1)
        np.multiply(distances(*first, *second, shift.astype(np.float32)), np.float32(unit), out=strip)
        tally(window.pixels + rows.stop * window.width, total)
    return Drawn(values, grid, float((shift**2).sum() * unit))


_Pixels = tuple[NDArray[Any], NDArray[np.float32]]


def _strips(before: Embeddings, after: Embeddings, size: int) -> Iterator[tuple[slice, _Pixels, _Pixels]]:
    """Rows of the shared window with about `size` values, and the stored vectors and scales of both in them."""
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
