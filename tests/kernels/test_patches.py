"""Patches of alike pixels against a plain twin, and with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from naive_vq import naive_patches

from tessera_kernels.patches import BAND, patches
from tessera_kernels.threads import get_threads, set_threads


@pytest.fixture
def threads():
    before = get_threads()
    yield set_threads
    set_threads(before)


@pytest.mark.parametrize("most", [0.0, 2.0, 9.0, 1e6])
@pytest.mark.parametrize("dim", [1, 3, 17])
def test_patches_are_those_of_the_naive_twin(most, dim, threads):
    rng = np.random.default_rng(dim)
    fields = np.repeat(np.repeat(rng.normal(size=(9, 3, dim)), 4, axis=0), 4, axis=1)[: BAND + 3, :11]
    vectors = (2 * fields + 0.5 * rng.normal(size=fields.shape)).astype(np.float32)
    valid = rng.random(vectors.shape[:2]) < 0.9
    expected, means = naive_patches(vectors, valid, most, BAND)
    for count in (1, 2, 3):
        threads(count)
        which, found = patches(vectors, valid, most)
        assert which.dtype == np.int32
        np.testing.assert_array_equal(which, expected)
        np.testing.assert_allclose(found, means, atol=1e-4)


def test_a_patch_stays_near_its_mean_and_does_not_drift_along_a_slope():
    slope = np.arange(40, dtype=np.float32).reshape(1, 40, 1)
    which, means = patches(slope, np.ones((1, 40), bool), 4.0)
    np.testing.assert_array_equal(which[0], np.arange(40) // 4)
    np.testing.assert_array_equal(means[:, 0], np.arange(10) * 4 + 1.5)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (2, 3)])
def test_nothing_valid_is_no_patch(shape):
    which, means = patches(np.full((*shape, 4), np.nan, np.float32), np.zeros(shape, bool), 1.0)
    assert which.shape == shape
    assert (which == -1).all()
    assert means.shape == (0, 4)
