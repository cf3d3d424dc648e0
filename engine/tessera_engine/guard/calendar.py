"""Days of year in words: as dates where the year is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

MOST_NAMED = 6
"""Days that a finding lists; of more it gives the first ones and their number."""


def named_days(days: Sequence[int], period: tuple[date, date] | None) -> str:
    """Days of year 1..366 as a list for a message.

    Args:
        days: the days.
        period: first and last day of the observations; None: the year isn't known.
    """
    shown = [_named(int(day), period) for day in days[:MOST_NAMED]]
    more = len(days) - len(shown)
    listed = ", ".join(shown) + (f" and {more} more" if more else "")
    return listed if period is not None else f"{'day' if len(days) == 1 else 'days'} of year {listed}"


def _named(day: int, period: tuple[date, date] | None) -> str:
    if period is None:
        return str(day)
    first, last = period
    for year in (first.year, last.year):
        found = date(year, 1, 1) + timedelta(day - 1)
        if first <= found <= last:
            return found.isoformat()
    return f"day of year {day}"
