"""The end of a run: pictures and item from the marks of all cells, in the folder that then becomes the output."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.cluster.cells import cell_name
from tessera_engine.cluster.marks import Checksums, Mark, read_marks
from tessera_engine.cluster.order import Order
from tessera_engine.cluster.sharing import STAGING
from tessera_engine.errors import TesseraError
from tessera_engine.files.checksums import folder_sha256
from tessera_engine.files.document import Damaged
from tessera_engine.files.output import ITEM
from tessera_engine.files.publish import MADE
from tessera_engine.files.staging import Staging
from tessera_engine.pictures.caption import caption_of_run
from tessera_engine.pictures.frame import thinned
from tessera_engine.pictures.quicklook import write_quicklook
from tessera_engine.pictures.true_colour import NO_DATA, TrueColours, write_true_colours
from tessera_engine.running.run import Computed, run_facts
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.items import Asset
from tessera_engine.stac.periods import period_facts
from tessera_engine.stac.writing import RunFacts, write_item

PICTURE = "picture."
"""What the names of the staged pixels of the quicklook begin with."""


@dataclass
class Totals:
    """What all cells together are.

    Attributes:
        pixels: that were to be embedded.
        with_data: those that have an embedding, for each period.
        few_clear: those that are flagged, for each period.
        computed: cells by what computed them.
        files: their checksums.
        shards: how many of the files are in the output.
    """

    pixels: int = 0
    with_data: Counter[int] = field(default_factory=Counter)
    few_clear: Counter[int] = field(default_factory=Counter)
    computed: dict[Computed, list[Window]] = field(default_factory=lambda: defaultdict(list))
    files: Checksums = field(default_factory=Checksums)
    shards: int = 0

    def add(self, mark: Mark) -> None:
        """Count a cell."""
        self.pixels += mark.pixels
        self.with_data.update(dict(enumerate(mark.with_data)))
        self.few_clear.update(dict(enumerate(mark.few_clear)))
        self.computed[mark.computed].append(mark.cell)
        self.files.add(mark.files)
        self.shards += sum(name.startswith(f"{MADE}/") for name in mark.files)


def total(folder: Path, cells: Sequence[Window]) -> Totals:
    """Read all marks of a run whose cells are closed.

    Args:
        folder: of the run.
        cells: all of them.

    Raises:
        TesseraError: one is damaged.
    """
    totals = Totals()
    try:
        for mark in read_marks(folder / STAGING, cells):
            totals.add(mark)
    except Damaged as error:
        raise TesseraError(f"{folder} has a damaged mark ({error}); give the same command again") from None
    return totals


def complete(order: Order, cells: Sequence[Window], side: int, fingerprint: str) -> tuple[Path, Totals]:
    """Make what belongs to no cell. Then the folder is the output, and only has to get its name.

    Args:
        order: the run, whose cells are all finished and closed.
        cells: all of them.
        side: pixels across a cell.
        fingerprint: of the scene.

    Returns:
        The item, and what all cells together are.

    Raises:
        TesseraError: a mark is damaged, or a file can't be read or written.
        OSError: a file can't be written.
    """
    plan, folder = order.plan, order.made
    totals, writer = total(order.folder, cells), order.writer()
    found = 0
    for path in writer.written():
        if totals.files(path.relative_to(order.folder).as_posix()) is not None:
            found += 1
        else:
            path.unlink()  # of a worker that was killed while it wrote
    if found != totals.shards:
        raise TesseraError(
            f"{folder} has {found:,} files of cells, expected {totals.shards:,}; give the same command again"
        )
    store = writer.asset()
    before = f"{folder.name}/{store.file_name}/"
    sha256 = folder_sha256(folder / store.file_name, lambda name: totals.files(before + name))
    facts = _facts(order, totals, fingerprint)
    picture = _draw(order, cells, facts)
    assets: list[Asset] = [replace(store, sha256=sha256), picture]
    colours = None
    if plan.options.truecolour:
        colours = TrueColours(plan.grid, _Colours(order.staging, side).read)
    assets += write_true_colours(
        folder, colours, plan.options.format, plan.scene.name, plan.origin.year, None
    )
    item = folder / ITEM
    write_item(item, plan.grid, assets, facts)
    return item, totals


def _facts(order: Order, totals: Totals, fingerprint: str) -> RunFacts:
    plan, last = order.plan, max(1, len(order.plan.periods)) - 1
    usual = max(totals.computed, key=lambda each: len(totals.computed[each]))
    limited = plan.options.min_clear is not None
    periods = [
        period_facts(
            period,
            totals.with_data[number],
            **({"pixels_few_clear": totals.few_clear[number]} if limited else {}),
        )
        for number, period in enumerate(plan.periods)
    ]
    others = {each: cells for each, cells in totals.computed.items() if each != usual}
    return replace(
        run_facts(plan, usual, fingerprint, totals.with_data[last]),
        few_clear=totals.few_clear[last] if limited else None,
        periods=periods,
        other_cells=[_described(each, cells) for each, cells in sorted(others.items())],
    )


def _described(computed: Computed, cells: Sequence[Window]) -> dict[str, Any]:
    return {**computed._asdict(), "cells": [list(cell) for cell in cells]}


def _draw(order: Order, cells: Sequence[Window], facts: RunFacts) -> Asset:
    """The quicklook, of the pixels that the cells kept for it."""
    plan, folder = order.plan, order.staging
    step, grid = thinned(plan.grid)
    colours = plan.options.quicklook == "rgb"
    for old in folder.glob(f"{PICTURE}*"):
        old.unlink()
    staging = Staging.create(folder, grid, plan.dim, plan.stored_as, colours, name=PICTURE)
    rasters = {"embeddings": staging.embeddings, "scales": staging.scales, "colours": staging.colours}
    for cell in cells:
        for key, raster in rasters.items():
            path = folder / f"{cell_name(cell)}.{key}.npy"
            if raster is not None and path.exists():
                values = np.load(path)
                place = Window(-(-cell.col // step), -(-cell.row // step), values.shape[1], values.shape[0])
                raster.write(place, values)
    path = order.made / "quicklook.png"
    return write_quicklook(staging, path, caption_of_run(facts), plan.options.quicklook)


@dataclass(frozen=True)
class _Colours:
    """The true colours that the cells kept."""

    folder: Path
    side: int

    def read(self, window: Window) -> NDArray[np.uint8]:
        """(height, width, 3)."""
        shown = np.full((window.height, window.width, 3), NO_DATA, np.uint8)
        side = self.side
        for row in range(window.row // side * side, window.row + window.height, side):
            for col in range(window.col // side * side, window.col + window.width, side):
                path = self.folder / f"{cell_name(Window(col, row, side, side))}.truecolour.npy"
                if not path.exists():
                    continue
                values = np.load(path, mmap_mode="r")
                cell = Window(col, row, values.shape[1], values.shape[0])
                shared = cell.intersection(window)
                assert shared is not None
                to, of = shared.relative_to(window), shared.relative_to(cell)
                shown[to.row : to.row + to.height, to.col : to.col + to.width] = values[
                    of.row : of.row + of.height, of.col : of.col + of.width
                ]
        return shown


def grid_of(cells: Sequence[Window]) -> Grid:
    """A grid with as many pixels as the cells, for what they take on the disk."""
    return Grid(sum(cell.pixels for cell in cells), 1)
