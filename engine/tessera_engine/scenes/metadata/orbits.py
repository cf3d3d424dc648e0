"""The direction of Sentinel-1's orbit, where metadata don't contain it.

It follows from the time of day: Sentinel-1 crosses the equator northwards at 18 h local solar time and southwards at
6 h.
"""

from __future__ import annotations

import re
from datetime import datetime

from tessera_engine.scenes.products import Orbit, Unusable

_ASCENDING_HOUR, _DESCENDING_HOUR = 18.0, 6.0
_MOST_HOURS_AWAY = 4.5
"""Only beyond 80 degrees of latitude does a pass differ by more hours of local solar time from its equator crossing."""

_IN_NAME = re.compile(r"(?:^|[^A-Za-z])(?P<orbit>asc|desc)(?:ending)?(?:$|[^A-Za-z])", re.I)


def orbit_at(start: datetime, longitude: float) -> Orbit:
    """The direction of a pass, from its time (UTC) and longitude (degrees).

    Raises:
        Unusable: the time is too far from both.
    """
    hours = (start.hour + start.minute / 60 + longitude / 15) % 24
    if abs(hours - _ASCENDING_HOUR) <= _MOST_HOURS_AWAY:
        return "ascending"
    if abs(hours - _DESCENDING_HOUR) <= _MOST_HOURS_AWAY:
        return "descending"
    raise Unusable(
        f"was taken at {hours:.1f} h local solar time, expected near 6 h (descending) or 18 h (ascending): "
        "the direction of its orbit can't be derived"
    )


def orbit_in(name: str) -> Orbit | None:
    """The direction that a name has as a word: `asc`, `ASCENDING`, `desc`, ..; None where it has none."""
    match = _IN_NAME.search(name)
    if match is None:
        return None
    return "ascending" if match["orbit"].lower() == "asc" else "descending"
