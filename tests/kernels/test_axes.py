"""Principal axes against NumPy's, and with the same bits for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from tessera_kernels.axes import principal_axes, turn
from tessera_kernels.threads import get_threads, set_threads


@pytest.mark.parametrize("dim", [1, 2, 17, 64])
def test_axes_and_variances_are_those_of_the_covariance(dim):
    rng = np.random.default_rng(dim)
    vectors = (rng.normal(size=(300, dim)) @ rng.normal(size=(dim, dim)) + 5).astype(np.float32)
    variances, axes = principal_axes(vectors)
    expected = np.cov(vectors.T.astype(np.float64), bias=True).reshape(dim, dim)
    np.testing.assert_allclose(axes @ axes.T, np.eye(dim), atol=1e-9)
    np.testing.assert_allclose(
        axes.T @ (variances[:, np.newaxis] * axes), expected, atol=1e-7 * expected.max()
    )
    assert (np.diff(variances) <= 0).all()


@pytest.mark.parametrize(("count", "dim"), [(1, 3), (6, 1), (9, 8), (14, 9)])
def test_axes_have_the_same_bits_for_any_number_of_threads(count, dim):
    vectors = np.random.default_rng(3).normal(3, 1, (count, dim)).astype(np.float32)
    before, found = get_threads(), set()
    try:
        for threads in (1, 2, 3, 8):
            set_threads(threads)
            found.add(b"".join(each.tobytes() for each in principal_axes(vectors)))
    finally:
        set_threads(before)
    assert len(found) == 1


def test_vectors_that_do_not_differ_have_no_variance():
    variances, axes = principal_axes(np.ones((4, 3), np.float32))
    assert variances.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(axes, np.eye(3))


@pytest.mark.parametrize("dim", [1, 4, 7])
def test_turning_is_the_product_with_any_number_of_threads(dim):
    rng = np.random.default_rng(0)
    vectors, matrix = (rng.integers(-9, 9, size).astype(np.float32) for size in ((11, dim), (dim, 5)))
    before, found = get_threads(), []
    try:
        for threads in (1, 3):
            set_threads(threads)
            found.append(turn(vectors, matrix))
    finally:
        set_threads(before)
    for each in found:
        np.testing.assert_array_equal(each, vectors @ matrix)
    np.testing.assert_array_equal(turn(vectors[3:4], matrix), found[0][3:4])
    with pytest.raises(ValueError, match="don't fit"):
        turn(vectors, matrix[1:])
