"""Periods that grow from one first day: what a run with `every=` embeds."""

from __future__ import annotations

import re
from datetime import date, timedelta

from tessera_engine.errors import InputError
from tessera_engine.scene import Reader
from tessera_engine.scenes.period import Period, end_of_month

MONTH = "month"

_DAYS = re.compile(r"([1-9]\d{0,2})\s*d(?:ays?)?", re.ASCII)


def parse_every(text: str) -> str:
    """A step of time in one form: `14d` or `month`.

    Raises:
        InputError: it is no step.
    """
    found = _DAYS.fullmatch(text.strip().lower())
    if found is not None:
        return f"{found[1]}d"
    if text.strip().lower() in (MONTH, "1 month"):
        return MONTH
    raise InputError(f"every={text} is not a step of time; write it like 14d (days), or month")


def growing_periods(reader: Reader, every: str) -> tuple[Period, ...]:
    """Periods from the first day that was asked for, each one step longer; the last one ends with the last day.

    With `month` they end with the calendar's months.

    Args:
        reader: the scene.
        every: see `parse_every`.

    Raises:
        InputError: no time was asked for, or the days of the scene aren't known.
    """
    if reader.bounds is None:
        raise InputError(
            f"every={every} needs a fixed first day, from which periods grow; give season=, start= and end=, or year="
        )
    first, last = reader.bounds
    ends = []
    day = _end(first, every)
    while day < last:
        ends.append(day)
        day = _end(day + timedelta(days=1), every)
    return tuple((first, end) for end in [*ends, last])


def _end(first: date, every: str) -> date:
    """The last day of the step that begins on a day."""
    try:
        return end_of_month(first) if every == MONTH else first + timedelta(days=int(every[:-1]) - 1)
    except OverflowError:  # after the last day that there is
        return date.max
