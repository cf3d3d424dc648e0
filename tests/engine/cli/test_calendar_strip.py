"""The year in one line: every date in its month, and what was seen on it."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import FakeReader, made_up_arrays

from tessera_engine.cli.pages.calendar_strip import BLOCKS, HEADER, strip, valid_shares

LEAP_DAYS = [date(2024, 1, 1) + timedelta(days=i) for i in range(366)]


@given(st.integers(1, 366), st.floats(0, 1), st.booleans())
def test_a_date_lies_under_its_month(day, share, blocks):
    line = strip({day: share}, blocks)
    assert len(line) == len(HEADER) == 72
    (at,) = [i for i, sign in enumerate(line) if sign != " "]
    when = LEAP_DAYS[day - 1]
    assert at // 6 == when.month - 1
    assert HEADER[at // 6 * 6] == when.strftime("%B")[0]
    assert at % 6 == min((when.day - 1) // 5, 5)


@given(st.dictionaries(st.integers(1, 366), st.floats(0, 1), max_size=20))
def test_signs_rise_with_the_best_date_of_five_days(shares):
    rank = {sign: i for i, sign in enumerate(" ·" + BLOCKS)}
    line = strip(shares, blocks=True)
    digits = strip(shares, blocks=False)
    for sign, digit in zip(line, digits, strict=True):
        assert (sign == " ") == (digit == " ")
        if sign != " ":
            assert rank[sign] - 1 == int(digit)
    one = {day: max(shares.values()) for day in list(shares)[:1]}
    assert max((rank[sign] for sign in line), default=0) == max(
        (rank[s] for s in strip(one, True)), default=0
    )


@pytest.mark.parametrize(("share", "sign"), [(0, "·"), (1e-6, "▁"), (0.5, "▄"), (0.99, "█"), (1, "█")])
def test_anything_seen_is_more_than_nothing(share, sign):
    assert strip({1: share}, blocks=True)[0] == sign


def test_shares_are_those_of_the_masks_and_of_what_is_not_zero():
    arrays = made_up_arrays()
    arrays["sar_ascending"][:, :, :, 0] = 0  # VH alone is valid too
    arrays["sar_descending"] = arrays["sar_descending"][:0]
    arrays["sar_descending_doy"] = arrays["sar_descending_doy"][:0]
    reader = FakeReader(arrays)
    shares = valid_shares(reader.read(reader.grid.window))
    for date_, day in enumerate(arrays["doys"].tolist()):
        assert shares["s2"][day] == np.mean(arrays["masks"][date_] == 1)
    valid = (arrays["sar_ascending"] != 0).any(axis=3).mean(axis=(1, 2))
    for day in set(arrays["sar_ascending_doy"].tolist()):
        assert shares["s1_ascending"][day] == valid[arrays["sar_ascending_doy"] == day].max()
    assert shares["s1_descending"] == {}
