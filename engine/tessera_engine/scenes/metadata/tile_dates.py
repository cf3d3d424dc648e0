"""The year of a d-pixel tile, whose files only have days of year: from `dates.json` beside them, or as declared."""

from __future__ import annotations

import calendar
import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.scenes.period import Period, within_a_year
from tessera_engine.scenes.products import Unusable

_S2 = "s2_dates"
_KEYS = (_S2, "s1_dates", "s1_ascending_dates", "s1_descending_dates")


def period_in_file(path: Path, s2_days: Sequence[int]) -> Period | None:
    """First and last day in a `dates.json`: lists of ISO dates under `s2_dates`, `s1_dates`; None without the file.

    Args:
        path: the file.
        s2_days: days of year of the tile's Sentinel-2 dates, which the file must agree with.

    Raises:
        Unusable: it isn't such a file, or is of another tile.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        lists = {key: [date.fromisoformat(str(day)[:10]) for day in content.get(key, ())] for key in _KEYS}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Unusable(f"can't be read as lists of dates ({error})") from None
    if [day.timetuple().tm_yday for day in lists[_S2]] != list(s2_days):
        raise Unusable(
            f"has {len(lists[_S2])} dates under {_S2} that are not the {len(s2_days)} days of doys.npy"
        )
    every = [day for days in lists.values() for day in days]
    if not every or not within_a_year(min(every), max(every)):
        raise Unusable("has no dates within twelve months")
    return min(every), max(every)


def period_of_year(folder: Path, days: Sequence[int], year: int, known: Period | None) -> Period:
    """First and last day of a tile's observations in a year that the user declares.

    Args:
        folder: the tile, for messages.
        days: all its days of year.
        year: the declared year.
        known: the period that its `dates.json` has.

    Raises:
        InputError: the year doesn't fit the days or the period.
    """
    if known is not None and year not in (known[0].year, known[1].year):
        raise InputError(
            f"year={year} contradicts {folder / 'dates.json'}: its dates are from {known[0]} to {known[1]}"
        )
    if not days:
        return date(year, 1, 1), date(year, 12, 31)
    if max(days) == 366 and not calendar.isleap(year):
        raise InputError(
            f"{folder} has an observation on day 366, which year={year} doesn't have; give a leap year"
        )
    first = date(year, 1, 1)
    return first + timedelta(min(days) - 1), first + timedelta(max(days) - 1)
