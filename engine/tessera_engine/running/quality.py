"""The quality layer of a window: how well each pixel was seen in the time that is embedded."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.scene import S1_BANDS, Observations, Reader
from tessera_engine.scenes.period import Period, filed_under, year_period
from tessera_kernels.quality import Seen, quality

SOME_YEAR = year_period(2023)
"""Stands for the year of a scene that doesn't record its own; 2023 has no leap day."""


def time_of(reader: Reader) -> Period | None:
    """First and last day of the time that the observations should cover; None where the year isn't known."""
    year, season = filed_under(reader.bounds, reader.period)
    return year_period(year) if year is not None else season


def quality_of(observations: Observations, time: Period | None, min_clear: int | None) -> NDArray[np.uint16]:
    """(N, bands) uint16 of a window's pixels in row-major order, see `tessera_kernels.quality.quality`.

    All bands are 0 where no file of the scene lies.

    Args:
        observations: of the window.
        time: first and last day that they should cover; None: one year that isn't known.
        min_clear: see `tessera_engine.running.options.RunOptions`.
    """
    o = observations
    first, last = (day.toordinal() for day in time or SOME_YEAR)
    days = first + o.s2_doy - 1 if o.days is None or time is None else o.days.s2
    order = np.argsort(days, kind="stable")
    valid = _flat(o.s2_valid)
    if (np.diff(order) < 0).any():
        valid, days = np.ascontiguousarray(valid[order]), days[order]
    seen = Seen(valid, np.ascontiguousarray(days, np.int32), _months(days))
    last = max(last, int(days[-1])) if len(days) else last
    ascending, descending = _radar(o.s1_ascending), _radar(o.s1_descending)
    found = quality(seen, ascending, descending, (first, last), min_clear or 0)
    if o.covered is not None:  # windows reach beyond the files, by as much as their size says
        found[~o.covered.reshape(-1)] = 0
    return found


def _months(days: NDArray[np.int32]) -> NDArray[np.int32]:
    dates = (date.fromordinal(day) for day in days.tolist())
    return np.array([12 * day.year + day.month for day in dates], np.int32)


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """(T, height, width) -> (T, N), contiguous."""
    return np.ascontiguousarray(values).reshape(len(values), int(np.prod(values.shape[1:])))


def _radar(codes: NDArray[np.int16]) -> NDArray[np.int16]:
    """(T, height, width, 2) -> (T, N, 2), contiguous."""
    return np.ascontiguousarray(codes).reshape(len(codes), int(np.prod(codes.shape[1:-1])), len(S1_BANDS))
