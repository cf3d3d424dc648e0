"""Kernels that lay products over each other, code and resample them, against their naive twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from naive_rasters import (
    naive_bilinear,
    naive_clear,
    naive_code,
    naive_first_clear,
    naive_nearest,
    naive_power,
)

from tessera_kernels import resample, sar, scl

SHAPE = (3, 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_clear_classes_equal_the_naive_twin(dtype):
    values = np.arange(-3 if dtype == np.int16 else 0, 256).astype(dtype).reshape(1, -1)
    wanted = [naive_clear(int(value)) for value in values[0]]
    np.testing.assert_array_equal(scl.clear_classes(values)[0], wanted)


digital_number = st.sampled_from([0, 0, 1, 999, 1000, 1001, 5000, 65535])
product = st.tuples(
    hnp.arrays(np.uint16, (2, *SHAPE), elements=digital_number),
    hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 1)),
    st.sampled_from([0, 1000]),
)


@given(st.lists(product, min_size=1, max_size=3))
@settings(max_examples=100)
def test_the_first_clear_product_wins_as_in_the_naive_twin(products):
    out, valid = np.zeros((*SHAPE, 2), np.uint16), np.zeros(SHAPE, np.uint8)
    for bands, clear, offset in products:
        scl.place(bands, clear, offset, out, valid)
    wanted, wanted_valid = naive_first_clear(products)
    np.testing.assert_array_equal(valid, wanted_valid)
    np.testing.assert_array_equal(out[valid != 0], wanted[valid != 0])


@given(
    hnp.arrays(
        np.float32,
        SHAPE,
        elements=st.floats(-80, 40, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 0]),
    ),
    st.sampled_from(sar.UNITS),
)
@settings(max_examples=200)
def test_codes_and_powers_equal_the_naive_twin(values, units):
    wanted = [naive_code(float(value), units) for value in values.ravel()]
    np.testing.assert_array_equal(sar.to_codes(values, units).ravel(), wanted)
    wanted = [naive_power(float(value), units) for value in values.ravel()]
    np.testing.assert_allclose(sar.to_power(values, units).ravel(), np.float32(wanted), rtol=1e-6)


def test_units_of_the_same_backscatter_agree():
    power = np.geomspace(1e-3, 10, 50)[None]
    codes = sar.to_codes(power, "power")
    assert (
        abs(sar.to_codes(np.sqrt(power), "amplitude").astype(int) - codes).max() <= 1
    )  # a last bit before trunc
    assert abs(sar.to_codes(10 * np.log10(power), "db").astype(int) - codes).max() <= 1
    np.testing.assert_array_equal(sar.to_codes(np.array([[0.1, 1.0]]), "power"), [[6000, 10000]])  # by hand
    np.testing.assert_allclose(sar.to_power(codes, "code"), np.where(codes > 0, power, 0), rtol=1e-3)


def test_the_first_radar_product_with_a_value_wins():
    out = np.zeros((1, 4, 2), np.int16)
    sar.place(np.array([[[1, 0, 0, 0]], [[0, 2, 0, 0]]], np.int16), out)
    sar.place(np.array([[[5, 5, 5, 0]], [[5, 5, 5, 0]]], np.int16), out)
    np.testing.assert_array_equal(out[0], [[1, 0], [0, 2], [5, 5], [0, 0]])


@given(
    hnp.arrays(np.uint16, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.integers(0, 3)),
    hnp.arrays(np.float64, (2, 5), elements=st.floats(-2, 6)),
    hnp.arrays(np.float64, (2, 5), elements=st.floats(-2, 6)),
)
@settings(max_examples=200)
def test_resampling_equals_the_naive_twin(source, x, y):
    to_pixel = (1.0, 0.0, 0.25, 0.0, -1.0, 3.0)
    points = [(px + 0.25, 3.0 - py) for px, py in zip(x.ravel(), y.ravel(), strict=True)]
    found = resample.bilinear(source, x, y, to_pixel).ravel()
    np.testing.assert_allclose(
        found, [naive_bilinear(source, *point) for point in points], rtol=1e-5, atol=1e-9
    )
    found = resample.nearest(source, x, y, to_pixel).ravel()
    np.testing.assert_array_equal(found, [naive_nearest(source, *point) for point in points])


def test_between_four_values_the_mean_equals_the_naive_twin_to_the_bit():
    rng = np.random.default_rng(0)
    source, x, y = rng.integers(1, 65536, (6, 7)).astype(np.uint16), *rng.uniform(0, 6, (2, 9, 9))
    found = resample.bilinear(source, x, y, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)).ravel()
    wanted = [naive_bilinear(source, *point) for point in zip(x.ravel(), y.ravel(), strict=True)]
    np.testing.assert_array_equal(found, np.float32(wanted))


def test_a_point_that_is_nowhere_is_missing():
    nowhere = np.array([[np.inf, np.nan]])
    assert not resample.bilinear(np.ones((2, 2), np.uint16), nowhere, nowhere, (1, 0, 0, 0, 1, 0)).any()
    assert not resample.nearest(np.ones((2, 2), np.uint16), nowhere, nowhere, (1, 0, 0, 0, 1, 0)).any()
