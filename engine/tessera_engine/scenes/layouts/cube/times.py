"""Times of cubes, by the CF conventions and as loosely as they are written: `days since 1970-1-1`, texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from tessera_engine.scenes.layouts.cube.container import Array
from tessera_engine.scenes.products import Unusable

_NANOSECONDS = {
    **dict.fromkeys(("day", "days", "d"), 86_400 * 10**9),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h"), 3_600 * 10**9),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), 60 * 10**9),
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), 10**9),
    **dict.fromkeys(("millisecond", "milliseconds", "millisec", "msec", "msecs", "ms"), 10**6),
    **dict.fromkeys(("microsecond", "microseconds", "microsec", "us", "µs"), 10**3),
    **dict.fromkeys(("nanosecond", "nanoseconds", "nanosec", "ns"), 1),
}
"""Months and years are left out: in UDUNITS they have a fixed length that no calendar has."""

_SINCE = re.compile(r"\s*(?P<step>\S+)\s+(?:since|after|from|ref)\s+(?P<start>.+?)\s*", re.I)
_MOMENT = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:[T\s]+(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:[.,](?P<fraction>\d*))?)?)?)?"
    r"\s*(?P<zone>Z|UTC|GMT|UT|[+-]?\d{1,2}:\d{1,2}|[+-]\d{1,2}(?:\d\d)?)?",
    re.I,
)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T?(\d\d)(\d\d)(\d\d))?Z?")
_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?=\D|$)")
_ATTRIBUTES = (
    "datetime",
    "time_coverage_start",
    "acquisition_date",
    "sensing_time",
    "start_datetime",
    "date",
    "time",
)

_NO_TIME = -(2**63)
"""NumPy's NaT as a whole number."""

_CALENDARS = ("", "standard", "gregorian", "proleptic_gregorian")
"""Calendars that have the days of real observations. In the calendars of climate models the day would be another."""


def times_of(array: Array) -> tuple[datetime, ...]:
    """The moments of a coordinate variable, in UTC without a time zone.

    Raises:
        Unusable: units, calendar or a value give no date.
    """
    values = np.atleast_1d(array.values())
    if array.dtype == object:
        return tuple(_of_text(array, i, str(text)) for i, text in enumerate(values))
    if values.dtype.kind == "M":
        moments = values.astype("datetime64[us]").astype(object)
        return tuple(_checked(array, i, moment) for i, moment in enumerate(moments))
    if values.dtype.kind not in "iuf":
        raise Unusable(f"has {values.dtype} in its coordinate {array.name}, expected times")
    units, calendar = str(array.attributes.get("units", "")), str(array.attributes.get("calendar", ""))
    if not units or "%Y%m%d" in units:
        return tuple(_of_digits(array, i, value) for i, value in enumerate(values.tolist()))
    since = _SINCE.fullmatch(units)
    step = _NANOSECONDS.get(since["step"].lower()) if since else None
    start = moment_of(since["start"]) if since else None
    if step is None or start is None or calendar.lower() not in _CALENDARS:
        raise Unusable(
            f"has the dimension {array.leaf} in {units} {calendar}".rstrip()
            + ", expected a time as in 'days since 2021-01-01'"
        )
    missing = _missing(array.attributes)
    return tuple(_after(array, i, start, value, step, missing) for i, value in enumerate(values.tolist()))


def moment_of(text: str) -> datetime | None:
    """The moment that a text gives, in UTC without a time zone; None where it gives none."""
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        compact = _COMPACT.fullmatch(text.strip())
        fields = [int(each) for each in compact.groups() if each] if compact else None
        return _moment(*fields) if fields else None
    parts = [int(match[key] or 0) for key in ("year", "month", "day", "hour", "minute", "second")]
    hours = parts[3]
    whole = _moment(*parts[:3], hours % 24, *parts[4:5], min(parts[5], 59)) if hours <= 24 else None
    if whole is None:
        return None
    try:
        return whole + timedelta(days=hours // 24) - _zone(match["zone"] or "")
    except OverflowError:  # before the year 1, or after 9999
        return None


def moment_of_container(attributes: list[Mapping[str, Any]], path: Path) -> datetime | None:
    """The only moment of a cube without a time coordinate: from attributes, else from the only date in its name."""
    for each in attributes:
        for key in _ATTRIBUTES:
            moment = moment_of(str(each.get(key, "")))
            if moment is not None:
                return moment
    days = {_moment(int(year), int(month), int(day)) for year, _, month, day in _IN_NAME.findall(path.name)}
    return days.pop() if len(days) == 1 else None


def _moment(*fields: int) -> datetime | None:
    try:
        return datetime(*fields)  # type: ignore[arg-type]
    except ValueError:
        return None


def _zone(text: str) -> timedelta:
    if not text or text[0].isalpha():
        return timedelta(0)
    digits = text.lstrip("+-")
    hours, _, minutes = (
        digits.partition(":") if ":" in digits or len(digits) <= 2 else (digits[:-2], "", digits[-2:])
    )
    shift = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return -shift if text.startswith("-") else shift


def _after(
    array: Array, i: int, start: datetime, value: float, step: int, missing: tuple[float, ...]
) -> datetime:
    if value != value or value == _NO_TIME or value in missing:
        raise Unusable(f"has no time at place {i} of its coordinate {array.name}; remove that step")
    try:
        # Whole numbers stay whole: nanoseconds since 1970 don't fit a float
        nanoseconds = value * step if isinstance(value, int) else round(value * step)
        return start + timedelta(microseconds=nanoseconds // 1000)
    except (OverflowError, ValueError):
        raise Unusable(
            f"has the time {value} at place {i} of its coordinate {array.name}, which is no date"
        ) from None


def _missing(attributes: Mapping[str, Any]) -> tuple[float, ...]:
    found = (attributes.get(key) for key in ("_FillValue", "missing_value"))
    return tuple(each for each in found if isinstance(each, (int, float)))


def _of_text(array: Array, i: int, text: str) -> datetime:
    moment = moment_of(text)
    if moment is None:
        raise Unusable(
            f"has the time {text[:40]!r} at place {i} of {array.name}, expected one like 2021-01-04"
        )
    return moment


def _of_digits(array: Array, i: int, value: float) -> datetime:
    """A date written as the number 20210104, as some tools do where there are no units."""
    text = str(int(value)) if value == value and abs(value) < 1e15 else ""
    moment = moment_of(text) if len(text) == 8 else None
    if moment is None:
        raise Unusable(
            f"has the dimension {array.leaf} in no units with the value {value}, expected units as in "
            "'days since 2021-01-01'"
        )
    return moment + timedelta(days=value - int(value))


def _checked(array: Array, i: int, moment: Any) -> datetime:
    if not isinstance(moment, datetime):
        raise Unusable(f"has no time at place {i} of its coordinate {array.name}; remove that step")
    try:
        return moment.astimezone(timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError:
        raise Unusable(
            f"has the time {moment} at place {i} of its coordinate {array.name}, which is no date"
        ) from None
