"""The time axis of a store: calendar years, or other periods with their bounds by the CF conventions.

`time` holds the years as whole numbers, which is what the client geotessera reads. In a store of other periods it holds
days by CF: the last day of each period. Both have `time_bnds`: the first day, and the first day after the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from tessera_engine.scenes.period import Period, year_period

EPOCH = date(1970, 1, 1)

UNITS = "days since 1970-01-01"

BOUNDS = "time_bnds"


def write_times(group: Any, times: Sequence[tuple[int | None, Period]]) -> None:
    """Write `time` and `time_bnds` into the group of a zone.

    Args:
        group: the Zarr group.
        times: the calendar year, None for none, and the first and last day of each time; all have a year, or none.
    """
    edges = np.array([(_days(first), _days(last) + 1) for _, (first, last) in times], np.int64)
    by_year = all(year is not None for year, _ in times)
    days = {"units": UNITS, "calendar": "proleptic_gregorian"}
    values = np.array([year for year, _ in times], np.int32) if by_year else edges[:, 1] - 1
    attributes = (
        {"bounds": BOUNDS} if by_year else {"bounds": BOUNDS, "standard_name": "time", "axis": "T", **days}
    )
    group.create_array("time", data=values, dimension_names=["time"], attributes=attributes)
    # CF leaves the units out where the time's own are meant
    group.create_array(
        BOUNDS, data=edges, dimension_names=["time", "bnds"], attributes=days if by_year else {}
    )


def read_times(group: Any) -> list[Period]:
    """First and last day of each time of a zone.

    Raises:
        KeyError: the group has no times.
        ValueError: a value is no year or no day.
    """
    if "units" not in group["time"].attrs:
        return [year_period(int(year)) for year in group["time"][:]]
    try:
        return [(_day(first), _day(after - 1)) for first, after in group[BOUNDS][:].tolist()]
    except OverflowError as error:
        raise ValueError(f"{BOUNDS} has a value that is no day: {error}") from None


def _days(day: date) -> int:
    return (day - EPOCH).days


def _day(days: int) -> date:
    return EPOCH + timedelta(days=int(days))
