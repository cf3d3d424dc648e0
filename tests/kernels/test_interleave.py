"""Bands become pixels."""

from __future__ import annotations

import numpy as np
import pytest

from tessera_kernels.interleave import interleave


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
@pytest.mark.parametrize("shape", [(1, 1, 1), (128, 7, 9), (16, 1, 65), (3, 64, 1), (5, 8, 16)])
def test_each_value_is_where_it_belongs(dtype, shape):
    bands = np.random.default_rng(0).integers(-128, 128, shape).astype(dtype)
    found = interleave(bands)
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, np.moveaxis(bands, 0, 2))
    np.testing.assert_array_equal(interleave(bands[:, ::-1]), np.moveaxis(bands[:, ::-1], 0, 2))
    # A part of the bands, into a part of an array
    some = np.zeros((*shape[1:], shape[0] + 3), dtype)
    assert interleave(bands, some[..., 1 : shape[0] + 1]).base is some
    np.testing.assert_array_equal(some[..., 1 : shape[0] + 1], found)
    assert not some[..., [0, -2, -1]].any()
