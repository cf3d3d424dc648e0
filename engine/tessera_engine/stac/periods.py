"""The season of an output, and the periods of a store that has several."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np

from tessera_engine.scenes.period import Period, days_on
from tessera_engine.stac.members import PIXELS_WITH_DATA

SEASON, PERIODS, EVERY = "tessera:season", "tessera:periods", "tessera:every"

_DAYS = ("tessera:s2_days_of_year", "tessera:s1_ascending_days_of_year", "tessera:s1_descending_days_of_year")


def periods(item: Mapping[str, Any]) -> list[Period]:
    """First and last day of each period of an output, in the order of time; empty for outputs of years.

    Raises:
        ValueError: a text is no day.
    """
    properties = item["properties"]
    if properties.get(PERIODS):
        return [_period(each["start"], each["end"]) for each in properties[PERIODS]]
    season = properties.get(SEASON)
    return [_period(*season)] if season is not None else []


def of_period(item: Mapping[str, Any], period: Period) -> dict[str, Any]:
    """The item as if the output held one period only."""
    properties = dict(item["properties"])
    facts = properties.pop(PERIODS, None)
    properties.pop(EVERY, None)
    if facts is None:
        return dict(item)
    own = next(each for each in facts if _period(each["start"], each["end"]) == period)
    start, end = (day.isoformat() for day in period)
    properties |= {
        SEASON: [start, end],
        "start_datetime": f"{start}T00:00:00Z",
        "end_datetime": f"{end}T23:59:59Z",
        "description": f"One vector of {properties['tessera:dim']} dimensions a pixel, of {start} to {end}.",
        **{key: value for key, value in own.items() if key.startswith("tessera:")},
    }
    for key in _DAYS:
        doys = np.array(properties.get(key) or [], np.int32)
        properties[key] = doys[days_on(doys, period[0]) <= period[1].toordinal()].tolist()
    return {**item, "properties": properties}


def period_facts(period: Period, with_data: int, **more: int) -> dict[str, Any]:
    """What an item records of one period of a store.

    Args:
        period: first and last day.
        with_data: pixels that have an embedding.
        more: other counts of pixels, by name.
    """
    start, end = (day.isoformat() for day in period)
    counts = {f"tessera:{name}": count for name, count in more.items()}
    return {"start": start, "end": end, PIXELS_WITH_DATA: with_data, **counts}


def _period(start: str, end: str) -> Period:
    return date.fromisoformat(start), date.fromisoformat(end)
