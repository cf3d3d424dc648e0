"""Pixels in tiles: nothing lost, nothing shared, every pixel begins with a group; and as the naive twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from naive_tiles import naive_tiles

from tessera_kernels.tiles import GROUP, fill_tiles

lengths = st.lists(st.integers(1, 128), min_size=1, max_size=60)


@given(lengths, st.sampled_from([128, 256]), st.data())
def test_every_token_lies_in_one_place(lengths, rows, data):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    pixels = np.array(sorted(data.draw(st.sets(st.integers(0, len(lengths) - 1), min_size=1))))
    tiles = fill_tiles(offsets, pixels, rows)
    seen = {}
    for (first, count, begin), place in zip(tiles.groups, tiles.place, strict=True):
        for group in range(rows // GROUP):
            pixel = place[begin[group]]
            if not count[group]:
                assert begin[group] == group
                assert place[group] == -1
                continue
            for token in range(first[group], first[group] + count[group]):
                assert token not in seen
                seen[token] = pixel
    expected = {token: pixel for pixel in pixels for token in range(offsets[pixel], offsets[pixel + 1])}
    assert seen == expected


@given(lengths)
def test_tiles_are_those_of_the_naive_twin(lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    pixels = np.arange(len(lengths))
    tiles, (groups, place) = fill_tiles(offsets, pixels, 128), naive_tiles(offsets, pixels, 128)
    np.testing.assert_array_equal(tiles.groups, groups)
    np.testing.assert_array_equal(tiles.place, place)


def test_pixels_share_tiles():
    offsets = np.concatenate([[0], np.cumsum(np.tile([48, 80], 50))])
    assert len(fill_tiles(offsets, np.arange(100), 128).place) == 50
