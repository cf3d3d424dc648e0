"""The cells of an output: squares of whole shards, each computed and written by one worker."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.running.plan import Plan
from tessera_engine.scene import Window

SIDE = 1024
"""Pixels across a cell: four shards. It is about 100 km2, minutes of work, so that a cell's own costs don't count. It
is as large as the blocks of JPEG 2000 products, which no two workers then decode. A killed worker loses one cell."""

CELLS_A_WORKER = 4
"""With fewer cells than this for each worker, the last ones leave workers idle, so cells are as small as the format
allows."""


def side_for(plan: Plan, smallest: int, workers: int) -> int:
    """How large the cells of a run are.

    Args:
        plan: what the run does.
        smallest: pixels across the smallest cell that the format allows.
        workers: how many there are.
    """
    large = max(SIDE, smallest)
    return large if len(plan_cells(plan, large)) >= CELLS_A_WORKER * workers else smallest


def plan_cells(plan: Plan, side: int) -> dict[Window, int]:
    """The cells in which the scene has data and pixels are selected, row by row.

    Args:
        plan: what the run does.
        side: pixels across a cell.

    Returns:
        Windows counted from the corner of the output, and about how many pixels of each will be embedded.
    """
    region, selected = plan.region, plan.selected
    down, across = -(-region.height // side), -(-region.width // side)
    covered = np.zeros((down, across), np.int64)
    for window in plan.scene.reader.windows(region, side * side):
        place = window.relative_to(region)
        rows, in_row = _shares(place.row, place.height, side)
        cols, in_col = _shares(place.col, place.width, side)
        covered[rows, cols] += np.outer(in_row, in_col)
    cells = {}
    for row, col in np.argwhere(covered).tolist():
        cell = Window(col * side, row * side, side, side).intersection(
            Window(0, 0, region.width, region.height)
        )
        assert cell is not None
        pixels = int(covered[row, col]) if selected is None else selected.count(in_scene(cell, region))
        if pixels:
            cells[cell] = pixels
    return cells


def _shares(first: int, count: int, side: int) -> tuple[slice, NDArray[np.int64]]:
    """The cells along one side that a window touches, and how many of its pixels lie in each."""
    cells = slice(first // side, (first + count - 1) // side + 1)
    edges = np.arange(cells.start, cells.stop + 1) * side
    return cells, np.diff(edges.clip(first, first + count))


def in_scene(cell: Window, region: Window) -> Window:
    """A cell counted from the corner of the scene."""
    return cell._replace(col=cell.col + region.col, row=cell.row + region.row)


def cell_name(cell: Window) -> str:
    """What the files of a cell are called: its upper row and left column in the output."""
    return f"{cell.row}-{cell.col}"
