"""Blocks of windows: the same pixels, each block read once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from made_up import FakeReader, made_up_arrays

from tessera_engine.scene import Window
from tessera_engine.scenes.reading.blocks import BlockReader, cells

HEIGHT, WIDTH = 21, 17
ARRAYS = made_up_arrays(HEIGHT, WIDTH, steps=3)

regions = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1)).flatmap(
    lambda corner: st.builds(
        Window, *map(st.just, corner), st.integers(1, WIDTH - corner[0]), st.integers(1, HEIGHT - corner[1])
    )
)
anchors = st.tuples(st.integers(-30, 30), st.integers(-30, 30))


sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(regions, sizes, anchors)
def test_cells_cover_a_region_once_and_begin_at_the_anchor(region, size, anchor):
    seen = np.zeros((HEIGHT, WIDTH), int)
    for cell in cells(region, size, anchor):
        seen[cell.row : cell.row + cell.height, cell.col : cell.col + cell.width] += 1
        assert (cell.col - anchor[0]) // size[0] == (cell.col + cell.width - 1 - anchor[0]) // size[0]
        assert (cell.row - anchor[1]) // size[1] == (cell.row + cell.height - 1 - anchor[1]) // size[1]
    wanted = np.zeros((HEIGHT, WIDTH), int)
    wanted[region.row : region.row + region.height, region.col : region.col + region.width] = 1
    np.testing.assert_array_equal(seen, wanted)


def assert_same(found, wanted):
    for name, value in vars(wanted).items():
        np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


@given(regions, sizes, st.integers(1, 3), anchors)
def test_windows_of_a_block_are_parts_of_one_read(region, size, times, anchor):
    source = FakeReader(ARRAYS)
    reader = BlockReader(source.read, anchor)
    blocks = list(reader.plan(region, (size[0] * times, size[1] * times)))
    for block in blocks:
        for window in cells(block, size, anchor):
            assert_same(reader.read(window), FakeReader(ARRAYS).read(window))
    assert source.windows_read == blocks


@given(regions, regions)
def test_any_other_window_is_read_as_it_is(planned, window):
    source = FakeReader(ARRAYS)
    reader = BlockReader(source.read, (0, 0))
    assert_same(reader.read(window), FakeReader(ARRAYS).read(window))
    list(reader.plan(planned, (4, 4)))
    assert_same(reader.read(window), FakeReader(ARRAYS).read(window))
