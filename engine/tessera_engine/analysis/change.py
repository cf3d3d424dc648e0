"""What changed between two years? A map of how far each pixel's embedding moved, and its top regions.

Embeddings of unchanged land move from year to year, because of the weather, the dates and the farming. Much of that is
the same shift for all pixels, so it is removed first. The rest is divided by how far apart two random places of the
scene are. That gives it a unit: 0 is no change except the common one, 1 is as different as two random pixels. A plain
cosine does neither: TESSERA embeddings share a large common part, which makes everything look alike, and the common
shift counts as change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.options import ChangeKeywords, ChangeOptions, check_options
from tessera_engine.analysis.pairs import Pair, pair_by_place
from tessera_engine.analysis.rasters import within, write_map, write_result_item
from tessera_engine.analysis.regions import (
    PIXEL_BYTES,
    find_regions,
    largest_regions,
    top_threshold,
    write_regions,
)
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.result import check_apart, result_folder
from tessera_engine.formats.cog.styles import style_numbers
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_model import check_same_model
from tessera_engine.formats.given import (
    GivenPath,
    Several,
    check_path,
    folder_names,
    identity_of,
    open_several,
    out_for,
)
from tessera_engine.pictures.colours import RAMP
from tessera_engine.progress import Progress, ShowProgress, shown
from tessera_engine.running.memory import strip_values
from tessera_engine.running.options import spelled_out
from tessera_engine.scene import Grid, Window
from tessera_kernels.change import Moments, distances, moments

if TYPE_CHECKING:
    from typing_extensions import Unpack

WINDOW_VALUES = 16_000_000
"""Most values that are read from each of the two at a time, if tiles aren't larger."""


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
        notes: what was unusual, a line each: outputs whose pixels lie beside each other, or without a counterpart.
    """

    out: Path
    typical: float
    common: float
    threshold: float
    regions: list[dict[str, Any]]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<Changed {self.out}: {len(self.regions)} regions from a change of {self.threshold:.3f}; the median "
            f"pixel has {self.typical:.3f}>"
        )


def change(
    before: Several,
    after: Several,
    out: GivenPath | None = None,
    *,
    overwrite: bool = False,
    progress: ShowProgress = None,
    **options: Unpack[ChangeKeywords],
) -> Changed:
    """Write `change.tif`, and the `top` share of the pixels that changed most as `regions.geojson`.

    Of several outputs, each of the first time has its `change.tif` in a folder of its name; the common shift, the unit
    of change and the regions are those of all. Where the pixels of the two times lie beside each other, each is
    compared with the nearest.

    Args:
        before: embeddings of one time: an output folder, or `open_embeddings(...)`, or a list of them.
        after: embeddings of another time, by the same model, on the same places; their extents may differ. Where
            several have data in a pixel, the first of them counts.
        out: the folder to make; None: `<before>.<after>.change` in the current folder.
        overwrite: replace an earlier result.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        top: share of the pixels that are the top regions.
        dim: compare only the first `dim` dimensions; None: all that are stored.
        years: the year to read of each time, of outputs with several years.
        untils: the last day of the period to read of each time, of outputs with several periods.
        memory: what the process may take: bytes, or a size like "2GB"; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: an argument is wrong, the two can't be compared (the same output twice, see also `draw_change`), or
            there is something at `out` already.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(ChangeOptions, "change", options)
    check_type("overwrite", overwrite, (bool,), "True or False")
    years, untils = chosen.years or (None, None), chosen.untils or (None, None)
    ending = out_for("after", after, "change", years[1], untils[1]).name
    target = out_for("before", before, ending, years[0], untils[0])
    if out is not None:
        check_path("out", out, "a folder")
        target = Path(out)
    befores = open_several("before", before, chosen.dim, years[0], untils[0])
    afters = open_several("after", after, chosen.dim, years[1], untils[1])
    check_apart(target, [each.path for each in (*befores, *afters)])
    check_same_model(befores[0], afters[0])
    _check_different(befores, afters)
    pairs = pair_by_place(befores, afters)
    sources = [*(pair.before for pair in pairs), *afters]
    names, alone = folder_names([pair.before for pair in pairs]), len(pairs) == 1
    identity = identity_of("change", (*befores, *afters), options=chosen)
    title = "Change between two years: 0 = none, 1 = as different as two random pixels"
    with shown(progress, "comparing", "px") as report, result_folder(target, overwrite, identity) as folder:
        drawn = draw_changes(pairs, report, chosen.memory)
        every = (
            np.concatenate([each.values.reshape(-1) for each in drawn]) if len(drawn) > 1 else drawn[0].values
        )
        typical, threshold = float(np.nanmedian(every)), top_threshold(every, chosen.top)
        features, assets = [], []
        for each, name in zip(drawn, names, strict=True):
            place = folder if alone else folder / name
            place.mkdir(exist_ok=True)
            asset = write_map(place / "change.tif", each.values, each.grid, title, np.nan)
            style_numbers(place / "change.tif", RAMP, 0, threshold)
            assets.append(asset if alone else within(asset, name, each.grid))
            features.append(find_regions(each.values, threshold, each.grid, "change"))
        regions = largest_regions(features, [] if alone else names)
        assets.append(write_regions(folder, regions, "The regions that changed most"))
        facts = {
            "top": chosen.top,
            "threshold": threshold,
            "typical_change": typical,
            "common_change": drawn[0].common,
        }
        write_result_item(folder, [each.grid for each in drawn], sources, "change", title, assets, facts)
    notes = tuple(note for pair in pairs for note in pair.notes) + _left_out(befores, pairs)
    return Changed(
        target, typical, drawn[0].common, threshold, [each["properties"] for each in regions], notes
    )


