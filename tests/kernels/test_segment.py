"""Edges, merging and sums equal their plain twins; windows of any shape give the same."""

from __future__ import annotations

import math

import naive_segments
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera_kernels.segment import NONE, add, edges, merge

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def vectors(seed, height, width, dim=5):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(height, width, dim)).astype(np.float32)
    values[rng.random((height, width)) < 0.1] = np.nan
    values[rng.random((height, width)) < 0.05] = 0
    return values


@given(st.integers(0, 10_000), SHAPES)
def test_edges_equal_the_plain_ones(seed, shape):
    values = vectors(seed, shape[0] + 1, shape[1])
    right, down = edges(values)
    for r, c in np.ndindex(*shape):
        below = naive_segments.edge(values[r, c], values[r + 1, c])
        beside = naive_segments.edge(values[r, c], values[r, c + 1]) if c + 1 < shape[1] else NONE
        # A rounding may fall on either side
        assert abs(int(down[r, c]) - below) <= 1
        assert abs(int(right[r, c]) - beside) <= 1
        assert (down[r, c] == NONE) == (below == NONE)


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_edges_do_not_depend_on_the_strips(seed, rows):
    values = vectors(seed, 10, 7, 19)
    whole = edges(values)
    for top in range(0, 9, rows):
        part = edges(values[top : min(top + rows, 9) + 1])
        for all_of_it, strip in zip(whole, part, strict=True):
            np.testing.assert_array_equal(all_of_it[top : top + rows], strip)


@settings(deadline=None)
@given(st.integers(0, 10_000), SHAPES, st.sampled_from([0.0, 5.0, 60.0, 1000.0]), st.integers(1, 7))
def test_merging_equals_the_plain_one(seed, shape, allowance, least):
    rng = np.random.default_rng(seed)
    right, down = rng.choice([0, 3, 3, 7, 20, 90, 254, NONE], (2, *shape)).astype(np.uint8)
    found = merge(right, down, allowance, least)
    np.testing.assert_array_equal(found, naive_segments.merge(right, down, allowance, least))


def test_merging_of_many_strengths_equals_the_plain_one():
    right, down = np.random.default_rng(3).integers(0, 256, (2, 48, 64)).astype(np.uint8)
    found = merge(right, down, 300.0, 6)
    np.testing.assert_array_equal(found, naive_segments.merge(right, down, 300.0, 6))
    assert 20 < len(np.unique(found)) < 48 * 64 / 6


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 5), st.integers(0, 4))
def test_sums_are_exact_whatever_the_windows_and_their_order(seed, rows, cols, size):
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.integers(-size, size, (6, 5, 3), endpoint=True)
    values = (rng.normal(size=sizes.shape) * sizes).astype(np.float32)
    labels = rng.integers(-1, 4, (6, 5)).astype(np.int32)
    sums, counts = np.zeros((2, 4, 3)), np.zeros(4, np.int64)
    corners = [(top, left) for top in range(0, 6, rows) for left in range(0, 5, cols)]
    for top, left in rng.permutation(corners):
        part = slice(top, top + rows), slice(left, left + cols)
        add(labels[part], values[part], sums, counts)
    for label in range(4):
        here = values[labels == label].astype(np.float64)
        np.testing.assert_array_equal(sums.sum(axis=0)[label], [math.fsum(column) for column in here.T])
    np.testing.assert_array_equal(counts, [(labels == label).sum() for label in range(4)])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="two rows"):
        edges(np.zeros((1, 3, 2), np.float32))
    with pytest.raises(ValueError, match="shapes"):
        merge(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 1.0, 1)
    with pytest.raises(ValueError, match="label is 4"):
        add(
            np.full((1, 1), 4, np.int32),
            np.zeros((1, 1, 2), np.float32),
            np.zeros((2, 4, 2)),
            np.zeros(4, np.int64),
        )
    with pytest.raises(ValueError, match="fit"):
        add(
            np.zeros((1, 2), np.int32),
            np.zeros((1, 1, 2), np.float32),
            np.zeros((2, 4, 2)),
            np.zeros(4, np.int64),
        )
