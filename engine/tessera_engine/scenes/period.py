"""Which year of a scene's observations is embedded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

from tessera_engine.errors import InputError

Period = tuple[date, date]
"""First and last day."""


def asked_period(year: int | None, start: date | None, end: date | None) -> Period | None:
    """The period that a year or two days define; None where none of them is given.

    Raises:
        InputError: a year and days, one day without the other, days in the wrong order, or more than twelve months.
    """
    if year is not None and (start is not None or end is not None):
        raise InputError("year= can't be combined with start= or end=; give the year or the two days")
    if year is not None:
        if not date.min.year <= year <= date.max.year:
            raise InputError(f"year={year} is not a year, expected {date.min.year} to {date.max.year}")
        return date(year, 1, 1), date(year, 12, 31)
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
            f"({most}); choose another with year=, or with start= and end="
        )
    if asked is None:
        return (first, last), None
    used = [day for day in (*s2, *s1) if asked[0] <= day <= asked[1]]
    if not used:
        raise InputError(
            f"no observation is between {asked[0]} and {asked[1]}; the scene has observations from {first} to {last}"
        )
    return (min(used), max(used)), warning
