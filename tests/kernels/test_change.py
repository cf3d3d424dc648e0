"""Change over codes and floats against its naive twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from naive import naive_distances, naive_moments

from tessera_kernels.change import CHUNK, distances, moments


@st.composite
def vectors(draw, pixels, dim):
    """Codes with scales, or floats with the scale 1; some without data."""
    some = st.sampled_from([0.5, 0.0625, float("inf"), float("nan")])
    if draw(st.booleans()):
        codes = draw(hnp.arrays(np.int8, (pixels, dim), elements=st.integers(-128, 127)))
        return codes, draw(hnp.arrays(np.float32, pixels, elements=some))
    floats = draw(hnp.arrays(np.float32, (pixels, dim), elements=st.floats(-100, 100, width=16)))
    missing = draw(hnp.arrays(np.bool_, pixels))
    floats[missing] = np.nan
    return floats, np.where(missing, np.float32(np.nan), np.float32(1))


@st.composite
def cases(draw):
    pixels, dim = draw(st.integers(0, 6)), draw(st.sampled_from([1, 7, 16, 128]))
    return (*draw(vectors(pixels, dim)), *draw(vectors(pixels, dim)))


@given(cases(), st.integers(0, 9))
@settings(max_examples=80)
def test_they_equal_their_naive_twins(case, seed):
    found, expected = moments(*case), naive_moments(*case)
    assert found.pixels == expected[0]
    for one, other in zip((found.before, found.after, found.squares), expected[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-9)
    shift = np.random.default_rng(seed).normal(size=case[0].shape[1]).astype(np.float32)
    distant = distances(*case, shift)
    assert distant.dtype == np.float32
    np.testing.assert_allclose(distant, naive_distances(*case, shift), rtol=1e-5, atol=1e-5)


def test_sums_do_not_depend_on_threads_or_on_the_order_of_pixels():
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (2, 2 * CHUNK + 5, 3)).astype(np.int8)
    scales = rng.random((2, 2 * CHUNK + 5)).astype(np.float32)
    scales[0, ::7] = np.nan
    case = codes[0], scales[0], codes[1], scales[1]
    found, expected = moments(*case), naive_moments(*case)
    assert found.pixels == expected[0]
    np.testing.assert_allclose(found.before, expected[1], rtol=1e-9)
    order = rng.permutation(len(scales[0]))
    parts = [
        moments(codes[0, part], scales[0, part], codes[1, part], scales[1, part])
        for part in (order[:1000], order[1000:7000], order[7000:])
    ]
    again = parts[2].plus(parts[0]).plus(parts[1])
    for name in ("pixels", "before", "after", "squares"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name), err_msg=name)


def test_what_has_not_moved_has_no_distance():
    codes, scales = np.full((3, 8), 5, np.int8), np.full(3, 0.1, np.float32)
    np.testing.assert_array_equal(distances(codes, scales, codes, scales, np.zeros(8, np.float32)), 0)


@pytest.mark.parametrize(
    ("before", "scales", "after", "shift"),
    [((4, 8), 4, (4, 9), 8), ((4, 8), 3, (4, 8), 8), ((4, 8), 4, (4, 8), 7), ((4, 8), 4, (5, 8), 8)],
)
def test_what_does_not_go_together_is_refused(before, scales, after, shift):
    one, other = np.ones(before, np.int8), np.ones(after, np.int8)
    with pytest.raises(ValueError, match=r"\(4, 8\)"):
        distances(one, np.ones(scales, np.float32), other, np.ones(len(other), np.float32), np.ones(shift))
