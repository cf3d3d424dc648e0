"""The quality of pixels against its naive twin."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from naive import naive_quality

from tessera_kernels.quality import Seen, quality

FIRST = date(2023, 11, 5)


@st.composite
def observations(draw):
    length = draw(st.integers(1, 366))
    pixels = draw(st.integers(1, 4))
    days = sorted(draw(st.lists(st.integers(0, length - 1), max_size=12)))  # two observations of a day too
    valid = draw(hnp.arrays(np.uint8, (len(days), pixels), elements=st.sampled_from([0, 0, 1, 2, 255])))
    codes = st.sampled_from([0, 0, 7])
    orbits = [
        draw(hnp.arrays(np.int16, (draw(st.integers(0, 3)), pixels, 2), elements=codes)) for _ in range(2)
    ]
    return length, [FIRST + timedelta(days=n) for n in days], valid, orbits


@given(observations(), st.integers(0, 5))
@settings(max_examples=200)
def test_it_equals_the_naive_twin(found, min_clear):
    length, days, valid, orbits = found
    last = FIRST + timedelta(days=length - 1)
    seen = Seen(
        valid,
        np.array([day.toordinal() for day in days], np.int32),
        np.array([12 * day.year + day.month for day in days], np.int32),
    )
    measured = quality(seen, *orbits, (FIRST.toordinal(), last.toordinal()), min_clear)
    np.testing.assert_array_equal(measured, naive_quality(valid, days, orbits, (FIRST, last), min_clear))


def test_a_year_by_hand():
    days = [date(2024, 1, 1), date(2024, 1, 31), date(2024, 7, 1), date(2024, 12, 31)]
    valid = np.array([[1, 2, 0], [1, 2, 0], [1, 0, 0], [1, 1, 0]], np.uint8)
    seen = Seen(
        valid,
        np.array([day.toordinal() for day in days], np.int32),
        np.array([day.month for day in days], np.int32),
    )
    radar, nothing = np.zeros((3, 3, 2), np.int16), np.zeros((0, 3, 2), np.int16)
    radar[:2, 2, 1] = 5
    year = date(2024, 1, 1).toordinal(), date(2024, 12, 31).toordinal()
    assert quality(seen, radar, nothing, year, 4).tolist() == [
        [4, 0, 0, 3, 182, 1],
        [3, 0, 0, 2, 334, 2],
        [0, 2, 0, 0, 366, 2],
    ]
    assert quality(seen, nothing, nothing, year, 0)[:, 5].tolist() == [1, 3, 4]
