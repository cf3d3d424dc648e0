"""The arguments of `open_scene`, checked before anything is read."""

from __future__ import annotations

import operator
import os
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple, get_args

from tessera_engine.errors import InputError
from tessera_engine.files.naming import check_utf8
from tessera_engine.files.nearby import unknown
from tessera_engine.scenes.period import Period, asked_period, parse_season, year_period
from tessera_engine.scenes.products import S1Units
from tessera_engine.scenes.registry import LAYOUTS

_SHOWN = 60
"""Characters of a wrong value that a message shows."""


class Asked(NamedTuple):
    """What the caller wants, apart from the folder.

    Attributes:
        layout: name of the only layout to look for; None: all.
        year: the calendar year to use; None: not given.
        season: first and last day to use; None: not given.
        like: the raster file with the grid to use; None: made from the products.
        s1_units: units of all Sentinel-1 products; None: as the products say.
    """

    layout: str | None
    year: int | None
    season: Period | None
    like: Path | None
    s1_units: S1Units | None

    @property
    def period(self) -> Period | None:
        """First and last day to use; None: chosen from the observations."""
        return self.season if self.season is not None or self.year is None else year_period(self.year)


def check_path(name: str, value: Any, expected: str) -> Path:
    """The value as a path.

    Raises:
        InputError: it isn't one, or isn't UTF-8.
    """
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise _wrong(name, value, f"the path of {expected}")
    check_utf8(value)
    return Path(value)


def check_layout(value: Any) -> str | None:
    """The name of a layout, or None.

    Raises:
        InputError: there is no such layout.
    """
    return None if value is None else _one_of("layout", value, tuple(LAYOUTS))


def check_s1_units(value: Any) -> S1Units | None:
    """Units of Sentinel-1 values, or None.

    Raises:
        InputError: there are no such units.
    """
    units: Any = None if value is None else _one_of("s1_units", value, get_args(S1Units))
    return units  # type: ignore[no-any-return]


def check_year(value: Any) -> int | None:
    """A calendar year, or None.

    Raises:
        InputError: it is no year.
    """
    year = _year(value)
    if year is not None:
        year_period(year)
    return year


def check_season(season: Any, start: Any, end: Any) -> Period | None:
    """First and last day, from one text or from two days; None where nothing is given.

    Raises:
        InputError: both are given, or they are no period of at most twelve months.
    """
    days = asked_period(_day("start", start), _day("end", end))
    if season is None:
        return days
    if not isinstance(season, str):
        raise _wrong("season", season, "a text such as '2023-11:2024-06'")
    if days is not None:
        raise InputError("season= can't be combined with start= and end=; give the season or the two days")
    return parse_season(season)


def _year(value: Any) -> int | None:
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # NumPy's whole numbers too
    except TypeError:
        raise _wrong("year", value, "a whole number such as 2024") from None


def _day(name: str, value: Any) -> date | None:
    if value is None:
        return None
    if isinstance(value, datetime):  # pandas' timestamps too
        return value.date()
    if isinstance(value, date):
        return value
    raise _wrong(name, value, "a day as datetime.date(2024, 1, 31)")


def _one_of(name: str, value: Any, names: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, f"one of {', '.join(names)}")
    if value not in names:
        raise unknown(name, value, names)
    return value


def _wrong(name: str, value: Any, expected: str) -> InputError:
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
    return InputError(f"{name}={shown} is of type {type(value).__name__}, expected {expected}")
