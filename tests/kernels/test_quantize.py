"""The int8 codes against their naive twin."""

from __future__ import annotations

import numpy as np
import pytest
from hard_embeddings import hard_embeddings, rounded_divisions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from naive import naive_codes

from tessera_kernels.quantize import NODATA_CODE, quantize, restore

finite = st.floats(-(2.0**100), 2.0**100, width=32)


embeddings = hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 130)), elements=finite)
tiny = hnp.arrays(np.float32, (3, 16), elements=st.floats(-(2.0**-20), 2.0**-20, width=32))


@given(embeddings | tiny, st.sampled_from([("v2", 1e-12), ("v1.1", 1e-8), ("v1.0", 1e-8)]))
@settings(max_examples=100)
def test_codes_equal_the_naive_twin(embedding, rule):
    generation, smallest = rule
    codes, scales = quantize(embedding, generation)
    assert codes.dtype == np.int8
    assert scales.dtype == np.float32
    for row, code, scale in zip(embedding, codes, scales, strict=True):
        twin_code, twin_scale = naive_codes(row, smallest)
        np.testing.assert_array_equal(code, twin_code)
        assert scale == twin_scale
        # v1.1's rule clips at -128; the code that stands for nodata never comes out
        wide = np.clip(np.rint(row / scale), -128, 127)
        np.testing.assert_array_equal(code, wide)
        assert code.min() > NODATA_CODE


@given(hnp.arrays(np.float32, (3, 16), elements=st.floats(-100, 100, width=32)))
@settings(max_examples=50)
def test_dequantised_values_are_within_half_a_step(embedding):
    codes, scales = quantize(embedding)
    error = np.abs(codes * scales[:, None] - embedding)
    assert (error <= scales[:, None] * 0.5 * (1 + 1e-5) + 1e-12).all()


@given(embeddings, st.data())
@settings(max_examples=30)
def test_restored_rows_are_codes_times_scales(embedding, data):
    codes, scales = quantize(embedding)
    number = st.integers(0, max(len(codes) - 1, 0))
    rows = np.array(data.draw(st.lists(number, max_size=7 if len(codes) else 0)), np.int64)
    found = restore(codes, scales, rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, codes[rows] * scales[rows, None])


def test_a_restored_row_without_data_is_nan():
    codes = np.array([[1, 2], [NODATA_CODE, NODATA_CODE]], np.int8)
    found = restore(codes, np.array([0.5, np.nan], np.float32), np.array([1, 0, 1]))
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [0.5, 1], [np.nan, np.nan]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_nodata(bad):
    embedding = np.ones((3, 8), np.float32)
    embedding[1, 5] = bad
    codes, scales = quantize(embedding)
    assert (codes[1] == NODATA_CODE).all()
    assert np.isnan(scales[1])
    assert (codes[[0, 2]] == 127).all()
    assert np.isfinite(scales[[0, 2]]).all()


def test_halves_round_to_even():
    row = np.array([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]], np.float32)
    codes, scales = quantize(row)
    assert scales[0] == 1.0
    assert codes.tolist() == [[127, 0, 2, 2, 0, -2]]


def test_ties_rounded_divisions_and_the_smallest_numbers_equal_the_naive_twin():
    for rows in (hard_embeddings(), hard_embeddings()[:, :16]):
        codes, scales = quantize(rows)
        for row, code, scale in zip(rows, codes, scales, strict=True):
            twin_code, twin_scale = naive_codes(row)
            np.testing.assert_array_equal(code, twin_code)
            assert scale == twin_scale


def test_the_divisions_that_round_would_show_another_arithmetic():
    """Otherwise they would prove nothing where devices are compared with this."""
    for row in (rounded_divisions(seed) for seed in range(6)):
        codes, scales = quantize(row[None])
        exact = np.rint(row.astype(np.float64) / np.float64(scales[0]))
        assert (codes[0] != exact).sum() > 60
    assert (codes[0] == np.rint(row / scales[0])).all()
