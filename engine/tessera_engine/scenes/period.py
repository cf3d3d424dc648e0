"""Which time of a scene's observations is embedded: a calendar year, a season, or what there is."""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError

Period = tuple[date, date]
"""First and last day."""


_SEASON = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?", re.ASCII)
"""A month or a day."""


def year_period(year: int) -> Period:
    """The first and last day of a calendar year.

    Raises:
        InputError: there is no such year.
    """
    if not date.min.year <= year <= date.max.year:
        raise InputError(f"year={year} is not a year, expected {date.min.year} to {date.max.year}")
    return date(year, 1, 1), date(year, 12, 31)


def calendar_year(period: Period) -> int | None:
    """The year of a period that is a whole calendar year, else None."""
    year = period[0].year
    return year if period == (date(year, 1, 1), date(year, 12, 31)) else None


def filed_under(bounds: Period | None, observed: Period | None) -> tuple[int | None, Period | None]:
    """The calendar year of embeddings, or else their season; neither where the scene doesn't record its year.

    A time that was asked for is a season unless it is a whole calendar year. If none was asked for, observations of
    one calendar year are of that year, and others a season.

    Args:
        bounds: first and last day that were asked for; None: all observations are used.
        observed: first and last day of the observations.
    """
    if bounds is not None:
        year = calendar_year(bounds)
        return (year, None) if year is not None else (None, bounds)
    if observed is None:
        return None, None
    return (observed[0].year, None) if observed[0].year == observed[1].year else (None, observed)


def parse_season(text: str) -> Period:
    """First and last day of a season in words: `2023-11:2024-06` in whole months, or `2023-11-15:2024-06-30`.

    Raises:
        InputError: it isn't two months or days, they are in the wrong order, or it has more than twelve months.
    """
    parts = [_SEASON.fullmatch(part.strip()) for part in text.split(":")]
    try:
        (first, _), (_, last) = ((_edge(part, False), _edge(part, True)) for part in parts)
    except (TypeError, ValueError):
        raise InputError(
            f"season='{text}' is not two months or two days; write it like 2023-11:2024-06 or 2023-11-15:2024-06-30"
        ) from None
    if last < first:
        raise InputError(f"season='{text}' ends before it begins; give the earlier month first")
    if not within_a_year(first, last):
        raise InputError(
            f"season='{text}' is more than 12 months, and a TESSERA embedding covers one year; the latest possible "
            f"end is {_last_day(first)}"
        )
    return first, last


def _edge(part: re.Match[str] | None, last: bool) -> date:
    """The day of a match, or the first or last day of its month."""
    if part is None:
        raise ValueError
    year, month = int(part[1]), int(part[2])
    if part[3] is not None:
        return date(year, month, int(part[3]))
    first = date(year, month, 1)
    return end_of_month(first) if last else first


def end_of_month(day: date) -> date:
    """The last day of a day's month."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def asked_period(start: date | None, end: date | None) -> Period | None:
    """The period that two days define; None where none of them is given.

    Raises:
        InputError: one day without the other, days in the wrong order, or more than twelve months.
    """
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise InputError("start= and end= go together; give the first and the last day")
    if end < start:
        raise InputError(f"start={start} is after end={end}; give the earlier day as start=")
    if not within_a_year(start, end):
        raise InputError(
            f"start={start} to end={end} is more than 12 months, and a TESSERA embedding covers one year; the latest "
            f"possible end is {_last_day(start)}"
        )
    return start, end


def within_a_year(start: date, end: date) -> bool:
    """Whether two days are within twelve months."""
    return end <= _last_day(start)


def _last_day(start: date) -> date:
    """The last of the twelve months that begin on a day."""
    try:
        return start.replace(year=start.year + 1) - timedelta(days=1)
    except ValueError:  # 29 February, or the last year that there is
        return date(start.year + 1, 2, 28) if start.year < date.max.year else date.max


def days_on(doys: NDArray[np.int32], first: date) -> NDArray[np.int32]:
    """The days on which days of year fall: for each the first one from a day on.

    Args:
        doys: (T,) int32, 1..366.
        first: the day from which on they are counted.

    Returns:
        (T,) int32, proleptic ordinals, see `datetime.date.toordinal`.
    """
    begins = np.array([date(first.year, 1, 1).toordinal(), date(first.year, 12, 31).toordinal() + 1])
    here, later = begins[0] + doys - 1, begins[1] + doys - 1
    days: NDArray[np.int32] = np.where((here >= first.toordinal()) & (here < begins[1]), here, later)
    return days.astype(np.int32)


def choose_period(s2: Sequence[date], s1: Sequence[date], asked: Period | None) -> tuple[Period, str | None]:
    """The first and last day of the observations that are used.

    If all observations are within twelve months, all are used. Otherwise the calendar year with most Sentinel-2 dates
    is used (most Sentinel-1 dates, where there is no Sentinel-2); the later year where two have equally many.

    Args:
        s2: days with Sentinel-2; not empty unless `s1` isn't.
        s1: days with Sentinel-1.
        asked: the only days to use; None: choose.

    Returns:
        The period, and a warning where the year was chosen here.

    Raises:
        InputError: there is no observation in the period asked for.
    """
    first, last = min([*s2, *s1]), max([*s2, *s1])
    warning = None
    if asked is None and not within_a_year(first, last):
        dates = Counter(day.year for day in {*(s2 or s1)})
        year, most = max(dates.items(), key=lambda item: (item[1], item[0]))
        asked = date(year, 1, 1), date(year, 12, 31)
        warning = (
            f"observations are from {first} to {last}, more than 12 months; {year} is used, the year with most dates "
            f"({most}); choose another with year= or season="
        )
    if asked is None:
        return (first, last), None
    used = [day for day in (*s2, *s1) if asked[0] <= day <= asked[1]]
    if not used:
        raise InputError(
            f"no observation is between {asked[0]} and {asked[1]}; the scene has observations from {first} to {last}"
        )
    return (min(used), max(used)), warning
