"""Which observations of a scene are used, by their dates."""

from __future__ import annotations

import re
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera_engine.errors import InputError
from tessera_engine.scenes.period import (
    asked_period,
    calendar_year,
    choose_period,
    days_on,
    parse_season,
    within_a_year,
    year_period,
)

days = st.dates(date(2016, 1, 1), date(2025, 12, 31))


def test_a_year_or_two_days():
    assert year_period(2024) == (date(2024, 1, 1), date(2024, 12, 31))
    around_new_year = (date(2023, 10, 1), date(2024, 9, 30))
    assert asked_period(*around_new_year) == around_new_year
    assert asked_period(None, None) is None


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2023-11:2024-06", date(2023, 11, 1), date(2024, 6, 30)),
        ("2023-03:2024-02", date(2023, 3, 1), date(2024, 2, 29)),
        ("2024-02:2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2023-11-15:2024-06-30", date(2023, 11, 15), date(2024, 6, 30)),
        (" 2023-11-15 : 2024-06 ", date(2023, 11, 15), date(2024, 6, 30)),
        ("2024-01:2024-12", date(2024, 1, 1), date(2024, 12, 31)),
    ],
)
def test_a_season_in_months_or_days(text, first, last):
    assert parse_season(text) == (first, last)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((text, "2023-11:2024-06 or 2023-11-15:2024-06-30") for text in (
            "2023-11", "2023-11..2024-06", "2023/11:2024/06", "2023-13:2024-06", "2023-11-31:2024-06", "", ":",
            "2023-11:2024-06:2024-07", "11-2023:06-2024", "2023:2024", "0000-01:0000-02",
        )),
        ("2024-06:2023-11", "2024-06:2023-11.* before it begins"),
        ("2023-06:2024-06", "12 months.*2024-05-31"),
    ],
)  # fmt: skip
def test_a_season_that_is_none_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_season(text)


def test_which_periods_are_calendar_years():
    assert calendar_year(year_period(2024)) == 2024
    for season in ("2023-07:2024-06", "2024-01:2024-11", "2024-01-02:2024-12"):
        assert calendar_year(parse_season(season)) is None


@given(days, st.lists(st.integers(0, 363), min_size=1))
def test_days_of_year_fall_on_the_first_days_that_have_them(first, after):
    wanted = [first + timedelta(days=n) for n in after]
    doys = np.array([day.timetuple().tm_yday for day in wanted], np.int32)
    found = [date.fromordinal(int(day)) for day in days_on(doys, first)]
    for day, doy, expected in zip(found, doys, wanted, strict=True):
        # 29 February of the next year has the day of year of 1 March of this one
        assert day == expected or (day.timetuple().tm_yday == doy and first <= day < expected)
    no_leap_day = [day for day in wanted if (day.month, day.day) != (2, 29) or day.year == first.year]
    assert {*no_leap_day} <= {*found}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((date(2024, 1, 1), None), r"start= and end="),
        ((None, date(2024, 1, 1)), r"start= and end="),
        ((date(2024, 1, 2), date(2024, 1, 1)), "start=2024-01-02 .*end=2024-01-01"),
        (
            (date(2023, 10, 1), date(2024, 10, 1)),
            "start=2023-10-01 .*end=2024-10-01 .*12 months.* 2024-09-30",
        ),
    ],
)
def test_a_period_that_makes_no_sense_is_refused(asked, message):
    with pytest.raises(InputError, match=message):
        asked_period(*asked)
    with pytest.raises(InputError, match="year=0 "):
        year_period(0)


def test_twelve_months_around_a_leap_day():
    assert within_a_year(date(2024, 2, 29), date(2025, 2, 28))
    assert not within_a_year(date(2024, 2, 29), date(2025, 3, 1))
    assert within_a_year(date(2023, 3, 1), date(2024, 2, 29))


def test_observations_within_twelve_months_are_all_used():
    s2 = [date(2023, 12, 1), date(2024, 11, 30)]
    assert choose_period(s2, [], None) == ((s2[0], s2[1]), None)


def test_the_year_with_most_s2_dates_is_used_with_a_warning():
    s2 = [
        date(2022, 5, 1),
        date(2022, 6, 1),
        date(2022, 6, 1),
        date(2023, 5, 1),
        date(2023, 6, 1),
        date(2024, 1, 1),
    ]
    s1 = [date(2024, 1, 1) + timedelta(days=n) for n in range(9)] + [date(2023, 3, 3)]
    period, warning = choose_period(s2, s1, None)
    assert period == (date(2023, 3, 3), date(2023, 6, 1))  # as many as 2022, and later
    assert warning is not None
    assert re.search(r"2022-05-01 to 2024-01-09.* 2023 is used.*\(2\).*year=.*season=", warning)
    assert choose_period([], [*s1, date(2021, 1, 1)], None)[0][0].year == 2024


def test_nothing_in_the_period_asked_for():
    with pytest.raises(InputError, match=r"2020-01-01 and 2020-12-31; .* 2024-01-01 to 2024-01-01"):
        choose_period([date(2024, 1, 1)], [], year_period(2020))


@given(st.lists(days, min_size=1), st.lists(days))
def test_the_period_is_at_most_twelve_months_of_the_days_given(s2, s1):
    (first, last), warning = choose_period(s2, s1, None)
    assert {first, last} <= {*s2, *s1}
    assert within_a_year(first, last)
    assert (warning is None) == (min([*s2, *s1]) == first and max([*s2, *s1]) == last)


def test_dates_of_a_damaged_product_end_where_the_calendar_does():
    last = date(9999, 12, 31)
    assert within_a_year(last, last)
    assert choose_period([last], [], None)[0] == (last, last)
    assert not within_a_year(date(2024, 1, 1), last)
