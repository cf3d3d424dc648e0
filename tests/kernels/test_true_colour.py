"""The clear median against its naive twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from naive import naive_clear_median

from tessera_kernels.true_colour import clear_median

shapes = st.tuples(st.integers(0, 9), st.integers(1, 5))


@given(shapes.flatmap(lambda shape: st.tuples(
    hnp.arrays(np.uint16, (*shape, 10), elements=st.integers(0, 65535)),
    hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 255])),
)))  # fmt: skip
@settings(max_examples=100)
def test_it_equals_the_naive_twin(observations):
    s2, valid = observations
    found = clear_median(s2, valid, (0, 2, 1))
    assert (found.dtype, found.shape) == (np.uint16, (s2.shape[1], 3))
    np.testing.assert_array_equal(found, naive_clear_median(s2, valid, (0, 2, 1)))