change.__signature__ = spelled_out(change, ChangeKeywords, ChangeOptions())  # type: ignore[attr-defined]


def _check_different(befores: Sequence[Embeddings], afters: Sequence[Embeddings]) -> None:
    for before, after in product(befores, afters):
        same_time = all(before.provenance.get(key) == after.provenance.get(key) for key in ("year", "season"))
        if before.path.resolve() == after.path.resolve() and same_time:
            raise InputError(
                f"{before.path} is compared with itself, so nothing can have changed; give outputs of two years, or "
                "years= of an output with several years"
            )


def _left_out(befores: Sequence[Embeddings], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Which outputs lie on none of the other time."""
    paired = [pair.before for pair in pairs]
    return tuple(
        f"{each.path} is left out: no output of the other time lies on it"
        for each in befores
        if not any(each is other for other in paired)
    )


def draw_change(
    before: Embeddings, after: Embeddings, report: Progress | None = None, memory: int | None = None
) -> Drawn:
    """How far each pixel that both have has moved.

    Codes are compared without dequantising them first; codes can be compared with float32 embeddings too.

    Args:
        before: embeddings of one time.
        after: embeddings of another time, by the same model, on the same place; their extents may differ, and each
            pixel is compared with the nearest.
        report: called with pixels done and in all.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: the models, dimensions or pixel sizes differ, no pixel has data in both, or the memory is too
            little.
    """
    check_same_model(before, after)
    return draw_changes(pair_by_place([before], [after]), report, memory)[0]


def draw_changes(
    pairs: Sequence[Pair], report: Progress | None = None, memory: int | None = None
) -> list[Drawn]:
    """`draw_change` of several places, in one unit and with one common shift.

    Args:
        pairs: at least one, all of one model.
        report: called with pixels done and in all.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.

    Raises:
        InputError: no pixel has data in both times, or the memory is too little.
    """
    dim, total = pairs[0].before.dim, sum(pair.window.pixels for pair in pairs)
    per_value = max(pair.before.bytes_per_value + pair.after.bytes_per_value for pair in pairs)
    row = max(pair.window.width for pair in pairs) * dim
    tiles = (each.tile_values for pair in pairs for each in (pair.before, pair.after))
    size = strip_values(memory, total * PIXEL_BYTES, per_value, row, max(WINDOW_VALUES, *tiles))
    tally = report or (lambda done, total: None)
    found, done = Moments(0, np.zeros((2, 2 * dim + 1))), 0
    for pair in pairs:
        for window, first, second in _windows(pair, size):
            found = found.plus(moments(*first[:2], *second[:2], (first.which, second.which)))
            done += window.pixels
            tally(done, 2 * total)
    if not found.pixels:
        one, other = pairs[0].before, pairs[0].after
        raise InputError(
            f"no pixel has data both in {one.path} and in {other.path}, so nothing can be compared; choose years "
            "with observations of the same place"
        )
    means = np.stack([found.before, found.after]) / found.pixels
    shift = means[1] - means[0]
    # The expected squared distance of two random pixels, one of each year, after the shift is removed
    spread = found.squares / found.pixels - float((means**2).sum())
    unit = 1 / spread if spread > 0 else 0.0
    drawn = []
    for pair in pairs:
        values = np.empty((pair.window.height, pair.window.width), np.float32)
        for window, first, second in _windows(pair, size):
            which = first.which, second.which
            moved = distances(*first[:2], *second[:2], shift.astype(np.float32), which)
            np.multiply(moved.reshape(window.height, -1), np.float32(unit), out=values[window.slices])
            done += window.pixels
            tally(done, 2 * total)
        drawn.append(Drawn(values, pair.grid, float((shift**2).sum() * unit)))
    return drawn


class _Pixels(NamedTuple):
    """Vectors (M, K), scales (M,) and each pixel's vector (N,) as `tessera_kernels.change` takes them."""

    vectors: NDArray[Any]
    scales: NDArray[np.float32]
    which: NDArray[np.int32] | None


def _windows(pair: Pair, size: int) -> Iterator[tuple[Window, _Pixels, _Pixels]]:
    """Windows of the shared one, with about `size` values, and the stored vectors and scales of both in them."""
    before, after, shared = pair.before, pair.after, pair.window
    if after.source.block > before.source.block:  # whose tiles take more to decode
        windows = after.tiles(size)
    else:
        windows = (each.relative_to(shared) for each in before.tiles(size, shared))
    for here in windows:
        there = here._replace(col=here.col + shared.col, row=here.row + shared.row)
        yield here, _pixels(before, there), _pixels(after, here)


def _pixels(embeddings: Embeddings, window: Window) -> _Pixels:
    distinct = embeddings.read_distinct(window)
    if distinct is not None:
        return _Pixels(
            distinct.vectors, np.ones(len(distinct.vectors), np.float32), distinct.which.reshape(-1)
        )
    stored = embeddings.read_stored(window)
    scales = (
        np.where(stored.valid, np.float32(1), np.float32(np.nan)) if stored.scales is None else stored.scales
    )
    return _Pixels(stored.values.reshape(-1, stored.values.shape[2]), scales.reshape(-1), None)
