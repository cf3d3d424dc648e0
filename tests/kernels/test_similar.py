"""Similarity over int8 codes against its naive twin: equal to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from naive import naive_most_similar

from tessera_kernels.similar import MAX_DIM, most_similar

codes_of = st.integers(-127, 127)


@st.composite
def cases(draw):
    dim = draw(st.sampled_from([1, 7, 16, 33, 128]))
    codes = draw(hnp.arrays(np.int8, (draw(st.integers(0, 6)), dim), elements=codes_of))
    queries = draw(hnp.arrays(np.int8, (draw(st.integers(1, 3)), dim), elements=codes_of))
    queries[:, 0] = draw(st.integers(1, 127))
    some = st.sampled_from([0.5, 2.0, float("inf"), float("nan")])
    scales = draw(hnp.arrays(np.float32, len(codes), elements=some))
    return codes, scales, queries


@given(cases())
@settings(max_examples=100)
def test_it_equals_the_naive_twin(case):
    found = most_similar(*case)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, naive_most_similar(*case))


def test_the_largest_sums_are_exact():
    codes = np.full((3, MAX_DIM), 127, np.int8)
    codes[1, 0] = 126
    codes[2] = -127
    scales = np.ones(3, np.float32)
    found = most_similar(codes, scales, codes[:1])
    np.testing.assert_array_equal(found, naive_most_similar(codes, scales, codes[:1]))
    assert found[0] == 1
    assert found[2] == -1


def test_a_vector_of_zeros_is_like_nothing():
    codes = np.zeros((1, 16), np.int8)
    assert most_similar(codes, np.ones(1, np.float32), np.ones((2, 16), np.int8)) == [0]


@pytest.mark.parametrize(
    ("codes", "scales", "queries"),
    [((4, 8), (4,), (1, 9)), ((4, 8), (3,), (1, 8)), ((4, 8), (4,), (0, 8)), ((4, 1025), (4,), (1, 1025))],
)
def test_what_does_not_go_together_is_refused(codes, scales, queries):
    with pytest.raises(ValueError, match=r"codes \(|at least one"):
        most_similar(np.ones(codes, np.int8), np.ones(scales, np.float32), np.ones(queries, np.int8))
    with pytest.raises(ValueError, match="none all zero"):
        most_similar(np.ones((4, 8), np.int8), np.ones(4, np.float32), np.zeros((1, 8), np.int8))
