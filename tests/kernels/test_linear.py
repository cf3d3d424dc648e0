"""The classes of vectors: as the plain twin finds them, for codes and float32."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_classes import naive_classify

from tessera_kernels.linear import BLOCK, classify
from tessera_kernels.threads import get_threads, set_threads


def made_up(seed, pixels, dim, classes, dtype):
    rng = np.random.default_rng(seed)
    if dtype == "int8":
        values = rng.integers(-127, 128, (pixels, dim)).astype(np.int8)
        known = rng.random(pixels).astype(np.float32)
        known[rng.random(pixels) < 0.2] = np.nan
        values[rng.random(pixels) < 0.1] = 0
        values[np.isnan(known)] = -128
    else:
        values = rng.normal(size=(pixels, dim)).astype(np.float32)
        values[rng.random(pixels) < 0.2] = np.nan
        if pixels > 3:
            values[2, dim - 1], values[3, 0] = np.nan, np.inf
            values[1] = 0
        known = values[:, 0].copy()
    weights = rng.normal(size=(classes, dim)).astype(np.float32)
    bias = rng.normal(size=classes).astype(np.float32)
    sure = rng.uniform(0, 2, (classes, classes)).astype(np.float32)
    numbers = rng.permutation(np.arange(1, 255))[:classes].astype(np.uint8)
    return values, known, weights, bias, sure, numbers


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 999),
    st.integers(1, 40),
    st.sampled_from([16, 32, 64, 128]),
    st.integers(1, 12),
    st.sampled_from(["int8", "float32"]),
)
def test_classes_are_those_of_the_plain_twin(seed, pixels, dim, classes, dtype):
    given_ = made_up(seed, pixels, dim, classes, dtype)
    found = classify(*given_)
    wanted, gap = naive_classify(*given_)
    clear = gap > 1e-5  # closer ones are ties in float32
    np.testing.assert_array_equal(found[clear, 0], wanted[clear, 0])
    np.testing.assert_allclose(found[clear, 1], wanted[clear, 1], atol=0.51)
    none = wanted[:, 0] == 0
    np.testing.assert_array_equal(found[:, 0] == 0, none)
    assert not found[none].any()


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_pixel_has_the_same_bits_alone_and_among_others(dtype):
    values, known, *rest = made_up(5, 2 * BLOCK + 7, 128, 8, dtype)
    together = classify(values, known, *rest)
    alone = [classify(values[i : i + 1], known[i : i + 1], *rest)[0] for i in range(len(values))]
    np.testing.assert_array_equal(together, alone)


def test_of_equal_scores_the_first_class_is_chosen():
    values, known, weights, bias, sure, _ = made_up(4, 3 * BLOCK, 32, 3, "int8")
    weights[:], bias[:] = weights[1], bias[1]
    found = classify(values, known, weights, bias, sure + 1, np.array([9, 4, 7], np.uint8))
    np.testing.assert_array_equal(found[:, 0], np.where(np.isfinite(known), 9, 0))
    assert not found[:, 1].any()


def test_threads_change_nothing():
    values = made_up(3, 5000, 64, 7, "int8")
    before = get_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            set_threads(threads)
            found.append(classify(*values))
    finally:
        set_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_one_class_is_everywhere_and_never_sure():
    values, known, *rest = made_up(1, 50, 16, 1, "int8")
    found = classify(values, known, *rest)
    assert set(found[np.isfinite(known), 0]) == {rest[3][0]}
    assert not found[:, 1].any()


def test_shapes_that_disagree_are_refused():
    values, known, weights, bias, sure, numbers = made_up(1, 5, 16, 3, "int8")
    with pytest.raises(ValueError, match="don't fit"):
        classify(values[:, :8], known, weights, bias, sure, numbers)
    with pytest.raises(ValueError, match="don't fit"):
        classify(values, known[:2], weights, bias, sure, numbers)
    with pytest.raises(ValueError, match="0 classes"):
        classify(values, known, weights[:0], bias[:0], sure[:0, :0], numbers[:0])
