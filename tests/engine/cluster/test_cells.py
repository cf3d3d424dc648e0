"""Cells are whole shards, each pixel of the scene lies in one, and a large scene is planned fast."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pytest
from made_up import CRS, ORIGIN

from tessera_engine.cluster.cells import SIDE, plan_cells, side_for
from tessera_engine.scene import Grid, Window


class Strips:
    """A reader of a large scene: rows that fit, as a tile gives them; or squares, as products do."""

    def __init__(self, width, height, squares=False, covers=None):
        self.grid, self.squares, self.covers = Grid(width, height, CRS, ORIGIN), squares, covers

    def windows(self, region, most):
        side = 1 << (most.bit_length() - 1) // 2
        size = (side, side) if self.squares else (min(region.width, most), max(1, most // region.width))
        for window in region.blocks(*size):
            if self.covers is None or window.intersection(self.covers):
                yield window


@dataclass
class Plan:
    reader: Strips
    region: Window
    selected: object = None

    @property
    def scene(self):
        return self


def plan(width, height, **how):
    reader = Strips(width, height, **how)
    return Plan(reader, reader.grid.window)


@pytest.mark.parametrize("squares", [False, True])
def test_cells_cover_every_pixel_once(squares):
    cells = plan_cells(plan(2500, 1300, squares=squares), 1024)
    count = np.zeros((1300, 2500), int)
    for cell in cells:
        count[cell.row : cell.row + cell.height, cell.col : cell.col + cell.width] += 1
    assert (count == 1).all()
    assert cells == {cell: cell.pixels for cell in cells}
    assert all(cell.col % 512 == 0 and cell.row % 512 == 0 for cell in cells)


def test_cells_without_data_are_left_out_and_a_part_of_a_scene_begins_its_own():
    made = plan(5000, 5000, squares=True, covers=Window(4000, 100, 50, 50))
    assert list(plan_cells(made, 1024)) == [Window(3072, 0, 1024, 1024)]
    made.region = Window(3990, 90, 700, 700)
    assert list(plan_cells(made, 512)) == [Window(0, 0, 512, 512)]


def test_few_cells_for_the_workers_are_smaller():
    made = plan(4096, 4096)
    assert (side_for(made, 512, 4), side_for(made, 512, 5)) == (SIDE, 512)


@pytest.mark.parametrize("squares", [False, True])
def test_twenty_thousand_cells_are_planned_in_seconds(squares):
    begun = time.process_time()
    assert len(plan_cells(plan(142 * 1024, 142 * 1024, squares=squares), 1024)) == 142**2 > 20_000
    assert time.process_time() - begun < 10
